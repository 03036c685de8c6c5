# SPDX-License-Identifier: GPL-2.0-or-later
"""What each journal field is called elsewhere. The exports and docs/fields.md are made from this table.

ECS: https://github.com/elastic/ecs, OpenTelemetry: https://github.com/open-telemetry/semantic-conventions,
Sigma: the fields of the log source process_creation of https://github.com/SigmaHQ/sigma-specification.
Tests compare the names and their types with the versions named here.
"""

from functools import cache
from typing import NamedTuple

ECS_VERSION = "9.4.0"
OTEL_VERSION = "1.44.0"
OURS = "execwatchd."  # where a taxonomy has no name of its own


class Field(NamedTuple):
    """A fact. `when`: the kinds of event that have it, and what else it takes.

    The other three are names, separated by blanks; none where the taxonomy has none.
    """

    what: str
    when: str
    ecs: str = ""
    otel: str = ""
    sigma: str = ""


_EXECS, _PROCESSES = "exec, failed", "exec, failed, ended"

FIELDS = {
    "PID": Field("process", _PROCESSES, ecs="process.pid", otel="process.pid", sigma="ProcessId"),
    "PPID": Field(
        "its parent", _EXECS, ecs="process.parent.pid", otel="process.parent_pid", sigma="ParentProcessId"
    ),
    "PARENT_COMM": Field("the parent's name", _EXECS, ecs="process.parent.name"),
    "PARENT_EXE": Field(
        "the file that the parent runs", _EXECS, ecs="process.parent.executable", sigma="ParentImage"
    ),
    "PARENT_ID": Field("names the exec that the parent comes from", "exec, failed; where it can be told"),
    "PARENT_CMDLINE": Field(
        "the parent's arguments, quoted for a shell",
        "exec, failed; if the parent's exec is remembered",
        ecs="process.parent.command_line",
        sigma="ParentCommandLine",
    ),
    "UID": Field(
        "real user",
        "exec, failed, ended; suppressed, of a user's limit",
        ecs="user.id process.real_user.id",
        otel="user.id process.real_user.id",
        sigma="LogonId User",
    ),
    "EUID": Field("effective user", _EXECS, ecs="user.effective.id process.user.id", otel="process.user.id"),
    "GID": Field("real group", _EXECS, ecs="group.id process.real_group.id"),
    "LOGINUID": Field("who logged in", "exec, failed, ended; of a login"),
    "SESSION": Field("audit session", "exec, failed, ended; of a login", sigma="TerminalSessionId"),
    "TTY": Field("controlling terminal, below /dev", "exec, failed, ended; with a terminal"),
    "COMM": Field("name of the process before", _EXECS),
    "NEW_COMM": Field("its name after; of an end, at the end", "exec, ended", ecs="process.name"),
    "EXE": Field(
        "file that the kernel runs; filled in from INTERP, else FILENAME",
        _EXECS,
        ecs="process.executable",
        otel="process.executable.path",
        sigma="Image",
    ),
    "EXE_ID": Field("that file: device, inode and ctime", "exec"),
    "EXE_MODE": Field("its mode, octal", "exec; where mode or owner are unusual"),
    "EXE_OWNER": Field("its user:group", "exec; where mode or owner are unusual"),
    "FILELESS": Field("1: no directory had the file", "exec; where none had"),
    "UPPER": Field("1: it is in an overlay's upper layer", "exec; where it is"),
    "GAINED": Field("privilege that the exec gave: euid, egid, caps", "exec; where it gave some"),
    "CAPS": Field("effective capabilities, hexadecimal", "exec, failed; where neither none nor all"),
    "FILENAME": Field("program as it was given", "exec, failed; where it is another path than EXE"),
    "INTERP": Field("file that was loaded", "exec, failed; where it is another one"),
    "ARGV": Field(
        "arguments",
        "exec, failed; as text",
        ecs="process.args",
        otel="process.command_args",
        sigma="CommandLine",
    ),
    "ARGV_RAW": Field(
        "arguments",
        "exec, failed; as bytes, instead of ARGV",
        ecs="process.args",
        otel="process.command_args",
        sigma="CommandLine",
    ),
    "ARGC": Field(
        "number of arguments; filled in",
        "exec; failed, where all are recorded",
        ecs="process.args_count",
        otel="process.args_count",
    ),
    "ARGV_BYTES": Field("length of all arguments together", "exec; where not all are recorded"),
    "CMDLINE": Field("arguments, quoted for a shell", _EXECS),
    "TRUNCATED": Field("what was cut", "exec, failed, ended; where something was"),
    "REDACTED": Field("1: a secret was replaced", "exec, failed; where it was"),
    "BY_KERNEL": Field("1: executed by the kernel itself", "exec, failed, suppressed; where it was"),
    "ANCESTORS": Field("chain of parents, as pid:comm", "exec, failed; by option"),
    "CWD": Field(
        "working directory",
        "exec, failed; by option",
        ecs="process.working_directory",
        otel="process.working_directory",
        sigma="CurrentDirectory",
    ),
    "MESSAGE": Field("the user's message", "exec, failed; where it isn't empty"),
    "RESULT": Field("0, or the negative error number; filled in", _EXECS),
    "ERRNO": Field("name of the error", "failed", ecs="error.code", otel="error.type"),
    "CGROUP": Field("control group", _PROCESSES, otel="process.linux.cgroup"),
    "UNIT": Field("system unit", "exec, failed, ended; in one"),
    "USER_UNIT": Field("unit of a user's manager", "exec, failed, ended; in one"),
    "CONTAINER": Field("container", "exec, failed, ended; in one", ecs="container.id", otel="container.id"),
    "PIDNS": Field("pid namespace; the host's is filled in", _PROCESSES),
    "MNTNS": Field("mount namespace; the host's is filled in", _EXECS),
    "NSPID": Field(
        "process, as its pid namespace numbers it",
        "exec, failed, ended; in a pid namespace other than the host's",
        ecs="process.vpid",
        otel="process.vpid",
    ),
    "TIMESTAMP": Field("CLOCK_MONOTONIC of it, in ns", "exec, failed, ended, suppressed"),
    "EXEC_ID": Field("names the exec on this boot", "exec, ended"),
    "EXIT_CODE": Field("exit code", "ended; by itself", ecs="process.exit_code", otel="process.exit.code"),
    "EXIT_SIGNAL": Field("signal", "ended; by a signal"),
    "EXIT_SIGNAL_NAME": Field("its name", "ended; by a signal"),
    "EXIT_RESULT": Field("success, exit-code, signal or core-dump", "ended"),
    "RUN_TIME_USEC": Field("time since the exec, in µs; in ECS in ns", "ended", ecs="event.duration"),
    "PEAK_RSS_KB": Field("peak of resident memory, in KiB", "ended; where the kernel knows it"),
    "LOST": Field("how many were lost", "lost"),
    "LOST_UIDS": Field("whose they were, as UID=number", "lost; where it is known"),
    "LIMIT": Field("execs a second that the limit allows", "suppressed"),
    "SUPPRESSED": Field("how many were suppressed since the last report", "suppressed"),
    "SUPPRESSED_TOTAL": Field("the same since the storm started", "suppressed"),
}


@cache
def ecs_names(name: str) -> list[str]:
    """What ECS calls a field, or our own name below `execwatchd`."""
    return FIELDS[name].ecs.split() or [OURS + name.lower()]


@cache
def otel_names(name: str) -> list[str]:
    """What OpenTelemetry calls a field, or our own name."""
    return FIELDS[name].otel.split() or [OURS + name.lower()]
