# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand-ins for the daemon on the bus and for the journal, as the command-line tool sees them."""

import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from execwatchd.ctl.__main__ import main
from execwatchd.ctl.journal.exec_counts import ExecCounts
from execwatchd.ctl.ports import Clause, Entry, Memory, Query, Row, Source, Tools
from execwatchd.ctl.view.terminal import Console
from execwatchd.shared.message_ids import MessageId

BOOT = "0123456789abcdef0123456789abcdef"
UNIT = b"execwatchd.service"
EPOCH = 1_700_000_000_000_000  # µs, Tue 2023-11-14 22:13:20 UTC

WARNINGS = MessageId.EVENTS_LOST, MessageId.STORM_STARTED, MessageId.STORM_CONTINUES

PROPERTIES: Mapping[str, Any] = {
    "DefaultMessage": "Hello World",
    "DefaultAction": "record",
    "DefaultLimit": "off",
    "Version": "1.2.3",
    "MaxMessageLength": 63,
    "NotInEffect": [],
    "Attached": ["sched_process_exec", "task_rename"],
    "Since": EPOCH,
    "RingSize": 8 << 20,
    "RingFill": 4096,
    "Seen": 1000,
    "Forwarded": 900,
    "Ignored": 100,
    "Lost": 0,
    "Refused": 3,
}


class FakeManager:
    """Keeps `calls`; each reading of the properties takes the next of `samples`, the last one again."""

    def __init__(
        self, *samples: Mapping[str, Any], rows: Sequence[Row] = (), limits: Mapping[int, str] | None = None
    ) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.rows = rows
        self.limits = dict(limits or {})
        self.refusal: BaseException | None = None
        self._samples = [{**PROPERTIES, **sample} for sample in samples or ({},)]

    def _call(self, *call: object) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.calls.append(call)

    def set_message(self, uid: int, message: str) -> None:
        self._call("SetMessage", uid, message)

    def remove_message(self, uid: int) -> None:
        self._call("RemoveMessage", uid)

    def set_action(self, uid: int, action: str) -> None:
        self._call("SetAction", uid, action)

    def set_limit(self, uid: int, limit: str) -> None:
        self._call("SetLimit", uid, limit)

    def list_messages(self) -> Sequence[Row]:
        if self.refusal is not None:
            raise self.refusal
        return self.rows

    def list_limits(self) -> Mapping[int, str]:
        return self.limits

    def properties(self) -> Mapping[str, Any]:
        if self.refusal is not None:
            raise self.refusal
        return self._samples.pop(0) if len(self._samples) > 1 else self._samples[0]

    def set_property(self, name: str, value: str) -> None:
        self._call("Set", name, value)

    def memory(self) -> Memory | None:
        return Memory(40 << 20, ring=True)


class FakeJournal:
    """Entries in memory, matched as sd-journal does; a following reader gets `later` one by one."""

    def __init__(self, entries: Sequence[Entry] = (), later: Sequence[Entry] = ()) -> None:
        self.stored = list(entries)
        self.later = list(later)
        self.boot_ids: Sequence[str] = (BOOT,)
        self.may_read = True
        self.damaged: Sequence[str] = []
        self.queries: list[Query] = []
        self.sources: list[Source] = []

    def entries(self, query: Query, before_wait: Callable[[], object]) -> Iterator[Entry]:
        self.queries.append(query)
        matching = [entry for entry in self.stored if _matches(entry, query)]
        last = matching if query.lines is None else matching[max(0, len(matching) - query.lines) :]
        yield from reversed(last) if query.reverse else last
        while query.follow and self.later:
            before_wait()
            entry = self.later.pop(0)
            if _matches(entry, query):
                yield entry

    def polled(self, query: Query) -> Iterator[Entry | None]:
        """A test appends to `stored` what comes later."""
        self.queries.append(query)
        matching = [place for place, entry in enumerate(self.stored) if _matches(entry, query)]
        first = matching if query.lines is None else matching[-query.lines :]
        self.position = first[0] if first else len(self.stored)
        while True:
            while self.position < len(self.stored):
                self.position += 1
                if _matches(self.stored[self.position - 1], query):
                    yield self.stored[self.position - 1]
            if not query.follow:
                return
            yield None

    def skip(self, until: int) -> None:
        self.position = sum(entry.realtime < until for entry in self.stored)

    def find(self, clauses: Sequence[Clause]) -> Entry | None:
        return next((entry for entry in self.stored if _matches(entry, Query(tuple(clauses)))), None)

    def boots(self) -> Sequence[str]:
        return self.boot_ids

    def messages(self) -> Collection[bytes]:
        return {message for entry in self.stored if (message := entry.fields.get("EXECWATCH_MESSAGE"))}

    def damage(self) -> Sequence[str]:
        lines, self.damaged = self.damaged, []
        return lines

    def readable(self) -> bool:
        return self.may_read


def _matches(entry: Entry, query: Query) -> bool:
    terms = {name.encode() + b"=" + value for name, value in entry.fields.items()}
    return (
        query.covers(entry.realtime)
        and query.accepts(entry)
        and all(terms & set(clause) for clause in query.clauses)
    )


