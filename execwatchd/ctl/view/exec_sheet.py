# SPDX-License-Identifier: GPL-2.0-or-later
"""One exec whole: its fields with their meaning, its process's relatives, its end, and what was around it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from execwatchd.ctl.journal import times
from execwatchd.ctl.journal.events import Event
from execwatchd.ctl.journal.process_tree import Process, walk
from execwatchd.ctl.journal.surroundings import Surroundings
from execwatchd.ctl.view import event_line, tree
from execwatchd.ctl.view.terminal import Console, pad, printable
from execwatchd.shared.durations import duration

MEANINGS: Mapping[str, str] = {
    "CMDLINE": "command line",
    "FILENAME": "program as given",
    "EXE": "file executed",
    "EXE_ID": "its identity",
    "EXE_MODE": "its mode",
    "EXE_OWNER": "its owner",
    "FILELESS": "in no directory",
    "UPPER": "in an upper layer",
    "INTERP": "file loaded for it",
    "CWD": "working directory",
    "MESSAGE": "message of the user",
    "ERRNO": "failed with",
    "RESULT": "error number",
    "PID": "process",
    "NSPID": "pid in its namespace",
    "COMM": "its name before",
    "NEW_COMM": "its name after",
    "PPID": "parent",
    "PARENT_COMM": "the parent's name",
    "PARENT_EXE": "the parent's file",
    "PARENT_CMDLINE": "its command line",
    "PARENT_ID": "the parent's id",
    "ANCESTORS": "chain of parents",
    "UID": "user",
    "EUID": "effective user",
    "GID": "group",
    "GAINED": "privilege gained",
    "CAPS": "capabilities",
    "LOGINUID": "logged in as",
    "SESSION": "audit session",
    "TTY": "terminal",
    "UNIT": "system unit",
    "USER_UNIT": "user unit",
    "CONTAINER": "container",
    "CGROUP": "control group",
    "PIDNS": "pid namespace",
    "MNTNS": "mount namespace",
    "BY_KERNEL": "by the kernel itself",
    "REDACTED": "secrets replaced",
    "TRUNCATED": "was cut",
    "ARGC": "arguments in all",
    "ARGV_BYTES": "bytes of arguments",
    "TIMESTAMP": "ns since boot",
    "EXEC_ID": "id",
    "EXIT_CODE": "exit code",
    "EXIT_SIGNAL": "signal",
    "EXIT_SIGNAL_NAME": "killed by",
    "EXIT_RESULT": "result",
    "RUN_TIME_USEC": "ran for",
    "PEAK_RSS_KB": "peak memory",
}
_OF_USERS = "UID", "EUID", "LOGINUID"
_OF_ENDS = "EXIT_CODE", "EXIT_SIGNAL_NAME", "EXIT_RESULT", "RUN_TIME_USEC", "PEAK_RSS_KB"
_LABEL = max(map(len, MEANINGS.values()))


def lines(shown: Surroundings, console: Console) -> Iterator[str]:
    """The sheet: fields, end, relatives, and what user and unit did."""
    yield _row("time", times.iso(shown.exec.micros), console)
    yield from (_row(meaning, value, console) for meaning, value in _fields(shown.exec, MEANINGS))
    if shown.end is not None:
        yield from ("", _title("End", console), _row("time", times.iso(shown.end.micros), console))
        yield from (_row(meaning, value, console) for meaning, value in _fields(shown.end, _OF_ENDS))
    yield from ("", _title("Ancestors and children", console))
    for process, place in walk([shown.root]):
        yield from tree.lines(process, place, console)
    yield from _around("Around it by the same user", shown.by_user, shown.exec, console)
    yield from _around("Around it in the same unit", shown.by_unit, shown.exec, console)


def as_object(shown: Surroundings) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "exec": shown.exec.as_json(),
        "end": shown.end and shown.end.as_json(),
        "execs": [event.as_json() for event in shown.process.execs],
        "ancestors": [_last_exec(process) for process in shown.ancestors],
        "children": [event.as_json() for child in shown.process.children for event in child.execs],
        "by_user": [event.as_json() for event in shown.by_user],
        "by_unit": [event.as_json() for event in shown.by_unit],
    }


def _last_exec(process: Process) -> dict[str, Any]:
    return process.execs[-1].as_json()


def _fields(event: Event, names: Mapping[str, str] | Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        if name in event.fields:
            yield MEANINGS[name], _value(event, name)


def _value(event: Event, name: str) -> str:
    number = event.number(name)
    if name == "CMDLINE":
        return event_line.shell_line(event)
    if name in _OF_USERS and number is not None:
        named = event_line.user(number)
        return str(number) if named == str(number) else f"{number} ({named})"
    if name == "RUN_TIME_USEC" and number is not None:
        return duration(number)
    if name == "PEAK_RSS_KB" and number is not None:
        return f"{number / 1024:.1f} MiB"
    return printable(event.raw(name))


def _row(meaning: str, value: str, console: Console) -> str:
    return f"{console.paint(pad(meaning, _LABEL, right=True), 'dim')}  {value}"


def _title(text: str, console: Console) -> str:
    return console.paint(text, "bold")


def _around(title: str, events: Sequence[Event], exec_: Event, console: Console) -> Iterator[str]:
    """The neighbours, and the exec itself among them."""
    if events:
        yield from ("", _title(title, console))
        together = sorted([*events, exec_], key=lambda event: event.micros)
        yield from map(event_line.EventLine(console), together)
