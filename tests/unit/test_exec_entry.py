# SPDX-License-Identifier: GPL-2.0-or-later
"""Records as journal entries, read back as journald reads them."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.kernel import layout
from execwatchd.kernel.layout import ANCESTOR, NO_ID, Flag
from execwatchd.shared.message_ids import MessageId
from execwatchd.stream.decode import Decoder, Record
from execwatchd.stream.encoder import Encoder
from execwatchd.stream.exec_entry import encode, message
from execwatchd.stream.journal_fields import log_entry
from tests.fakes.native import fields
from tests.fakes.records import Value, pack, values

HAS = int(Flag.HAS_COMM | Flag.HAS_CGROUP)
TEXT = st.binary(max_size=60).map(lambda raw: raw.replace(b"\0", b""))
WORD = st.one_of(
    TEXT, st.sampled_from([b"x\nEXECWATCH_UID=0\n", b"x\nEXECWATCH_UID", b"\x1b[31m", b"'", b""])
)


@pytest.fixture(autouse=True)
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the daemon is, whoever runs the tests."""
    monkeypatch.setattr(os, "getuid", lambda: 998)


def record(**changed: Value) -> Record:
    return Decoder()(pack(values(**changed)))


def entry(**changed: Value) -> dict[str, bytes]:
    """By both ways, see encoder.py."""
    data = pack(values(**changed))
    found = Encoder()(data)
    assert encode(Decoder()(data)) == found
    return fields(found)


def ours(**changed: Value) -> dict[str, bytes]:
    """The fields of the entry that stand in the record, without the prefix that they have in common."""
    found = entry(**changed)
    return {
        name.removeprefix("EXECWATCH_"): value
        for name, value in found.items()
        if name.startswith("EXECWATCH_")
    }


