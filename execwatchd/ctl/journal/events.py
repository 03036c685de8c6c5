# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's journal entries as events: execs, ends of processes, and how many execs have no entry."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from execwatchd.ctl.journal import times
from execwatchd.ctl.ports import Entry, integer
from execwatchd.shared.message_ids import MessageId

PREFIX = "EXECWATCH_"
SUPPRESSED = (MessageId.STORM_STARTED, MessageId.STORM_CONTINUES, MessageId.STORM_ENDED)
KINDS = {
    MessageId.EXEC.value: "exec",
    MessageId.EXEC_FAILED.value: "failed",
    MessageId.EXITED.value: "ended",
    MessageId.EVENTS_LOST.value: "lost",
    **dict.fromkeys((message_id.value for message_id in SUPPRESSED), "suppressed"),
}
NUMBERS = (
    *("LIMIT", "SUPPRESSED", "SUPPRESSED_TOTAL"),
    *("PID", "PPID", "UID", "EUID", "GID", "LOGINUID", "SESSION", "ARGC", "ARGV_BYTES", "RESULT"),
    *("PIDNS", "MNTNS", "NSPID", "TIMESTAMP", "LOST", "REDACTED", "BY_KERNEL", "FILELESS", "UPPER"),
    *("EXIT_CODE", "EXIT_SIGNAL", "RUN_TIME_USEC", "PEAK_RSS_KB"),
)
TEXTS = (
    *("PARENT_COMM", "TTY", "COMM", "NEW_COMM", "FILENAME", "INTERP", "CMDLINE", "TRUNCATED"),
    *("CWD", "ANCESTORS", "MESSAGE", "ERRNO", "CGROUP", "UNIT", "USER_UNIT", "CONTAINER", "LOST_UIDS"),
    *("EXE", "EXE_ID", "EXE_MODE", "EXE_OWNER", "GAINED", "CAPS"),
    *("EXEC_ID", "PARENT_ID", "PARENT_EXE", "PARENT_CMDLINE", "EXIT_RESULT", "EXIT_SIGNAL_NAME"),
)
ARGUMENTS = "ARGV", "ARGV_RAW"
Fact = int | bytes | tuple[bytes, ...]  # what a field says: a number, text, or the arguments


