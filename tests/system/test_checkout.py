# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of a checkout: what make run does until Ctrl-C, and that setting up again costs nothing."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kernel_objects import loaded_programs, programs_of
from tests.system.harness import REPOSITORY, Boot, wait_until

# A host without a journal and a bus, so that this host's own know nothing of it.
ALONE = (
    "unshare",
    "-m",
    "--propagation",
    "private",
    "sh",
    "-ec",
    'mount -t tmpfs tmpfs /run; exec "$@"',
    "sh",
)


@contextmanager
def foreground(output: Path, directory: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that runs until it is told to end, in a process group of its own as at a terminal."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*ALONE, *command], cwd=directory, stdout=file, stderr=file, process_group=0, env=environment()
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def environment() -> dict[str, str]:
    """Without what the make that runs the tests hands down."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def watch_one_exec(output: Path) -> None:
    wait_until(lambda: "system bus: none" in output.read_text(errors="replace"), output.read_text())
    marker = output.parent.name
    subprocess.run(["true", marker], check=True)
    wait_until(lambda: f"Hello World: true {marker}\n" in output.read_text(errors="replace"), "the exec")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_make_run_prints_each_exec_until_it_is_interrupted(tmp_path: Path) -> None:
    with foreground(tmp_path / "output", REPOSITORY, "make", "run") as process:
        watch_one_exec(tmp_path / "output")
        (runner,) = children(process.pid)
        (daemon,) = children(runner)
        programs = programs_of(daemon)
        assert len(programs) == 3
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=20)
    wait_until(lambda: not programs & loaded_programs(), "nothing attached")
    output = (tmp_path / "output").read_text()
    assert "journal: none; system bus: none" in output
    assert "Traceback" not in output


def test_a_checkout_that_only_root_may_enter(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "checkout").mkdir()
    bind = f'mount --bind {REPOSITORY} checkout; cd checkout; exec "$@"'
    command = (".venv/bin/python", "-s", "-m", "execwatchd", "--foreground")
    with foreground(tmp_path / "output", tmp_path, "sh", "-ec", bind, "sh", *command) as process:
        watch_one_exec(tmp_path / "output")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=20) == 0
    assert "Traceback" not in (tmp_path / "output").read_text()


def test_who_is_not_root_is_told_so_in_one_line() -> None:
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    command = (*nobody, "make", "--silent", "-f", "-", "run")
    done = subprocess.run(
        command,
        input=(REPOSITORY / "Makefile").read_text(),
        cwd="/",
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "execwatchd: this needs root, to load BPF programs: sudo make run"


def test_setting_up_again_needs_no_network() -> None:
    without_network = ("unshare", "-n", REPOSITORY / "packaging/bootstrap", "test")
    done = subprocess.run(without_network, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_run_from_a_checkout_is_on_the_bus_for_its_time(boot: Boot) -> None:
    box = boot()
    policy = "/etc/dbus-1/system.d/org.execwatch1.conf"
    for name in ("run", "dbus/org.execwatch1.conf"):
        box.path("/opt/checkout/packaging/dbus").mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / "packaging" / name, box.path(f"/opt/checkout/packaging/{name}"))
    box.shell(
        "rm /usr/share/dbus-1/system.d/org.execwatch1.conf; systemctl start dbus; systemctl reload dbus"
    )
    command = ("/opt/checkout/packaging/run", "/usr/sbin/execwatchd", "--foreground")
    box.run("systemd-run", "--unit=checkout", "--property=KillMode=process", *command)
    wait_until(lambda: box.busctl("status", "org.execwatch1", check=False).returncode == 0, "the name")
    box.call("SetMessage", "us", "7", "From a checkout")
    assert box.call("GetMessage", "u", "7").stdout == 's "From a checkout"\n'
    box.systemctl("kill", "--kill-who=main", "--signal=INT", "checkout")
    wait_until(lambda: box.show("checkout", "ActiveState") == "inactive", "the end")
    assert not box.path(policy).exists()
    assert box.busctl("status", "org.execwatch1", check=False).returncode != 0