def test_an_ordinary_exec() -> None:
    assert entry() == {
        "MESSAGE": b"37926 501 bash Hi user 501!: ls -la",
        "SYSLOG_IDENTIFIER": b"execwatchd",
        "SYSLOG_FACILITY": b"10",
        "PRIORITY": b"6",
        "MESSAGE_ID": MessageId.EXEC.value.encode(),
        "EXECWATCH_PID": b"37926",
        "EXECWATCH_PPID": b"4000",
        "EXECWATCH_PARENT_COMM": b"sshd",
        "EXECWATCH_UID": b"501",
        "EXECWATCH_EUID": b"501",
        "EXECWATCH_GID": b"20",
        "EXECWATCH_LOGINUID": b"501",
        "EXECWATCH_SESSION": b"3",
        "EXECWATCH_TTY": b"pts/7",
        "EXECWATCH_COMM": b"bash",
        "EXECWATCH_NEW_COMM": b"ls",
        "EXECWATCH_EXE": b"/usr/bin/ls",
        "EXECWATCH_EXE_ID": b"254:1:5001:1700000000123456789",
        "EXECWATCH_PARENT_EXE": b"/usr/sbin/sshd",
        "EXECWATCH_ARGV": b'["ls","-la"]',
        "EXECWATCH_CMDLINE": b"ls -la",
        "EXECWATCH_MESSAGE": b"Hi user 501!",
        "EXECWATCH_CGROUP": b"/user.slice/user-501.slice/session-3.scope",
        "EXECWATCH_UNIT": b"session-3.scope",
        "EXECWATCH_MNTNS": b"4026531841",
        "EXECWATCH_TIMESTAMP": b"123456789012",
        "EXECWATCH_EXEC_ID": b"37926-900000000-3",
        "EXECWATCH_PARENT_ID": b"4000-800000000-2",
    }


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ({"interp": b"/bin/sh\0"}, {"INTERP": b"/bin/sh"}),
        ({"euid": 0}, {"EUID": b"0"}),
        ({"nspid": 12, "pidns": 4026532289}, {"NSPID": b"12", "PIDNS": b"4026532289"}),
        ({"loginuid": NO_ID}, {"LOGINUID": None}),
        ({"session": NO_ID}, {"SESSION": None}),
        ({"loginuid": 0, "session": 0}, {"LOGINUID": b"0", "SESSION": b"0"}),
        ({"pidns": 0}, {"PIDNS": None}),
        ({"mntns": 0}, {"MNTNS": None}),
        ({"tty": b""}, {"TTY": None}),
        ({"tty": b"tty1"}, {"TTY": b"tty1"}),
        ({"tty": b"ttyS0"}, {"TTY": b"ttyS0"}),
        ({"message": b""}, {"MESSAGE": b""}),
        ({"message": "Grüße, 世界".encode()}, {"MESSAGE": "Grüße, 世界".encode()}),
        ({"parent_comm": b"a\nb"}, {"PARENT_COMM": b"a\nb"}),
        (
            {"uid": 4294967294, "timestamp": 2**64 - 1},
            {"UID": b"4294967294", "TIMESTAMP": b"%d" % (2**64 - 1)},
        ),
        ({"flags": HAS & ~Flag.HAS_COMM}, {"COMM": None}),
        ({"flags": HAS & ~Flag.HAS_CGROUP}, {"CGROUP": None, "UNIT": None}),
        ({"cgroup": b""}, {"CGROUP": b"/", "UNIT": None}),
        ({"flags": HAS | Flag.CGROUP_OUTSIDE}, {"UNIT": None}),
        ({"flags": HAS | Flag.HAS_CWD}, {"CWD": b"/"}),
        ({"flags": HAS | Flag.HAS_CWD, "cwd": b"b\n\0a\0"}, {"CWD": b"/a/b\n"}),
        (
            {"flags": HAS | Flag.HAS_CWD | Flag.CWD_UNREACHABLE, "cwd": b"b\0a\0"},
            {"CWD": b"(unreachable)/a/b"},
        ),
        ({"flags": HAS | Flag.TRUNCATED_FILENAME}, {"TRUNCATED": b"filename"}),
        (
            {"flags": HAS | Flag.TRUNCATED_ARGV, "argv": b"ls\0-l", "argv_total": 99, "argc": 12},
            {
                "TRUNCATED": b"argv",
                "ARGV": b'["ls","-l"]',
                "CMDLINE": b"ls -l # cut, 12 arguments of 99 bytes",
                "ARGC": b"12",
                "ARGV_BYTES": b"99",
            },
        ),
        (
            {"flags": HAS | Flag.TRUNCATED_CGROUP},
            {
                "TRUNCATED": b"cgroup",
                "CGROUP": "…/user.slice/user-501.slice/session-3.scope".encode(),
                "UNIT": None,
            },
        ),
        (
            {
                "flags": HAS | Flag.TRUNCATED_CGROUP,
                "cgroup": b"docker-" + b"0" * 64 + b".scope\0sshd.service\0",
            },
            {
                "TRUNCATED": b"cgroup",
                "CGROUP": "…/sshd.service/docker-".encode() + b"0" * 64 + b".scope",
                "UNIT": None,
            },
        ),
        (
            {"flags": HAS | Flag.HAS_CWD | Flag.TRUNCATED_CWD, "cwd": b"b\0a\0"},
            {"TRUNCATED": b"cwd", "CWD": "…/a/b".encode()},
        ),
        (
            {"flags": HAS | Flag.TRUNCATED_FILENAME | Flag.TRUNCATED_ARGV | Flag.TRUNCATED_CWD},
            {
                "TRUNCATED": b"filename argv cwd",
                "CMDLINE": b"ls -la # cut, 2 arguments of 7 bytes",
                "ARGC": b"2",
                "ARGV_BYTES": b"7",
            },
        ),
        (
            {"ancestors": ANCESTOR.pack(37925, b"my shell\n") + ANCESTOR.pack(1, b"systemd")},
            {"ANCESTORS": rb"37925:my\040shell\012 1:systemd"},
        ),
        (
            {"cgroup": b"nginx.service\0app.slice\0user@501.service\0user-501.slice\0user.slice\0"},
            {
                "CGROUP": b"/user.slice/user-501.slice/user@501.service/app.slice/nginx.service",
                "UNIT": b"user@501.service",
                "USER_UNIT": b"nginx.service",
            },
        ),
        (
            {"cgroup": b"docker-" + b"0" * 64 + b".scope\0system.slice\0"},
            {
                "CGROUP": b"/system.slice/docker-" + b"0" * 64 + b".scope",
                "UNIT": b"docker-" + b"0" * 64 + b".scope",
                "CONTAINER": b"0" * 64,
            },
        ),
        ({"cgroup": b"x\ny\0"}, {"CGROUP": b"/x\ny", "UNIT": None}),
    ],
)
def test_what_differs_in_another(changed: dict[str, Value], differs: dict[str, bytes | None]) -> None:
    expected: dict[str, bytes | None] = {**ours(), **differs}
    assert ours(**changed) == {name: value for name, value in expected.items() if value is not None}