@dataclass(frozen=True, slots=True)
class Event:
    """An entry. `fields`: raw, by names without prefix; `micros`: CLOCK_REALTIME of the exec or the end.

    `received`: when journald got the entry; `machine`: the host's machine-id(5), if journald noted it.
    """

    kind: str
    micros: int
    boot: str
    text: bytes
    fields: Mapping[str, bytes]
    host: bytes = b""
    received: int = 0
    machine: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether it stands for execs that have no entry; its text says how many."""
        return self.kind in {"lost", "suppressed"}

    def number(self, name: str) -> int | None:
        """The field as an integer, or None where it is absent or isn't an integer."""
        return integer(self.fields.get(name))

    def raw(self, name: str) -> bytes:
        """The field's bytes, empty where it is absent."""
        return self.fields.get(name, b"")

    @property
    def argv(self) -> tuple[bytes, ...]:
        """The arguments, those that are recorded."""
        if (array := _strings(self.raw("ARGV"))) is not None:
            return array
        # Of each argument the bytes and a NUL, unless it was cut. ARGV of the first versions was the same.
        raw = self.raw("ARGV_RAW") or self.raw("ARGV")
        return tuple(raw.removesuffix(b"\0").split(b"\0")) if raw else ()

    @property
    def ancestors(self) -> list[tuple[int, bytes]]:
        """Pid and escaped comm of each recorded ancestor, the parent first."""
        words = [word.partition(b":") for word in self.raw("ANCESTORS").split()]
        return [(pid, comm) for digits, _, comm in words if (pid := integer(digits)) is not None]

    @property
    def process(self) -> bytes:
        """EXEC_ID without the exec's number: the same for all execs of a process. Empty without EXEC_ID."""
        return self.raw("EXEC_ID").rpartition(b"-")[0]

    @property
    def filename(self) -> bytes:
        """The program as it was given, which has a field only where that isn't EXE."""
        return self.raw("FILENAME") or self.raw("EXE")

    @property
    def parent(self) -> bytes:
        """The same of the process that the parent's program comes from. Empty where nobody can tell."""
        return self.raw("PARENT_ID").rpartition(b"-")[0]

    @property
    def time(self) -> datetime:
        """When it happened, in the local time zone."""
        return datetime.fromtimestamp(self.micros / 1e6).astimezone()

    def _usual(self) -> Mapping[str, int]:
        """The numbers that an exec's entry leaves out, as they are the usual or follow from the rest."""
        if self.kind not in {"exec", "failed"} or b"argv" in self.raw("TRUNCATED").split():
            return {"RESULT": 0} if self.kind == "exec" else {}
        counted = {"ARGC": len(self.argv)}
        return {"RESULT": 0, **counted} if self.kind == "exec" else counted

    def facts(self) -> dict[str, Fact]:
        """What the entry says by the names of its fields, with what it leaves out filled in."""
        numbers = {**self._usual(), **{name: n for name in NUMBERS if (n := self.number(name)) is not None}}
        facts: dict[str, Fact] = {name: numbers[name] for name in NUMBERS if name in numbers}
        facts |= {name: self.fields[name] for name in TEXTS if name in self.fields}
        if self.fields.keys() & set(ARGUMENTS):
            facts["ARGV"] = self.argv
        return facts

    def as_json(self) -> dict[str, Any]:
        """The event's facts by lower-case names; text that isn't UTF-8 is a list of byte values."""
        shown: dict[str, Any] = {"kind": self.kind, "time": times.iso(self.micros)}
        if self.host:
            shown["host"] = as_text(self.host)
        if self.is_missing:
            shown["text"] = as_text(self.text)
        return shown | {name.lower(): _shown(fact) for name, fact in self.facts().items()}


def _shown(fact: Fact) -> object:
    if isinstance(fact, tuple):
        return [as_text(argument) for argument in fact]
    return as_text(fact) if isinstance(fact, bytes) else fact


def _strings(raw: bytes) -> tuple[bytes, ...] | None:
    """The strings of a JSON array; None for anything else."""
    if not raw.startswith(b"["):
        return None
    try:
        array = json.loads(raw)
        return tuple(text.encode(errors="surrogatepass") for text in array)
    except (ValueError, AttributeError, RecursionError):
        return None


def as_text(raw: bytes) -> str | list[int]:
    """Text for JSON; what isn't UTF-8 is a list of byte values."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return list(raw)


def dump(value: object, *, pretty: bool = False) -> str:
    """JSON in ASCII: nothing in it can reach a terminal as an escape. It is one line unless `pretty`."""
    return json.dumps(value, indent="\t") if pretty else json.dumps(value, separators=(",", ":"))


def from_entry(entry: Entry) -> Event | None:
    """The entry as an event, or None where it is of a kind that the log doesn't show."""
    kind = KINDS.get(entry.fields.get("MESSAGE_ID", b"").decode("ascii", "replace"))
    if kind is None:
        return None
    fields = {name.removeprefix(PREFIX): raw for name, raw in entry.fields.items() if name.startswith(PREFIX)}
    boot, machine = (
        entry.fields.get(name, b"").decode("ascii", "replace") for name in ("_BOOT_ID", "_MACHINE_ID")
    )
    text, host = entry.fields.get("MESSAGE", b""), entry.fields.get("_HOSTNAME", b"")
    return Event(kind, _happened(entry, fields), boot, text, fields, host, entry.realtime, machine)


def _happened(entry: Entry, fields: Mapping[str, bytes]) -> int:
    """When the exec was: journald's time, less how long the record waited in the ring."""
    timestamp = integer(fields.get("TIMESTAMP"))
    waited = 0 if timestamp is None else entry.monotonic - timestamp // 1000
    return entry.realtime - waited if 0 < waited < entry.realtime else entry.realtime
