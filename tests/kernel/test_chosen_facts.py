# SPDX-License-Identifier: GPL-2.0-or-later
"""What an ordinary user can choose of a record, as docs/security.md says it: each fact is chosen here."""

import errno
import os
import pty
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from execwatchd.kernel.layout import NO_ID
from execwatchd.stream.exec_entry import encode
from tests.fakes.native import fields
from tests.kernel.watch import DEFAULT, Watch, comm_of, watching

UID = 54321

# Runs as that user, who has no capability and no login yet.
PRELUDE = f"""
import ctypes, fcntl, os, signal, sys, threading

libc = ctypes.CDLL(None, use_errno=True)

def check(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def write(path, text):
    with open(path, "w") as file:
        file.write(text)

def user_namespace(flags=0):
    check(libc.unshare(0x10000000 | flags))  # CLONE_NEWUSER
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", "0 {UID} 1")
    write("/proc/self/gid_map", "0 {UID} 1")

write("/proc/self/loginuid", "{NO_ID}")
os.setgroups([])
os.setresgid({UID}, {UID}, {UID})
os.setresuid({UID}, {UID}, {UID})
check(libc.prctl(4, 1, 0, 0, 0))  # PR_SET_DUMPABLE: else its files in /proc are root's
"""


@contextmanager
def user(script: str, *arguments: str | bytes | Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that runs the script; what that executes stays until the context ends."""
    with subprocess.Popen(
        ["/usr/bin/python3", "-I", "-c", PRELUDE + textwrap.dedent(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()
    assert process.returncode == 0


def test_loginuid_and_session_of_a_process_that_has_none(watch: Watch, target: Path) -> None:
    """Those who logged in have theirs already, and can't change it: the second write is refused."""
    script = """
        write("/proc/self/loginuid", "0")
        try:
            write("/proc/self/loginuid", "1")
        except PermissionError:
            os.execv(sys.argv[1], ["x"])
    """
    with user(script, target) as process:
        record = watch.first(lambda one: one.pid == process.pid and one.new_comm.startswith(b"target"))
    assert (record.uid, record.loginuid) == (UID, 0)
    assert record.session not in (0, NO_ID)
    (before,) = [one for one in watch.of(process.pid) if one != record]
    assert (before.uid, before.session) == (0, NO_ID)


def test_a_tty_in_a_devpts_of_ones_own(watch: Watch, target: Path) -> None:
    """It has the name and number of another user's terminal, which this user can't even open."""
    master, slave = pty.openpty()
    script = """
        name = sys.argv[2]
        assert not os.access(name, os.W_OK)
        user_namespace(0x20000)  # CLONE_NEWNS
        check(libc.mount(b"devpts", b"/dev/pts", b"devpts", 0, b"ptmxmode=0666"))
        os.setsid()
        while not os.path.exists(name):
            master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
            os.set_inheritable(master, True)  # or the terminal hangs up
            fcntl.ioctl(master, 0x40045431, bytes(4))  # TIOCSPTLCK
            terminal = fcntl.ioctl(master, 0x5441, os.O_RDWR | os.O_NOCTTY)  # TIOCGPTPEER
        fcntl.ioctl(terminal, 0x540E, 0)  # TIOCSCTTY
        os.execv(sys.argv[1], ["x"])
    """
    with user(script, target, os.ttyname(slave)) as process:
        record = watch.first(lambda one: one.pid == process.pid and one.new_comm.startswith(b"target"))
        theirs = os.stat(f"/proc/{process.pid}/root{os.ttyname(slave)}")
        assert theirs.st_rdev == os.fstat(slave).st_rdev
        assert theirs.st_dev != os.fstat(slave).st_dev
    assert record.uid == UID
    assert fields(encode(record))["EXECWATCH_TTY"] == os.ttyname(slave).removeprefix("/dev/").encode()
    os.close(slave)
    os.close(master)


def test_filename_interp_and_cwd_in_a_root_of_ones_own(watch: Watch, target: Path, public: Path) -> None:
    """No namespace of the record tells: only the user namespace is another one."""
    root = public / "a root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "etc").mkdir()
    os.link(target, root / "usr/bin/perl")
    (root / "usr/bin/backup").write_text("#!/usr/bin/perl\n")
    (root / "usr/bin/backup").chmod(0o755)
    script = 'user_namespace(); os.chroot(sys.argv[1]); os.chdir("/etc"); os.execv("/usr/bin/backup", ["x"])'
    with watching(replace(DEFAULT, cwd=True)) as with_cwd, user(script, root) as process:
        record = with_cwd.first(lambda one: one.pid == process.pid and one.new_comm.startswith(b"backup"))
        executable = os.readlink(f"/proc/{process.pid}/exe")
        assert executable == str(root / "usr/bin/perl")
    assert (record.filename, record.interp) == (b"/usr/bin/backup\0", b"/usr/bin/perl\0")
    assert record.cwd == b"etc\0"
    assert record.mntns == os.stat("/proc/self/ns/mnt").st_ino


CLONE = {"x86_64": 56, "aarch64": 220}[os.uname().machine]


def test_ppid_after_clone_parent(watch: Watch, target: Path) -> None:
    """The process that cloned it is in no field: its own parent is."""
    script = f"""
        child = libc.syscall({CLONE}, 0x8000 | signal.SIGCHLD, 0, 0, 0, 0)  # CLONE_PARENT
        check(child)
        if not child:
            os.execv(sys.argv[1], ["x"])
        print(child, flush=True)
        sys.stdin.read()
    """
    with user(script, target) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        record = watch.first(lambda one: one.pid == child)
    os.waitpid(child, 0)
    assert (record.uid, record.ppid) == (UID, os.getpid())
    assert record.parent_comm.rstrip(b"\0") == comm_of(os.getpid())


def test_memory_that_a_tracer_rewrites_after_the_exec(watch: Watch) -> None:
    """What runs isn't what was executed: the record is right, and says nothing of it."""
    script = """
        child = os.fork()
        if not child:
            check(libc.ptrace(0, 0, 0, 0))  # PTRACE_TRACEME
            os.execv("/bin/echo", ["echo", "executed"])
        os.waitpid(child, 0)
        at = int(open(f"/proc/{child}/stat").read().rpartition(") ")[2].split()[45])  # arg_start
        with open(f"/proc/{child}/mem", "r+b", buffering=0) as memory:
            memory.seek(at + len("echo "))
            memory.write(b"replaced")
        check(libc.ptrace(17, child, 0, 0))  # PTRACE_DETACH
        os.waitpid(child, 0)
    """
    with user(script) as process:
        assert process.stdout
        assert process.stdout.readline() == b"replaced\n"
    (record,) = watch.by(lambda one: one.ppid == process.pid and one.new_comm.startswith(b"echo"))
    assert (record.uid, record.argv) == (UID, b"echo\0executed\0")


def test_what_a_thread_swaps_during_a_failing_exec(tracepoint_ids: Path, public: Path) -> None:
    """A lease on the file makes the exec wait for the thread."""
    tried = public / "tried"
    tried.write_bytes(b"\1\2\3" * 99)  # no format of a program
    tried.chmod(0o755)
    shutil.chown(tried, UID, UID)
    script = """
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
        file = os.open(sys.argv[1], os.O_RDONLY)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        path = ctypes.create_string_buffer(os.fsencode(sys.argv[1]), 4096)
        argument = ctypes.create_string_buffer(b"executed", 4096)
        arguments = (ctypes.c_char_p * 2)(ctypes.addressof(argument), None)
        failed = []
        def execute():
            libc.execve(path, arguments, None)
            failed.append(ctypes.get_errno())
        thread = threading.Thread(target=execute)
        thread.start()
        signal.sigwait([signal.SIGIO])
        path.value, argument.value = b"/usr/bin/true", b"nothing"
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        thread.join()
        print(*failed, flush=True)
    """
    with watching(replace(DEFAULT, failures=True)) as watch, user(script, tried) as process:
        assert process.stdout
        assert int(process.stdout.readline()) == errno.ENOEXEC
        record = watch.first(lambda one: one.pid == process.pid and one.result != 0)
    assert (record.uid, record.result) == (UID, -errno.ENOEXEC)
    assert (record.filename, record.argv) == (b"/usr/bin/true\0", b"nothing\0")