def entry(
    kind: MessageId = MessageId.EXEC,
    at: int = 0,
    sender: bytes | None = UNIT,
    text: bytes = b"",
    **fields: Any,
) -> Entry:
    """An entry of the daemon's, `at` seconds after EPOCH; bytes stay, the rest is made text.

    `sender` is the unit that wrote it, None for none that journald knows.
    """
    raw = {name: value if isinstance(value, bytes) else str(value).encode() for name, value in fields.items()}
    named = {f"EXECWATCH_{name}": value for name, value in raw.items()}
    named |= {"MESSAGE": text, "MESSAGE_ID": kind.value.encode(), "_BOOT_ID": BOOT.encode()}
    named["SYSLOG_IDENTIFIER"] = b"execwatchd"
    named["PRIORITY"] = b"4" if kind in WARNINGS else b"6"
    if sender is not None:
        named["_SYSTEMD_UNIT"] = sender
    return Entry(EPOCH + at * 1_000_000, at * 1_000_000, named)


def _arguments(argv: Sequence[bytes]) -> dict[str, bytes]:
    try:
        return {"ARGV": json.dumps([argument.decode() for argument in argv]).encode()}
    except UnicodeDecodeError:
        return {"ARGV_RAW": b"".join(argument + b"\0" for argument in argv)}


def exec_entry(pid: int, *argv: bytes, at: int = 0, **fields: Any) -> Entry:
    """An exec of these arguments, with what the daemon always writes."""
    name = argv[0].rpartition(b"/")[2]
    defaults: dict[str, Any] = {
        "PID": pid,
        "PPID": 1,
        "UID": 4242,
        "COMM": b"bash",
        "PARENT_COMM": b"bash",
        "NEW_COMM": name[:15],
        "FILENAME": b"/bin/" + name,
        **_arguments(argv),
        "CMDLINE": b" ".join(argv),
        "MESSAGE": b"Hello World",
        "TIMESTAMP": at * 1_000_000_000,
    }
    return entry(at=at, **(defaults | fields))


def failed_entry(pid: int, *argv: bytes, error: str = "ENOENT", **fields: Any) -> Entry:
    """An exec of these arguments that failed."""
    made = exec_entry(pid, *argv, kind=MessageId.EXEC_FAILED, RESULT=-2, ERRNO=error, **fields)
    kept = {name: value for name, value in made.fields.items() if name != "EXECWATCH_NEW_COMM"}
    return made._replace(fields=kept)


def end_entry(pid: int, exec_id: str, ran: int, code: int | None = 0, **fields: Any) -> Entry:
    """The end of a process that ran so many ms; killed by SIGKILL if it has no code."""
    killed: dict[str, Any] = {"EXIT_SIGNAL": 9, "EXIT_SIGNAL_NAME": b"SIGKILL", "EXIT_RESULT": b"signal"}
    ended: dict[str, Any] = {"EXIT_CODE": code, "EXIT_RESULT": b"exit-code" if code else b"success"}
    defaults: dict[str, Any] = {
        "PID": pid,
        "UID": 4242,
        "COMM": b"make",
        "EXEC_ID": exec_id,
        "PEAK_RSS_KB": 46182,
    }
    defaults |= {"RUN_TIME_USEC": ran * 1000, **(killed if code is None else ended)}
    return entry(MessageId.EXITED, **(defaults | fields))


NOBODY = 3_999_999_999  # a UID that has no name anywhere
EXECS = [
    exec_entry(1, b"/bin/ls", at=1, UID=0, UNIT="nginx.service"),
    exec_entry(2, b"/bin/ls", at=2, UID=0),
    exec_entry(3, b"sh", at=2, UID=0, UNIT="nginx.service"),
    exec_entry(4, b"ls", at=3, UID=NOBODY),
    failed_entry(5, b"nosuch", at=3, UID=NOBODY),
]
MISSING = [
    entry(MessageId.EVENTS_LOST, at=3, LOST=12),
    entry(MessageId.STORM_STARTED, at=3, SUPPRESSED=7),
    entry(MessageId.ATTACHED, at=3),
]


def counted(*entries: Entry, width: int = 1_000_000) -> ExecCounts:
    """The counts of these entries, in intervals of so many µs."""
    counts = ExecCounts(width, EPOCH)
    for each in entries:
        counts.add(each)
    return counts


class Rig:
    """Runs commands with the fakes; `out` is what the last one printed."""

    def __init__(self, manager: FakeManager | None = None, journal: FakeJournal | None = None) -> None:
        self.manager = manager or FakeManager()
        self.journal = journal or FakeJournal()
        self.out = ""
        self.stream: Callable[[], io.StringIO] = io.StringIO

    def run(self, *arguments: str, width: int | None = None, colour: bool = False) -> int:
        stream = self.stream()
        status = main(arguments, Tools(Console(stream, width, colour), self._manager, self._journal))
        self.out = stream.getvalue()
        return status

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @contextmanager
    def _manager(self) -> Iterator[FakeManager]:
        yield self.manager

    @contextmanager
    def _journal(self, source: Source) -> Iterator[FakeJournal]:
        self.journal.sources.append(source)
        yield self.journal
