# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest

from execwatchd.kernel.btf import Type
from execwatchd.kernel.header import _type, cgroup_root

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


INTEGER, POINTER, ARRAY = Type(4), Type(struct="mm_struct", pointer=True), Type(1, length=16)


@pytest.mark.parametrize(
    ("c_type", "expected", "text"),
    [
        ("u32", INTEGER, "4 bytes"),
        ("s64", Type(8), "8 bytes"),
        ("bit", Type(bits=1), "a bit field"),
        ("const char *", Type(pointer=True), "a pointer"),
        ("struct mm_struct *", POINTER, "a pointer to struct mm_struct"),
        ("struct vfsmount", Type(struct="vfsmount"), "struct vfsmount"),
        ("char[16]", ARRAY, "an array of 16 times 1 byte"),
        ("struct upid[0]", Type(struct="upid", length=0), "an array of 0 times struct upid"),
    ],
)
def test_a_declared_type_is_understood(c_type: str, expected: Type, text: str) -> None:
    assert _type(c_type) == expected
    assert str(expected) == text


@pytest.mark.parametrize("c_type", ["", "u32 *[4]", "char **", "union sigval"])
def test_a_type_that_cannot_be_compared_is_refused(c_type: str) -> None:
    with pytest.raises(ValueError, match="no C type for a member"):
        _type(c_type)


@pytest.mark.parametrize(
    ("declared", "actual"),
    [
        (INTEGER, Type(4)),
        (POINTER, POINTER),
        (POINTER, Type(pointer=True)),
        (ARRAY, Type(1, length=32)),
        (Type(struct="upid", length=0), Type(struct="upid", length=1)),
        (Type(bits=1), Type(bits=1)),
    ],
)
def test_a_member_that_can_be_read_as_declared(declared: Type, actual: Type) -> None:
    assert declared.fits(actual)


@pytest.mark.parametrize(
    ("declared", "actual"),
    [
        (INTEGER, Type(8)),
        (INTEGER, Type(2)),
        (INTEGER, Type(bits=4)),
        (INTEGER, Type(4, length=1)),
        (Type(8), POINTER),
        (POINTER, Type(struct="file", pointer=True)),
        (POINTER, Type(struct="mm_struct")),
        (POINTER, Type(8)),
        (Type(pointer=True), POINTER),
        (ARRAY, Type(1, length=15)),
        (ARRAY, Type(2, length=16)),
        (ARRAY, Type(1)),
        (ARRAY, Type(pointer=True)),
        (Type(struct="upid", length=0), Type(struct="pid", length=1)),
        (Type(bits=1), Type(1)),
        (Type(bits=1), Type(bits=2)),
    ],
)
def test_a_member_that_would_be_read_wrong(declared: Type, actual: Type) -> None:
    assert not declared.fits(actual)