def test_the_mount_namespace_of_the_host_is_left_out() -> None:
    encode = Encoder(host_mntns=4026531841)
    for argv in (b"ls\0", b"ls\0--token=x"):
        for mntns, expected in ((4026531841, None), (4026532300, b"4026532300"), (0, None)):
            found = fields(encode(pack(values(mntns=mntns, argv=argv))))
            assert found.get("EXECWATCH_MNTNS") == expected


def test_only_root_is_believed_who_the_object_is() -> None:
    assert "OBJECT_SYSTEMD_UNIT" not in entry(cgroup=b"nobodys.service\0")


def test_only_the_systems_own_unit_is_the_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    found = entry(cgroup=b"other.service\0app.slice\0user@501.service\0user-501.slice\0user.slice\0")
    assert found["OBJECT_SYSTEMD_UNIT"] == b"user@501.service"
    assert "OBJECT_SYSTEMD_UNIT" not in entry(cgroup=b"a.slice\0")
    assert "OBJECT_SYSTEMD_UNIT" not in entry(flags=HAS | Flag.CGROUP_OUTSIDE)


def test_a_failed_exec() -> None:
    failed: dict[str, Value] = {
        "result": -errno.ENOENT,
        "new_comm": b"",
        "exec_id": layout.NO_EXEC,
        "exe": b"",
        "exe_inode": 0,
        "filename": b"/bin/nosuch\0",
        "argv": b"nosuch\0",
        "argc": 1,
    }
    found = entry(**failed)
    assert found["MESSAGE_ID"] == MessageId.EXEC_FAILED.value.encode()
    assert found["MESSAGE"] == b"37926 501 bash Hi user 501!: nosuch # ENOENT"
    differs = {"RESULT": b"-2", "ERRNO": b"ENOENT", "FILENAME": b"/bin/nosuch"}
    expected = {**ours(), **differs, "ARGV": b'["nosuch"]', "CMDLINE": b"nosuch"}
    for name in ("NEW_COMM", "EXEC_ID", "EXE", "EXE_ID"):
        del expected[name]
    assert ours(**failed) == expected


def test_a_failed_exec_of_what_could_not_be_read() -> None:
    found = entry(
        result=-errno.EFAULT, flags=HAS | Flag.TRUNCATED_ARGV, filename=b"", argv=b"", argc=3, argv_total=0
    )
    assert found["MESSAGE"] == (b"37926 501 bash Hi user 501!:  # cut, as far as it could be read # EFAULT")
    assert found["EXECWATCH_TRUNCATED"] == b"argv"
    assert found["EXECWATCH_ARGV"] == b"[]"
    assert found["EXECWATCH_CMDLINE"] == b" # cut, as far as it could be read"
    assert found.keys() & {"EXECWATCH_ARGC", "EXECWATCH_ARGV_BYTES", "EXECWATCH_FILENAME"} == set()


