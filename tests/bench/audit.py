# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's audit, and what reads it; its rules and settings are as before in the end."""

import os
import re
import subprocess
from pathlib import Path

from tests.bench import usage
from tests.bench.contender import CannotRunError
from tests.bench.peer import Peer
from tests.bench.programs import Programs
from tests.system.harness import BOX


class Auditd(Peer):
    """auditd with a rule for execve, to its own file, which it rotates as by default."""

    note = "a rule for execve and execveat, to its file"
    binary = "/usr/sbin/auditd"
    line = re.compile(rb"type=EXECVE")
    settings = "write_logs = yes"

    def __init__(self, name: str, layer: Path, programs: Programs) -> None:
        super().__init__(name, layer, programs)
        self.output = self._place / "audit.log"
        self._kauditd = usage.kernel_thread("kauditd")
        self._before: dict[str, str] = {}

    def prepare(self) -> None:
        plugins = self._place / "plugins.d"
        plugins.mkdir(exist_ok=True)
        self.command = (self.binary, "-n", "-c", str(self._place))
        own = (self._lower / "etc/audit/auditd.conf").read_text()
        for name, value in {
            "log_file": f"{self._place}/audit.log",
            "plugin_dir": str(plugins),
            "num_logs": "99",
            "max_log_file": "999",  # MB: one file, so that all can be counted
        }.items():
            own = re.sub(rf"^{name} = .*$", f"{name} = {value}", own, flags=re.MULTILINE)
        own = re.sub(r"^write_logs = .*$", self.settings, own, flags=re.MULTILINE)
        (self._place / "auditd.conf").write_text(own)
        self._before = self._status()
        if self._before["pid"] != "0":
            raise CannotRunError("an auditd runs on this host already")
        self._control("-b", "8192")
        for bits in ("b64", "b32"):
            self._control("-a", "always,exit", "-F", f"arch={bits}", "-S", "execve,execveat", "-k", "bench")

    def _control(self, *arguments: str) -> str:
        done = subprocess.run(
            [BOX, "layer", self._place / "control", "auditctl", *arguments],
            env={**os.environ, "LOWER": f"{self._lower}:/"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CannotRunError(done.stderr.strip() or "auditctl failed")
        return done.stdout

    def _status(self) -> dict[str, str]:
        return dict(re.findall(r"^(\w+) (\S+)", self._control("-s"), re.MULTILINE))

    def stop(self) -> None:
        if self._before.get("pid") == "0":
            self._control("-D", "-k", "bench")
        self._end()
        if self._before.get("pid") == "0":
            self._control("-b", self._before["backlog_limit"])
            self._control("-e", self._before["enabled"])
        self._before = {}
        super().stop()

    def _end(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def times(self) -> dict[str, float]:
        kernel = {"kauditd": usage.process_time(self._kauditd)} if self._kauditd else {}
        return {**super().times(), **kernel}


class Laurel(Auditd):
    """The same rule, auditd writing nothing itself but handing all to laurel."""

    note = "auditd's plugin, to its file"
    binary = "/usr/sbin/laurel"
    line = re.compile(rb"EXECVE")
    settings = "write_logs = no"

    def prepare(self) -> None:
        super().prepare()
        self.command = (Auditd.binary, "-n", "-c", str(self._place))
        self.output = self._place / "laurel/audit.log"
        (self._place / "laurel").mkdir(exist_ok=True)
        text = (self._lower / "etc/laurel/config.toml").read_text()
        text = re.sub(r"^directory = .*$", f'directory = "{self._place}/laurel"', text, flags=re.MULTILINE)
        text = re.sub(r"^user = .*$", "", text, flags=re.MULTILINE)
        text = re.sub(r"^size = .*$", "size = 4000000000", text, flags=re.MULTILINE)
        (self._place / "laurel.toml").write_text(text)
        (self._place / "plugins.d/laurel.conf").write_text(
            "active = yes\ndirection = out\ntype = always\nformat = string\n"
            f"path = {self.binary}\nargs = --config {self._place}/laurel.toml\n"
        )
