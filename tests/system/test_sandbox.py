# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program can do that takes the daemon's place in its unit: nothing of this."""

import errno
import re
from pathlib import Path

import pytest

from tests.system.harness import Boot, Box

UNIT = "execwatchd.service"

# Each attempt is a Python expression that must raise; the daemon's own interpreter, under its unit.
ATTEMPTS = {
    "write to /etc": "open('/etc/new', 'w')",
    "write to /usr": "open('/usr/lib/execwatchd/new', 'w')",
    "write to /var": "open('/var/lib/new', 'w')",
    "write to /run": "open('/run/new', 'w')",
    "write to /sys": "open('/sys/kernel/profiling', 'w')",
    "see a home": "os.listdir('/root')",
    "read the shadow file": "open('/etc/shadow').read()",
    "see another user's process": "open('/proc/1/status').read()",
    "read the kernel's log": "open('/dev/kmsg').read(1)",
    "read a disk or memory": "open('/dev/mem')",
    "see kernel modules": "os.listdir('/usr/lib/modules')",
    "an internet socket": "socket.socket(socket.AF_INET)",
    "a netlink socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "a user namespace": "check(libc.unshare(0x10000000))",
    "a mount": "check(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))",
    "trace a process": "check(libc.ptrace(16, os.getppid(), 0, 0))",
    "another user": "os.setuid(1)",
    "a chroot": "os.chroot('/')",
    "writable and executable memory": "mmap.mmap(-1, 4096, prot=7)",
    "a real-time priority": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
    "a set-user-ID file": "os.chmod(open('/tmp/suid', 'w').fileno(), 0o4755)",
    **{
        f"execute a file of its own in {directory}": f"execute('{directory}/own')"
        for directory in ("/tmp", "/var/tmp", "/dev/shm", "/var/lib/execwatchd", "/run/execwatchd-metrics")
    },
    "see the host's /dev/shm": "os.listdir('/dev/shm')",
    "leave something in /dev/shm": "open('/dev/shm/new', 'w')",
    "the execution domain": "check(libc.personality(0x0400000))",
    "the clock": "time.clock_settime(time.CLOCK_REALTIME, 0)",
    "reboot": "check(libc.reboot(0xfee1dead))",
    "the kernel's keyrings": "check(libc.syscall(250, 0, -3, 1))",
}

# What unit-view.conf costs: files and processes of UID 0 are then its own.
ROOT_MAY = {"read the shadow file", "see another user's process"}

# What the unit allows until the daemon installs its filter.
EXECS = {
    "execute a program": "subprocess.run(['/usr/bin/true'], check=True)",
    "execute a copy of a program from memory": "execute_from_memory()",
}

PROGRAM = """#!/usr/bin/python3 -I
import ctypes, mmap, os, shutil, socket, subprocess, sys, time
sys.path.insert(0, "/usr/lib/execwatchd")
from execwatchd import privileges, seccomp
libc = ctypes.CDLL(None, use_errno=True)

def check(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), "failed")

def execute(path):
    try:
        shutil.copy("/usr/bin/true", path)
    except OSError:
        print("cannot be written:", path)
        raise
    subprocess.run([path], check=True)

def execute_from_memory():
    fd = os.memfd_create("own", 0)
    with open("/usr/bin/true", "rb") as program:
        os.write(fd, program.read())
    subprocess.run([f"/proc/self/fd/{{fd}}"], pass_fds=[fd], check=True)

def attempt_all(attempts, when=""):
    for name, attempt in attempts.items():
        try:
            eval(attempt)
        except OSError as error:
            print(name + when, "->", error.errno, flush=True)
        else:
            print(name + when, "-> succeeded", flush=True)

attempt_all({attempts!r})
attempt_all({execs!r}, " before")
privileges.drop()
seccomp.forbid_exec()
attempt_all({execs!r})
with open("/proc/self/status") as status:
    print("filters ->", *(line.split()[1] for line in status if line.startswith("Seccomp_filters:")))
os.stat("/sys/kernel/btf/vmlinux")
open(os.environ["STATE_DIRECTORY"] + "/file", "w").close()
"""


@pytest.fixture(scope="module", params=["execwatchd", "root"])
def answers(boot: Boot, request: pytest.FixtureRequest) -> dict[str, str]:
    """What came of each attempt, as the unit's own user and as UID 0 with unit-view.conf."""
    host: Box = boot()
    if request.param == "root":
        host.enable_drop_in("unit-view")
    host.systemctl("start", UNIT)
    status = Path(f"/proc/{host.main_pid(UNIT)}/status").read_text()
    filters = re.findall(r"^Seccomp_filters:\t(\d+)$", status, re.MULTILINE)
    host.systemctl("stop", UNIT)
    program = PROGRAM.format(attempts=ATTEMPTS, execs=EXECS)
    host.path("/usr/sbin/execwatchd").write_text(program)
    host.shell(
        f"mkdir /run/systemd/system/{UNIT}.d;"
        f"printf '[Service]\\nType=oneshot\\nRestart=no\\n' >/run/systemd/system/{UNIT}.d/once.conf;"
        "systemctl daemon-reload"
    )
    host.systemctl("start", UNIT)
    said = host.run("journalctl", "-u", UNIT, "-t", "execwatchd", "-o", "cat", "--no-pager").stdout
    lines = [line.split(" -> ") for line in said.splitlines() if " -> " in line]
    return {"user": request.param, "filters of the daemon": filters[0], **dict(lines)}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_it_is_refused(answers: dict[str, str], attempt: str) -> None:
    if attempt in ROOT_MAY and answers["user"] == "root":
        assert answers[attempt] == "succeeded"
    elif attempt.startswith("write to"):
        assert answers[attempt] == str(errno.EROFS)  # also for whom the file's mode lets write
    else:
        assert answers[attempt] != "succeeded"


@pytest.mark.parametrize("attempt", EXECS)
def test_nothing_is_executed_after_the_start(answers: dict[str, str], attempt: str) -> None:
    assert answers[f"{attempt} before"] == "succeeded"
    assert answers[attempt] == str(errno.EPERM)


def test_the_daemon_has_installed_the_filter(answers: dict[str, str]) -> None:
    assert int(answers["filters"]) > 1  # the unit has its own
    assert answers["filters of the daemon"] == answers["filters"]
