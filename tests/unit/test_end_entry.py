# SPDX-License-Identifier: GPL-2.0-or-later
"""The ends of processes as journal entries, read back as journald reads them."""

import mmap
import os
import signal
import struct

import pytest

from execwatchd.kernel import layout
from execwatchd.kernel.layout import NO_ID, Flag
from execwatchd.shared.durations import duration
from execwatchd.shared.message_ids import MessageId
from execwatchd.stream import exec_entry
from execwatchd.stream.decode import Decoder, Record
from execwatchd.stream.end_entry import encode, message, signal_name
from tests.fakes.native import fields
from tests.fakes.records import Value, pack, values

AT = 123_456_789_012
ID = layout.EXEC_ID.pack(86_400_000_000_001, 7)
PAGE = mmap.PAGESIZE >> 10


@pytest.fixture(autouse=True)
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the daemon is, whoever runs the tests."""
    monkeypatch.setattr(os, "getuid", lambda: 998)


def record(status: Value = 0, peak: Value = 10, **changed: Value) -> Record:
    end = layout.END.pack(AT - 12_300_456_789, peak, status, 0)
    ours: dict[str, Value] = {"timestamp": AT, "comm": b"make", "exec_id": ID, "end": end}
    none: dict[str, Value] = {"argv": b"", "argv_total": 0, "argc": 0, "filename": b"", "new_comm": b""}
    return Decoder()(pack(values(**ours | none | changed)))


def test_an_ordinary_end() -> None:
    assert fields(encode(record(2 << 8))) == {
        "MESSAGE": b"pid 37926 (make) exited with 2 after 12.3 s",
        "SYSLOG_IDENTIFIER": b"execwatchd",
        "SYSLOG_FACILITY": b"10",
        "PRIORITY": b"6",
        "MESSAGE_ID": MessageId.EXITED.value.encode(),
        "EXECWATCH_PID": b"37926",
        "EXECWATCH_UID": b"501",
        "EXECWATCH_LOGINUID": b"501",
        "EXECWATCH_SESSION": b"3",
        "EXECWATCH_TTY": b"pts/7",
        "EXECWATCH_COMM": b"make",
        "EXECWATCH_CGROUP": b"/user.slice/user-501.slice/session-3.scope",
        "EXECWATCH_UNIT": b"session-3.scope",
        "EXECWATCH_TIMESTAMP": b"%d" % AT,
        "EXECWATCH_EXEC_ID": b"37926-86400000000001-7",
        "EXECWATCH_RUN_TIME_USEC": b"12300456",
        "EXECWATCH_PEAK_RSS_KB": b"%d" % (10 * PAGE),
        "EXECWATCH_EXIT_CODE": b"2",
        "EXECWATCH_EXIT_RESULT": b"exit-code",
    }


def test_the_exec_has_the_same_id() -> None:
    begin = Decoder()(pack(values(exec_id=ID)))
    assert fields(exec_entry.encode(begin))["EXECWATCH_EXEC_ID"] == b"37926-86400000000001-7"
    failed = Decoder()(pack(values(result=-2)))
    assert "EXECWATCH_EXEC_ID" not in fields(exec_entry.encode(failed))


OUTCOME = ("EXIT_CODE", "EXIT_SIGNAL", "EXIT_SIGNAL_NAME", "EXIT_RESULT")


@pytest.mark.parametrize(
    ("status", "text", "outcome"),
    [
        (0, "exited with 0", ["0", None, None, "success"]),
        (255 << 8, "exited with 255", ["255", None, None, "exit-code"]),
        (9, "was killed by SIGKILL", [None, "9", "SIGKILL", "signal"]),
        (0x80 | 11, "was killed by SIGSEGV and dumped core", [None, "11", "SIGSEGV", "core-dump"]),
        (
            int(signal.SIGRTMIN) + 3,
            "was killed by SIGRTMIN+3",
            [None, str(int(signal.SIGRTMIN) + 3), "SIGRTMIN+3", "signal"],
        ),
    ],
)
def test_outcomes(status: int, text: str, outcome: list[str | None]) -> None:
    found = fields(encode(record(status)))
    assert found["MESSAGE"].decode() == f"pid 37926 (make) {text} after 12.3 s"
    named = {f"EXECWATCH_{name}": value for name, value in zip(OUTCOME, outcome, strict=True)}
    assert {name: found.get(name) for name in named} == {
        name: None if value is None else value.encode() for name, value in named.items()
    }


@pytest.mark.parametrize("number", [1, 15, 32, 33, 34, 63, 64])
def test_every_signal_has_a_name(number: int) -> None:
    assert signal_name(number)


@pytest.mark.parametrize(
    ("changed", "absent"),
    [
        ({"loginuid": NO_ID, "session": NO_ID}, {"LOGINUID", "SESSION"}),
        ({"tty": b""}, {"TTY"}),
        ({"flags": int(Flag.HAS_COMM)}, {"CGROUP", "UNIT"}),
    ],
)
def test_what_has_no_value_is_left_out(changed: dict[str, Value], absent: set[str]) -> None:
    left_out = fields(encode(record())).keys() - fields(encode(record(**changed))).keys()
    assert left_out == {f"EXECWATCH_{name}" for name in absent}


def test_the_pid_namespace_where_it_is_not_the_hosts() -> None:
    assert fields(encode(record(nspid=3, pidns=4026532289)))["EXECWATCH_PIDNS"] == b"4026532289"


def test_a_peak_that_is_not_known() -> None:
    assert "EXECWATCH_PEAK_RSS_KB" not in fields(encode(record(peak=0)))


def test_a_pid_of_a_namespace() -> None:
    assert fields(encode(record(nspid=7)))["EXECWATCH_NSPID"] == b"7"


def test_a_cgroup_that_is_cut() -> None:
    found = fields(encode(record(flags=int(Flag.HAS_CGROUP | Flag.TRUNCATED_CGROUP))))
    assert found["EXECWATCH_CGROUP"] == "…/user.slice/user-501.slice/session-3.scope".encode()
    assert found["EXECWATCH_TRUNCATED"] == b"cgroup"
    assert found.keys() & {"EXECWATCH_UNIT", "OBJECT_SYSTEMD_UNIT"} == set()


def test_nothing_is_forged() -> None:
    found = fields(encode(record(comm=b"a)\nX_UID=0")))
    assert found["MESSAGE"] == rb"pid 37926 (a)\012X_UID=0) exited with 0 after 12.3 s"
    assert (found["EXECWATCH_UID"], found["EXECWATCH_COMM"]) == (b"501", b"a)\nX_UID=0")


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0 ms"),
        (7, "0.007 ms"),
        (5_340, "5.34 ms"),
        (999_400, "999 ms"),
        (999_600, "1.0 s"),
        (12_345_678, "12.3 s"),
        (59_960_000, "1 min 0 s"),
        (200_000_000, "3 min 20 s"),
        (7_500_000_000, "2 h 5 min"),
        (187_200_000_000, "2 d 4 h"),
    ],
)
def test_durations(micros: int, text: str) -> None:
    assert duration(micros) == text


def test_the_line_of_a_foreground_run() -> None:
    assert message(record()) == "pid 37926 (make) exited with 0 after 12.3 s"


def test_an_end_of_another_length_is_an_error() -> None:
    with pytest.raises(struct.error):
        encode(record(end=b"x"))
