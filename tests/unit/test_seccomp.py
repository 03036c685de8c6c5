# SPDX-License-Identifier: GPL-2.0-or-later
"""With the filter nothing is executed, and all else works."""

import ctypes
import errno
import json
import os
import struct
import subprocess
import sys

import pytest

from execwatchd import seccomp
from execwatchd.seccomp import MACHINES, program

EM = {"x86_64": 62, "i386": 3, "aarch64": 183, "arm": 40}  # linux/elf-em.h
IS_64_BIT, IS_LITTLE_ENDIAN = 0x80000000, 0x40000000  # linux/audit.h
X32 = 0x40000000
ALLOWED, REFUSED = 0x7FFF0000, 0x00050001
# execve and execveat as this machine numbers them
NUMBERS = {"x86_64": [59, 322, X32 | 520, X32 | 545], "aarch64": [221, 281]}[os.uname().machine]


def verdict(code: bytes, architecture: int, number: int) -> int:
    """What the kernel makes of a call: a filter has these four instructions only."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *range(6))
    instructions = list(struct.iter_unpack("=HBBI", code))
    at, accumulator = 0, 0
    while True:
        kind, if_true, if_false, k = instructions[at]
        at += 1
        if kind == 0x06:
            return int(k)
        if kind == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif kind == 0x54:
            accumulator &= k
        else:
            assert kind == 0x15
            at += if_true if accumulator == k else if_false


@pytest.mark.parametrize(
    ("machine", "architecture", "execs"),
    [
        ("x86_64", EM["x86_64"] | IS_64_BIT | IS_LITTLE_ENDIAN, {59, 322, X32 | 520, X32 | 545}),
        ("x86_64", EM["i386"] | IS_LITTLE_ENDIAN, {11, 358}),
        ("aarch64", EM["aarch64"] | IS_64_BIT | IS_LITTLE_ENDIAN, {221, 281}),
        ("aarch64", EM["arm"] | IS_LITTLE_ENDIAN, {11, 387}),
    ],
)
def test_each_entry_refuses_its_own_two_calls(machine: str, architecture: int, execs: set[int]) -> None:
    code = program(MACHINES[machine])
    assert {verdict(code, architecture, number) for number in execs} == {REFUSED}
    others = {*range(512)} - {number & ~X32 for number in execs}
    assert {verdict(code, architecture, number) for number in others} == {ALLOWED}


@pytest.mark.parametrize("machine", MACHINES)
def test_an_entry_that_the_machine_does_not_have_is_refused(machine: str) -> None:
    others = {entry.architecture for entries in MACHINES.values() for entry in entries}
    others -= {entry.architecture for entry in MACHINES[machine]}
    for architecture in others:
        assert {verdict(program(MACHINES[machine]), architecture, number) for number in range(512)} == {
            REFUSED
        }


FILTERED = """
import ctypes, errno, json, os, socket, tempfile, threading
from execwatchd import privileges, seccomp

libc = ctypes.CDLL(None, use_errno=True)

def outcome(attempt):
    try:
        result = attempt()
    except OSError as error:
        return error.errno
    return ctypes.get_errno() if result == -1 else "succeeded"

def memory():
    fd = os.memfd_create("copy", 0)
    os.write(fd, open("/bin/true", "rb").read())
    os.execve(fd, ["true"], {})

def in_a_child(attempt):
    child = os.fork()
    if not child:
        os._exit(outcome(attempt))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def in_a_thread(attempt):
    found = []
    thread = threading.Thread(target=lambda: found.append(outcome(attempt)))
    thread.start()
    thread.join()
    return found[0]

def run(): os.execv("/bin/true", ["true"])
def spawn(): os.posix_spawn("/bin/true", ["true"], {})
def call(number): return lambda: libc.syscall(number, None, None, None, None, 0)

privileges.drop()
seccomp.forbid_exec()
refused = {
    "execve": outcome(run),
    "from memory": outcome(memory),
    "posix_spawn": outcome(spawn),
    "in a thread": in_a_thread(run),
    "in a child": in_a_child(run),
}
refused |= {number: outcome(call(number)) for number in NUMBERS}
tempfile.TemporaryFile().write(b"x")
one, other = socket.socketpair()
one.send(b"x")
print(json.dumps(refused))
"""


def test_nothing_is_executed_and_all_else_works() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILTERED.replace("NUMBERS", repr(NUMBERS))],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    refused = json.loads(done.stdout)
    assert refused == dict.fromkeys(refused, errno.EPERM)


def test_a_machine_that_the_filter_does_not_know(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "6.1", "#1", "s390x")))
    seccomp.forbid_exec()
    assert "its filter knows no s390x" in caplog.text


def test_a_kernel_that_takes_no_filter(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class NoSeccomp:
        def prctl(self, *_arguments: object) -> int:
            ctypes.set_errno(errno.EINVAL)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_arguments, **_options: NoSeccomp())
    seccomp.forbid_exec()
    assert "the kernel takes no filter: Invalid argument" in caplog.text
