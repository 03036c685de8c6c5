# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of a process as the datagram of one journal entry, and as a line of text."""

import os
import resource
import signal

from execwatchd.kernel.layout import END, NO_ID
from execwatchd.shared import quoting
from execwatchd.shared.durations import duration
from execwatchd.shared.message_ids import MessageId
from execwatchd.stream.decode import Record
from execwatchd.stream.exec_entry import exec_id, pid_namespace, terminal, truncated, where
from execwatchd.stream.journal_fields import HEADING, field, string

_HEAD = (
    b"MESSAGE=%b\n"
    + HEADING
    + b"MESSAGE_ID="
    + MessageId.EXITED.value.encode()
    + b"\nEXECWATCH_PID=%d\nEXECWATCH_UID=%d\nEXECWATCH_TIMESTAMP=%d\nEXECWATCH_RUN_TIME_USEC=%d\n"
)
_PAGE_KIB = resource.getpagesize() // 1024


def encode(r: Record) -> bytes:
    """The datagram of this end's entry, with every field that has a value. Raises struct.error."""
    _began, peak, status, _unused = END.unpack(r.end)
    values: dict[bytes, int | bytes | None] = {
        **_outcome(status),
        b"PEAK_RSS_KB": peak * _PAGE_KIB or None,
        b"LOGINUID": None if r.loginuid == NO_ID else r.loginuid,
        b"SESSION": None if r.session == NO_ID else r.session,
        b"TTY": terminal(string(r.tty)) or None,
        b"PIDNS": pid_namespace(r.pidns),
        b"NSPID": r.nspid or None,
        b"COMM": string(r.comm),
    }
    parts = [
        _HEAD % (message(r).encode(), r.pid, r.uid, r.timestamp, _run_time(r)),
        field(b"EXEC_ID", exec_id(r.pid, r.exec_id)),
    ]
    parts += [
        field(name, value if isinstance(value, bytes) else b"%d" % value)
        for name, value in values.items()
        if value is not None
    ]
    return b"".join([*parts, where(r.cgroup, r.flags), truncated(r.flags)])


def message(r: Record) -> str:
    """`pid <pid> (<comm>) exited with 2 after 12.3 s`, on one line whatever the comm contains."""
    status = END.unpack(r.end)[2]
    if not os.WIFSIGNALED(status):
        how = f"exited with {os.WEXITSTATUS(status)}"
    else:
        how = f"was killed by {signal_name(os.WTERMSIG(status))}"
        how += " and dumped core" if os.WCOREDUMP(status) else ""
    return f"pid {r.pid} ({quoting.escape(string(r.comm))}) {how} after {duration(_run_time(r))}"


def signal_name(number: int) -> str:
    """`SIGKILL`, `SIGRTMIN+3`, as kill(1) takes them."""
    try:
        return signal.Signals(number).name
    except ValueError:  # libc uses it internally, or it is a real-time signal in the middle of their range
        first = int(signal.SIGRTMIN)
        return f"SIGRTMIN+{number - first}" if number > first else str(number)


def _run_time(r: Record) -> int:
    """How long the process ran since the exec, in µs."""
    began: int = END.unpack(r.end)[0]
    return max(r.timestamp - began, 0) // 1000


def _outcome(status: int) -> dict[bytes, int | bytes | None]:
    """EXIT_RESULT alone says whether it went well, in the words of Result= in systemd.service(5)."""
    if not os.WIFSIGNALED(status):
        code = os.WEXITSTATUS(status)
        return {b"EXIT_CODE": code, b"EXIT_RESULT": b"exit-code" if code else b"success"}
    number = os.WTERMSIG(status)
    return {
        b"EXIT_SIGNAL": number,
        b"EXIT_SIGNAL_NAME": signal_name(number).encode(),
        b"EXIT_RESULT": b"core-dump" if os.WCOREDUMP(status) else b"signal",
    }
