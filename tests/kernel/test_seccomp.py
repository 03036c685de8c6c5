# SPDX-License-Identifier: GPL-2.0-or-later
"""The filter at the entry to the kernel that a 64-bit library can't use."""

import os
import subprocess
import sys

if os.uname().machine == "x86_64":  # no other has this entry
    CALLS = """
import ctypes, mmap
from execwatchd import privileges, seccomp

# push rbx; mov eax, edi; xor ebx, ebx; xor ecx, ecx; xor edx, edx; int 0x80; pop rbx; ret
CODE = bytes.fromhex("53 89f8 31db 31c9 31d2 cd80 5b c3")
page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(CODE)
call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
EXECVE, EXECVEAT, GETPID = 11, 358, 20

before = call(EXECVE), call(EXECVEAT)
privileges.drop()
seccomp.forbid_exec()
print(*before, call(EXECVE), call(EXECVEAT), call(GETPID) > 0)
"""

    def test_the_calls_of_a_32_bit_process_are_refused() -> None:
        """Without the filter their null pointer is read, which is -EFAULT."""
        done = subprocess.run(
            [sys.executable, "-c", CALLS],
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.split() == ["-14", "-14", "-1", "-1", "True"]
