# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal query that the options of `log` stand for."""

import os
import pwd
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from execwatchd.ctl.journal import times
from execwatchd.ctl.journal.conditions import acceptance
from execwatchd.ctl.journal.events import SUPPRESSED
from execwatchd.ctl.ports import Clause, Journal, Query, Source
from execwatchd.ctl.users import uid_of
from execwatchd.shared.errors import EXIT_USAGE, Failure
from execwatchd.shared.message_ids import MessageId

USER = "execwatchd"
_FOLLOWED_LINES = 10  # as journalctl -f
_UNIT_SUFFIXES = {
    *(".service", ".socket", ".device", ".mount", ".automount", ".swap", ".target", ".path", ".timer"),
    *(".slice", ".scope"),
}
_BAD_ENDS = tuple(b"EXECWATCH_EXIT_RESULT=" + result for result in (b"exit-code", b"signal", b"core-dump"))
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class OptionalKind(NamedTuple):
    """What is recorded only with an option of execwatchd.toml, and a hook that is attached then."""

    option: str
    what: str
    kind: MessageId
    hook: str


FAILURES = OptionalKind("failures", "failed execution", MessageId.EXEC_FAILED, "sys_exit_execve")
EXITS = OptionalKind("exits", "end of a process", MessageId.EXITED, "sched_process_exit")


def query(options: Namespace, journal: Journal) -> Query:
    """The query of these options; `--boot -1` and the like need the journal's own list of boots."""
    clauses = [*sender(options.any_sender, options.directory), *_kinds(options), *_filters(options)]
    if options.host:
        clauses.append(tuple(b"_HOSTNAME=" + os.fsencode(host) for host in options.host))
    if options.priority is not None:
        clauses.append(tuple(b"PRIORITY=%d" % priority for priority in options.priority))
    if options.boot is not None:
        clauses.append((f"_BOOT_ID={_boot(options, journal)}".encode(),))
    lines = (
        _FOLLOWED_LINES if options.follow and options.lines is None and not options.since else options.lines
    )
    since = times.parse(options.since) if options.since else None
    until = times.parse(options.until) if options.until else None
    accept = acceptance(options, journal, sender(options.any_sender, options.directory))
    return Query(tuple(clauses), since, until, lines, options.follow, accept, options.reverse)


def source(options: Namespace) -> Source:
    """The journal that these options name."""
    if options.directory and options.namespace:
        raise Failure("--directory and --namespace exclude each other", code=EXIT_USAGE)
    return Source(options.directory, options.namespace)


def everything(options: Namespace) -> tuple[Clause, ...]:
    """All execs, and all entries that stand for execs without one."""
    kinds = MessageId.EXEC, MessageId.EXEC_FAILED, MessageId.EVENTS_LOST, *SUPPRESSED
    return (*sender(options.any_sender, options.directory), tuple(map(_is, kinds)))


def sender(anyone: bool, directory: str | None) -> list[Clause]:
    """Only entries that the daemon wrote. Any sender can set SYSLOG_IDENTIFIER; journald sets the others.

    The daemon is execwatchd.service or, in a foreground run, a process of the user execwatchd; one of nobody,
    where that user doesn't exist, isn't believed. In another host's files the user isn't looked for: its UID
    may be somebody else's there.
    """
    name = b"SYSLOG_IDENTIFIER=execwatchd"
    if anyone:
        return [(name,)]
    trusted: tuple[bytes, ...] = (b"_SYSTEMD_UNIT=execwatchd.service",)
    if directory is None:
        trusted += _by_user()
    return [(name,), trusted]


def _by_user() -> tuple[bytes, ...]:
    try:
        return (b"_UID=%d" % pwd.getpwnam(USER).pw_uid,)
    except KeyError:
        return ()


def _kinds(options: Namespace) -> Iterator[Clause]:
    shown = [MessageId.EXEC, MessageId.EXEC_FAILED] if options.slow is None else []
    # an end has a command line only if its exec is looked up
    shown += [MessageId.EXITED] if options.output != "argv" or needs_execs(options) else []
    yield (*map(_is, shown), *_missing(options))
    if options.failed:
        yield (_is(MessageId.EXEC_FAILED), *_BAD_ENDS, *_missing(options))


def needs_execs(options: Namespace) -> bool:
    """Whether ends may be shown without their execs, so that they need the fields of those."""
    return not options.tree and (options.failed or options.slow is not None)


def never_recorded(options: Namespace, journal: Journal) -> list[OptionalKind]:
    """What `--failed` and `--slow` need, and the journal has of no time."""
    wanted = [FAILURES, EXITS] if options.failed else [EXITS] if options.slow is not None else []
    ours = sender(options.any_sender, options.directory)
    return [each for each in wanted if journal.find([*ours, (_is(each.kind),)]) is None]


def _missing(options: Namespace) -> Clause:
    """Missing execs are shown whatever the filter is: they might have matched."""
    missing = (MessageId.EVENTS_LOST, *SUPPRESSED)
    return () if options.tree or options.output == "argv" else tuple(map(_is, missing))


def _is(kind: MessageId) -> bytes:
    return b"MESSAGE_ID=" + kind.value.encode()


def _filters(options: Namespace) -> list[Clause]:
    comms = [os.fsencode(comm) for comm in options.comm]
    wanted: list[Clause] = [
        tuple(b"EXECWATCH_UID=%d" % uid_of(user) for user in options.user),
        tuple(b"EXECWATCH_UNIT=" + _unit(unit) for unit in options.unit),
        tuple(b"EXECWATCH_USER_UNIT=" + _unit(unit) for unit in options.user_unit),
        tuple(field + comm for comm in comms for field in (b"EXECWATCH_COMM=", b"EXECWATCH_NEW_COMM=")),
        tuple(b"EXECWATCH_SESSION=%d" % session for session in options.session),
        # a tree needs the descendants too; only reading everything finds them
        () if options.tree else tuple(b"EXECWATCH_PID=%d" % pid for pid in options.pid),
    ]
    # the entry of a storm has a user, so a filter by user leaves out other users' storms
    missing = _missing(options)
    return [(*clause, *(missing[:1] if clause is wanted[0] else missing)) for clause in wanted if clause]


def is_unit(name: str) -> bool:
    """Whether it is the whole name of a unit."""
    return Path(name).suffix in _UNIT_SUFFIXES


def _unit(name: str) -> bytes:
    return os.fsencode(name if is_unit(name) else name + ".service")


def _boot(options: Namespace, journal: Journal) -> str:
    """The id of the boot: as given, or by number: 0 is this boot, -1 the last, 1 the journal's first."""
    wanted = options.boot
    if len(wanted) == 32 and wanted.isalnum():
        return str(wanted)
    try:
        offset = int(wanted)
    except ValueError:
        raise Failure(f"not a boot: {wanted}", "an id, or a number such as 0 or -1", EXIT_USAGE) from None
    if offset == 0 and options.directory is None:
        return _BOOT_ID.read_text().strip().replace("-", "")
    boots = journal.boots()
    index = offset - 1 if offset > 0 else len(boots) - 1 + offset
    if not 0 <= index < len(boots):
        raise Failure(f"no such boot: {wanted}", f"the journal has {len(boots)}")
    return boots[index]