def test_an_errno_that_has_no_name_here() -> None:
    assert entry(result=-4000)["EXECWATCH_ERRNO"] == b"Unknown error 4000"
    assert entry(result=-(2**31))["EXECWATCH_ERRNO"] == b"Unknown error 2147483648"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"comm": b"Web Content"}, r"37926 501 Web\040Content Hi user 501!: ls -la"),
        ({"comm": b"x\n1 0 root"}, r"37926 501 x\0121\0400\040root Hi user 501!: ls -la"),
        ({"comm": b""}, "37926 501  Hi user 501!: ls -la"),
        ({"message": b""}, "37926 501 bash : ls -la"),
        ({"message": b"a\x1b\nb\xff"}, r"37926 501 bash a\033\012b\377: ls -la"),
        ({"argv": b"ls\0a b\0"}, "37926 501 bash Hi user 501!: ls 'a b'"),
        ({"argv": b"\0"}, "37926 501 bash Hi user 501!: ''"),
        ({"argv": b""}, "37926 501 bash Hi user 501!: /usr/bin/ls"),
        ({"argv": b"", "filename": b"/a b\0"}, "37926 501 bash Hi user 501!: '/a b'"),
        ({"argv": b"#\0cut\0"}, "37926 501 bash Hi user 501!: '#' cut"),
        (
            {"flags": HAS | Flag.TRUNCATED_ARGV, "argc": 3000, "argv_total": 14894},
            "37926 501 bash Hi user 501!: ls -la # cut, 3000 arguments of 14894 bytes",
        ),
        ({"flags": 0}, "37926 501 ? Hi user 501!: ls -la"),
        ({"comm": "a\u3164".encode()}, r"37926 501 a\343\205\244 Hi user 501!: ls -la"),
        ({"message": "a\ufe0f b".encode()}, r"37926 501 bash a\357\270\217 b: ls -la"),
        ({"argv": "ls\0אבג\0".encode()}, "37926 501 bash Hi user 501!: ls 'אבג' # right-to-left"),
        ({"message": "אבג".encode()}, "37926 501 bash אבג: ls -la # right-to-left"),
        ({"comm": "אבג".encode()}, "37926 501 אבג Hi user 501!: ls -la # right-to-left"),
        ({"comm": b"\xd7", "argv": b"\x80\0"}, r"37926 501 \327 Hi user 501!: $'\200'"),
        ({"argv": b"", "filename": "/ש\0".encode()}, "37926 501 bash Hi user 501!: '/ש' # right-to-left"),
        (
            {"argv": "ש\0".encode(), "flags": HAS | Flag.TRUNCATED_ARGV, "argc": 3, "argv_total": 9000},
            "37926 501 bash Hi user 501!: 'ש' # cut, 3 arguments of 9000 bytes # right-to-left",
        ),
    ],
)
def test_the_message(changed: dict[str, Value], text: str) -> None:
    assert message(record(**changed)) == text
    assert entry(**changed)["MESSAGE"].decode() == text


@given(
    WORD.map(lambda word: word[:15]),
    st.lists(WORD, max_size=4),
    st.builds(bytes.__add__, st.just(b"/"), WORD),
    WORD.map(lambda word: word[:15]),
)
def test_nothing_is_forged(comm: bytes, argv: list[bytes], filename: bytes, other: bytes) -> None:
    """Whatever bytes the process chose: one line, the ordinary fields, and its bytes unchanged."""
    joined = b"".join(argument + b"\0" for argument in argv)
    found = entry(
        comm=comm,
        new_comm=other,
        parent_comm=other,
        argv=joined,
        filename=filename + b"\0",
        interp=b"i\n\0",
        exe=b"exe\nEXECWATCH_UID=0\0",
    )
    form = "EXECWATCH_ARGV" if "EXECWATCH_ARGV" in found else "EXECWATCH_ARGV_RAW"
    names = {*entry(), "EXECWATCH_INTERP", "EXECWATCH_FILENAME", form}
    assert found.keys() == names - ({"EXECWATCH_ARGV"} - {form})
    assert found["MESSAGE"].decode().isprintable()
    assert found["EXECWATCH_CMDLINE"].decode().isprintable()
    assert found["EXECWATCH_UID"] == b"501"
    raw = {"COMM": comm, "NEW_COMM": other, "PARENT_COMM": other, "FILENAME": filename}
    assert {name: found[f"EXECWATCH_{name}"] for name in raw} == raw
    assert found["EXECWATCH_INTERP"] == b"i\n"
    assert found["EXECWATCH_EXE"] == b"/exe\nEXECWATCH_UID=0"


def test_the_daemons_own_entries() -> None:
    found = fields(log_entry(4, "two\nlines \udcff", {"EXECWATCH_LOST": 7, "LOGGER": "a\nb"}))
    assert found == {
        "MESSAGE": b"two\nlines \\udcff",
        "SYSLOG_IDENTIFIER": b"execwatchd",
        "SYSLOG_FACILITY": b"3",
        "PRIORITY": b"4",
        "EXECWATCH_LOST": b"7",
        "LOGGER": b"a\nb",
    }
