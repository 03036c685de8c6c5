# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest

from execwatchd.kernel.loader import _verdict
from execwatchd.kernel.offsets import cgroup_root

OTHERS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
"""


@pytest.mark.parametrize("name", ["unified", "with space", "tab\there", "é", "a\\101"])
def test_the_cgroups_root_is_where_it_is_mounted(name: str, tmp_path: Path) -> None:
    mounted = tmp_path / name
    mounted.mkdir()
    shown = str(mounted).replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
    file = tmp_path / "mountinfo"
    file.write_text(f"{OTHERS}31 22 0:27 /below /elsewhere rw - cgroup2 cgroup2 rw\n")
    assert cgroup_root(file) == 1
    with file.open("a") as more:
        more.write(f"32 22 0:27 / {shown} rw,nosuid shared:9 - cgroup2 none rw,nsdelegate\n")
    assert cgroup_root(file) == mounted.stat().st_ino


def test_a_mount_point_of_any_bytes_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_bytes(
        b"29 22 8:1 / /media/\xff\xfe\r\x0c rw - vfat /dev/sdb rw\n" + OTHERS.encode()
    )
    assert cgroup_root(tmp_path / "mountinfo") == 1


def test_without_cgroups_it_is_the_true_root(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(OTHERS)
    assert cgroup_root(tmp_path / "mountinfo") == 1


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        (["/virtual/main.c:3:1: error: unknown type name 'u65'", "1 error generated."],
         "/virtual/main.c:3:1: error: unknown type name 'u65'"),
        (["0: R1=ctx()", "R2 invalid mem access 'scalar'", "processed 9 insns", "libbpf: -- END --"],
         "R2 invalid mem access 'scalar' / processed 9 insns"),
        ([], ""),
    ],
)  # fmt: skip
def test_what_the_compiler_or_the_verifier_said(lines: list[str], verdict: str) -> None:
    assert _verdict(lines) == verdict
