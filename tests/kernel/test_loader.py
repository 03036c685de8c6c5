# SPDX-License-Identifier: GPL-2.0-or-later
"""The program loads with every combination of options and without kernel headers, or says why it can't."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from execwatchd.kernel import attach, layout, libbpf, loader
from execwatchd.kernel.c_source import directory
from execwatchd.kernel.loader import EXIT_TRACEPOINTS, FAILURE_TRACEPOINTS, RAW_TRACEPOINTS
from execwatchd.kernel.options import MIB, Options
from execwatchd.shared.errors import Failure

COMBINATIONS = [
    Options(MIB, argv_bytes, failures, cwd, ancestors, interactive, exits)
    for argv_bytes in (512, 4096, 32768)
    for failures, cwd, ancestors, interactive, exits in (
        (False, False, 0, False, False),
        (False, True, 0, False, False),
        (True, False, 0, False, False),
        (True, True, 0, False, False),
        (True, True, 8, True, True),
    )
] + [
    Options(MIB, ancestors=8),
    Options(MIB, interactive=True),
    Options(MIB, exits=True),
]
LIMIT = 1_000_000  # the verifier's, of instructions in all states


def largest_record(argv_bytes: int) -> int:
    """Bytes of struct scratch of the program."""
    size = layout.record_head(layout.SCHEMA).size + layout.EXEC_ID.size + layout.FILENAME_SIZE
    size += layout.INTERP_SIZE + argv_bytes + 2 * (layout.PATH_AREA + layout.NAME_SIZE)
    size += layout.MAX_ANCESTORS * layout.ANCESTOR.size
    return (size + 7) // 8 * 8


@pytest.mark.parametrize("options", COMBINATIONS, ids=str)
def test_every_combination_of_options_loads(options: Options) -> None:
    fds, kernel = loader.load(directory(), options)
    try:
        programs = {
            name.removeprefix("prog."): libbpf.program_info(fd).verified_instructions
            for name, fd in fds.items()
            if name.startswith("prog.")
        }
        ledger = libbpf.map_info(fds["map.ledger"]).value_size
    finally:
        for fd in fds.values():
            os.close(fd)
    assert kernel == ([], os.stat("/proc/self/ns/mnt").st_ino)
    names = [*RAW_TRACEPOINTS.values(), *(FAILURE_TRACEPOINTS.values() if options.failures else ())]
    names += EXIT_TRACEPOINTS.values() if options.exits else ()
    assert programs.keys() == set(names)
    assert all(0 < count < LIMIT for count in programs.values())
    assert ledger >= largest_record(options.argv_bytes)
    print(options, *(f"{name}: {count} instructions" for name, count in programs.items()), sep="\n  ")


def load(setup: str = "true", *crippled: str) -> list[str]:
    """What the loader says in a mount namespace of its own, after this shell script."""
    script = Path(__file__).with_name("load.py")
    repository = str(script.parents[2])
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-euc", f'{setup}; exec "$@"', "sh", sys.executable, script, *crippled],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": repository, "PATH": os.environ["PATH"]},
        cwd="/",
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def hidden(*directories: str) -> str:
    """A script that hides them behind empty ones."""
    return "; ".join(f"[ ! -e {path} ] || mount -t tmpfs none {path}" for path in directories)


ATTACHED = [" ".join(["attached", *RAW_TRACEPOINTS])]


def test_it_needs_no_kernel_headers() -> None:
    assert load(hidden("/lib/modules", "/usr/lib/modules", "/usr/src", "/boot", "/usr/include")) == ATTACHED


def test_it_needs_no_tracing_file_system() -> None:
    assert load(hidden("/sys/kernel/debug", "/sys/kernel/tracing")) == ATTACHED


def test_a_kernel_without_type_information() -> None:
    said, hint = load(
        hidden("/sys/kernel/btf", "/boot", "/lib/modules", "/usr/lib/modules", "/usr/lib/debug")
    )
    assert said == "this kernel has no type information: /sys/kernel/btf/vmlinux can't be read"
    assert "CONFIG_DEBUG_INFO_BTF=y" in hint


def test_no_bcc() -> None:
    said, hint = load("true", "without-bcc")
    assert said.startswith("the BPF compiler collection is missing: ")
    assert hint == "install python3-bpfcc (Debian, Ubuntu) or python3-bcc (Fedora)"


def test_no_permission() -> None:
    said, hint = load("true", "without-capabilities")
    assert said.endswith("operation not permitted")
    assert hint == "it needs CAP_BPF and CAP_PERFMON on Linux 5.19 or newer"


def test_a_program_that_does_not_compile(tmp_path: Path) -> None:
    copy = tmp_path / "bpf"
    subprocess.run(["cp", "-r", directory(), copy], check=True)
    with (copy / "execwatch.c").open("a") as source:
        source.write("int broken(void *ctx) { return undeclared_here; }\n")
    with pytest.raises(Failure, match=r"could not be compiled.*undeclared_here"):
        loader.load(copy, Options(MIB))


def test_a_program_that_the_verifier_refuses(tmp_path: Path) -> None:
    copy = tmp_path / "bpf"
    subprocess.run(["cp", "-r", directory(), copy], check=True)
    source = copy / "exec.h"
    text = source.read_text()
    marker = "int on_exec(struct bpf_raw_tracepoint_args *ctx)\n{\n"
    assert marker in text
    source.write_text(text.replace(marker, marker + "  if (*(volatile int *)16) return 1;\n"))
    with pytest.raises(Failure, match=r"the kernel refused the program on_exec: .*\S"):
        loader.load(copy, Options(MIB))


def test_a_tracepoint_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    fds, _ = loader.load(directory(), Options(MIB))
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(attach, "RAW_TRACEPOINTS", {**RAW_TRACEPOINTS, "no_such_thing": "on_exec"})
    with pytest.raises(Failure, match=r"the tracepoint no_such_thing can't be attached: No such file"):
        attach.attach(fds, failures=False)
    assert len(os.listdir("/proc/self/fd")) == before
    for fd in fds.values():
        os.close(fd)


def test_failures_without_the_tracepoints_ids(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(attach, "_EVENTS", tmp_path)
    with pytest.raises(Failure, match="the tracepoint sys_enter_execve can't be read"):
        attach.tracepoint_id("sys_enter_execve")


def test_a_tracepoints_id_from_the_units_credential(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sys_enter_execve").write_text("817\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert attach.tracepoint_id("sys_enter_execve") == 817


def test_a_kernel_that_is_locked_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program that reads the kernel's memory is refused there, whatever else the verifier says."""
    lockdown = tmp_path / "lockdown"
    lockdown.write_text("none integrity [confidentiality]\n")
    monkeypatch.setattr(loader, "LOCKDOWN", lockdown)
    copy = tmp_path / "bpf"
    subprocess.run(["cp", "-r", directory(), copy], check=True)
    (copy / "execwatch.c").write_text("refused\n")
    with pytest.raises(Failure, match=r"locked down \(confidentiality\).*boot with lockdown=integrity"):
        loader.load(copy, Options(MIB))
