# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon costs wherever it runs: system calls for 1,000 execs, libraries that stay in memory."""

import re
import subprocess
from pathlib import Path

from tests.system.harness import Boot, wait_until
from tests.system.storm import ONLY_STORM, Storm, arrived, counters

EXECS = 1000
# beside one `send` for each: waiting, the clock, reading the ring's wake-up, looking for losses
OTHERS = EXECS // 4


def calls(summary: str) -> dict[str, int]:
    """How often each system call was made, by strace's table."""
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+)(?: +\d+)? +(\w+)$", summary, re.MULTILINE)
    return {name: int(count) for count, name in rows if name != "total"}


def test_one_system_call_an_exec_and_few_others(boot: Boot, storm: Storm, tmp_path: Path) -> None:
    box = boot(ONLY_STORM)
    box.systemctl("start", "execwatchd")
    summary = tmp_path / "summary"
    tracer = subprocess.Popen(
        ["strace", "-c", "-f", "-o", summary, "-p", str(box.main_pid("execwatchd"))], stderr=subprocess.PIPE
    )
    assert tracer.stderr
    assert b"attached" in tracer.stderr.readline()
    storm.run("cost", EXECS)
    wait_until(lambda: sum(arrived(box, "cost").values()) == EXECS, "all are in the journal")
    forwarded = counters(box)["Forwarded"]
    tracer.terminate()
    tracer.wait()
    tracer.stderr.close()
    made = calls(summary.read_text())
    assert made["sendto"] >= forwarded == EXECS + 1
    assert sum(made.values()) <= EXECS + OTHERS, summary.read_text()


def test_neither_the_compiler_nor_what_checks_the_configuration_stays_in_memory(boot: Boot) -> None:
    box = boot()
    box.systemctl("start", "execwatchd")
    pid = box.main_pid("execwatchd")
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for _ in range(2):
        mapped = Path(f"/proc/{pid}/maps").read_text()
        assert "libbpf" in mapped
        assert not re.findall(r"\S*(?:pydantic|libbcc|libLLVM)\S*", mapped)
        wait_until(lambda: children.read_text() == "", "what reads the configuration has ended")
        box.systemctl("reload", "execwatchd")
