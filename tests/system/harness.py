# SPDX-License-Identifier: GPL-2.0-or-later
"""A booted box: a real systemd, journal, system bus and polkit, with the installation in place."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

REPOSITORY = Path(__file__).resolve().parents[2]
BOX = Path(__file__).with_name("box")
_HIERARCHY = Path("/sys/fs/cgroup")
CGROUPS = _HIERARCHY if (_HIERARCHY / "cgroup.procs").exists() else _HIERARCHY / "unified"
STATES = Path("/run/execwatchd-box")

Entry = dict[str, str]
T = TypeVar("T")
Result = subprocess.CompletedProcess[str]


class Box:
    """One box by its name; its root is `/proc/PID1/root` from outside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._boot: subprocess.Popen[bytes] | None = None

    def boot(self, lower: Path, prepare: str = "", root: Path = Path("/")) -> None:
        """Boots on the layer `lower` over `root`; `prepare` is a shell script that gets the result as $R."""
        prep = lower.parent / f"{self.name}.prep"
        prep.write_text(prepare)
        env = {**os.environ, "LOWER": f"{lower}:{root}", "PREP": str(prep)}
        self._boot = subprocess.Popen([BOX, "boot", self.name], env=env)
        subprocess.run([BOX, "wait", self.name], check=True)

    def down(self) -> None:
        subprocess.run([BOX, "down", self.name], check=True)
        if self._boot:
            self._boot.wait()

    @property
    def pid1(self) -> int:
        return int((STATES / self.name / "pid1").read_text())

    def main_pid(self, unit: str) -> int:
        """The number that the host knows a unit's process by."""
        group = self.show(unit, "ControlGroup")
        return int((CGROUPS / f"execwatchd-box-{self.name}{group}/cgroup.procs").read_text())

    def path(self, inside: str) -> Path:
        """Where a file of the box is for the tests; symbolic links in it lead out of the box."""
        return Path(f"/proc/{self.pid1}/root{inside}")

    def run(
        self, *command: str, uid: int = 0, check: bool = True, stdin: str = "", timeout: float = 60
    ) -> Result:
        """Runs a command in the box, in no unit; as another UID, the caller's comm is `setpriv`."""
        if uid:
            command = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *command)
        done = subprocess.run(
            [BOX, "run", self.name, *command],
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def shell(self, script: str, *arguments: str, uid: int = 0, check: bool = True) -> Result:
        return self.run("bash", "-c", script, "bash", *arguments, uid=uid, check=check)

    def systemctl(self, *arguments: str, check: bool = True) -> Result:
        return self.run("systemctl", *arguments, check=check)

    def show(self, unit: str, name: str) -> str:
        """One property of a unit, as systemctl shows it."""
        return self.systemctl("show", "--value", "-p", name, unit).stdout.removesuffix("\n")

    def busctl(self, *arguments: str, uid: int = 0, check: bool = True) -> Result:
        return self.run("busctl", *arguments, uid=uid, check=check)

    def call(self, method: str, *arguments: str, uid: int = 0, check: bool = True) -> Result:
        """Calls a method of the manager: signature and arguments as busctl takes them."""
        name = "org.execwatch1"
        where = (name, "/org/execwatch1", f"{name}.Manager")
        return self.busctl("call", *where, method, *arguments, uid=uid, check=check)

    def journal(self, *arguments: str) -> list[Entry]:
        """Journal entries, oldest first; bytes that are not UTF-8 as surrogates."""
        self.run("journalctl", "--sync")
        shown = self.run("journalctl", "-o", "json", "--all", "--no-pager", "-q", *arguments)
        return [
            {key: _text(value) for key, value in json.loads(line).items()}
            for line in shown.stdout.splitlines()
        ]

    def enable_drop_in(self, name: str) -> None:
        """As an administrator does it who follows the comment in the file."""
        directory = "/etc/systemd/system/execwatchd.service.d"
        shipped = f"/usr/share/execwatchd/execwatchd.service.d/{name}.conf"
        self.shell(f"mkdir -p {directory} && cp {shipped} {directory}/ && systemctl daemon-reload")


def argv_of(entry: Entry) -> list[bytes]:
    """The exec's arguments."""
    if (raw := entry.get("EXECWATCH_ARGV_RAW")) is not None:
        return str(raw).encode(errors="surrogateescape").removesuffix(b"\0").split(b"\0")
    return [argument.encode() for argument in json.loads(entry["EXECWATCH_ARGV"])]


def _text(value: str | list[int]) -> str:
    """A field: journalctl gives what is not printable as a list of bytes."""
    return value if isinstance(value, str) else bytes(value).decode(errors="surrogateescape")


def in_layer(layer: Path, *command: str) -> None:
    """Runs a command on an overlay of the host's root; what it changes stays in `layer`/upper."""
    # the make that runs the tests must not pass its own options and variables on
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    env["BIND"] = str(REPOSITORY)
    done = subprocess.run(
        [BOX, "layer", layer, *command], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def memory(pid: int, kind: str = "Pss") -> int:
    """KiB of a kind that smaps knows, without rings and other maps of BPF: their size is a setting."""
    total, ours = 0, True
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = "bpf-map" not in line
        elif line.startswith(f"{kind}:") and ours:
            total += int(line.split()[1])
    return total


Boot = Callable[..., Box]  # takes `prepare` of Box.boot


def wait_until(probe: Callable[[], T | Literal[False] | None], what: str, seconds: float = 20) -> T:
    """The first true answer of `probe`."""
    end = time.monotonic() + seconds
    while True:
        if found := probe():
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)
