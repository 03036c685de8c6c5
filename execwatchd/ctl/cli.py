# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of execwatchctl."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from execwatchd import __version__
from execwatchd.ctl import values
from execwatchd.ctl.commands import log, rules, show, status, top
from execwatchd.ctl.journal.exec_counts import GROUPINGS
from execwatchd.ctl.journal.query import is_unit
from execwatchd.ctl.ports import Tools
from execwatchd.ctl.users import is_user
from execwatchd.ctl.view.top_screen import SORTS
from execwatchd.shared.errors import EXIT_USAGE, Failure

_EXAMPLES = """\
examples:
  execwatchctl status                     is the daemon well? (exit status 0 if it is)
  execwatchctl set alice "Hi Alice"       the message that alice's executions bear
  execwatchctl action backup ignore       record no execution by backup
  execwatchctl limit alice 200/s          record at most so many of alice's
  execwatchctl log -f                     watch
  execwatchctl log -n 20 --user alice     her last twenty
  execwatchctl log --failed --since today
  execwatchctl log --tree --unit nginx    as a tree of processes
  execwatchctl show 4711                  the last one of process 4711, and what was around it
  execwatchctl top                        who runs what how often, live

exit status: 0 done, 1 refused or failed, 2 usage, 3 the daemon or the bus is not there,
4 the daemon runs but is not healthy, 130 interrupted.
"""
_LOG_EXAMPLES = """\
examples:
  execwatchctl log --since "1h ago" --comm sudo
  execwatchctl log -b -1 -o argv          command lines of the boot before, to paste into a shell
  execwatchctl log --slow 10s --since today
  execwatchctl log --tree --pid 4711      what process 4711 and its descendants executed
  execwatchctl log -o json | jq -r 'select(.uid == 0) | .argv[0]'
  execwatchctl log -o ecs -f              for Elastic; -o otel for OpenTelemetry
  execwatchctl log -D /mnt/var/log/journal
"""
_TOP_EXAMPLES = """\
keys: u, n, c by user, unit, command; s sort; p pause; q quit

examples:
  execwatchctl top --by command --sort execs -n 10
  execwatchctl top --once --since today   what ran today, counted exactly
  execwatchctl top --json | jq '.groups[] | select(.uid == 0)'
"""
_Commands = Any  # argparse has a private name for it
_Add = Callable[..., Any]
_Run = Callable[[Namespace, Tools], int]
_TAKES_SIGN = "-S", "--since", "-U", "--until"


class _Parser(ArgumentParser):
    """Reports errors in one line, as the rest of the tool does, and keeps the line breaks of help texts."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise the failure that `main` prints."""
        raise Failure(message, f"see {self.prog} --help", EXIT_USAGE)


def parse(arguments: Sequence[str]) -> Namespace:
    """The options that these arguments set; `run` is the command's function."""
    options, surplus = parser().parse_known_args(_signed(arguments))
    if surplus:
        hint = _meant(options, surplus[0]) or "see execwatchctl --help"
        raise Failure(f"unrecognized arguments: {' '.join(surplus)}", hint, EXIT_USAGE)
    return options


def _meant(options: Namespace, word: str) -> str:
    """Which filter a bare word is for; empty if it is an option, or the command has no filters."""
    if options.run is not log.run or word.startswith("-"):
        return ""
    if is_unit(word):
        return f"did you mean --unit {word}?"
    return f"did you mean --user {word}{'' if is_user(word) else f' or --comm {word}'}?"


def _signed(arguments: Sequence[str]) -> list[str]:
    """Joins `--since -1h` to one argument, since argparse would take -1h for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in _TAKES_SIGN and argument[:2].strip("0123456789") == "-":
            option = joined.pop()
            joined.append(f"{option}={argument}" if option.startswith("--") else option + argument)
        else:
            joined.append(argument)
    return joined


def parser() -> ArgumentParser:
    """The whole grammar. Tests compare completions and the manual page with it."""
    text = "Control execwatchd and read what it recorded."
    top = _Parser(prog="execwatchctl", description=text, epilog=_EXAMPLES)
    top.add_argument("--version", action="version", version=f"execwatchctl {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for add in (_status, _set, _unset, _list, _action, _limit, _default, _log, _show, _top):
        add(commands)
    return top


def _command(commands: _Commands, run: _Run, name: str, text: str, epilog: str = "") -> ArgumentParser:
    description = f"{text[0].upper()}{text[1:]}."
    command: ArgumentParser = commands.add_parser(name, help=text, description=description, epilog=epilog)
    command.set_defaults(run=run)
    return command


def _user(command: ArgumentParser) -> None:
    command.add_argument("user", metavar="USER", help="a name or a UID")


def _json(command: ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")


def _status(commands: _Commands) -> None:
    command = _command(commands, status.run, "status", "show what the daemon does and whether it is well")
    _json(command)
    text = "measure rate and loss for so long (0.5; 0: not)"
    command.add_argument("--interval", type=values.seconds, default=0.5, metavar="SECONDS", help=text)
    text = "not well either if more than N executions were lost since it began"
    command.add_argument("--max-lost", type=values.natural, metavar="N", help=text)


def _set(commands: _Commands) -> None:
    command = _command(commands, rules.set_message, "set", "set a user's message")
    _user(command)
    text = "at most 63 bytes of UTF-8 without control characters"
    command.add_argument("message", metavar="MESSAGE", help=text)


def _unset(commands: _Commands) -> None:
    text = "forget a user's message; a configured one counts again"
    _user(_command(commands, rules.unset_message, "unset", text))


def _list(commands: _Commands) -> None:
    text = "list users' messages, actions and limits, and where they come from"
    _json(_command(commands, rules.show_list, "list", text))


def _action(commands: _Commands) -> None:
    command = _command(commands, rules.set_action, "action", "record a user's executions, or ignore them")
    _user(command)
    choices = "record", "ignore", "default"
    command.add_argument("action", choices=choices, help="default forgets what was set for the user")


def _limit(commands: _Commands) -> None:
    command = _command(commands, rules.set_limit, "limit", "record at most so many of a user's executions")
    _user(command)
    text = "a rate as 200/s; off: no limit; default: forget what was set for the user"
    command.add_argument("limit", metavar="LIMIT", help=text)


def _default(commands: _Commands) -> None:
    text = "show or set what users without a message or an action of their own get"
    command = _command(commands, rules.default, "default", text)
    command.add_argument("--message", metavar="TEXT", help="the message")
    command.add_argument("--action", choices=("record", "ignore"), help="whether they are recorded")
    _json(command)


def _log(commands: _Commands) -> None:
    command = _command(commands, log.run, "log", "show recorded executions", _LOG_EXAMPLES)
    _filters(command.add_argument)
    _range(command.add_argument)
    _form(command.add_argument)
    _source(command.add_argument)


def _show(commands: _Commands) -> None:
    text = "show an execution whole, with what was around it"
    command = _command(commands, show.run, "show", text)
    text = "its id, or a process for the latest of its executions"
    command.add_argument("exec", metavar="ID|PID", help=text)
    add = command.add_argument
    forms = "short", "json", "json-pretty"
    add("-o", "--output", choices=forms, default="short", help="how to print it (short)")
    add("--json", dest="output", action="store_const", const="json", help="the same as -o json")
    _terminal(add)
    _source(add)


def _terminal(add: _Add) -> None:
    add("-l", "--full", action="store_true", help="don't cut lines to the width of the terminal")
    add("--no-pager", action="store_true", help="print to the terminal itself")


def _top(commands: _Commands) -> None:
    text = "show who executes what how often"
    command = _command(commands, top.run, "top", text, _TOP_EXAMPLES)
    add = command.add_argument
    add("--by", choices=GROUPINGS, default=GROUPINGS[0], help="what to count by (user)")
    add("--sort", choices=SORTS, default=SORTS[0], help="the column to sort by (rate)")
    add("-n", "--lines", type=values.natural, metavar="N", help="only the first N")
    text = "how often the screen is renewed, and what its rates are measured in (2)"
    add("--interval", type=values.interval, default=2.0, metavar="SECONDS", help=text)
    add("-S", "--since", metavar="TIME", help="count from then on, e.g. today, -1h")
    add("--once", action="store_true", help="print it once: of the last minute, or since then")
    add("--json", action="store_true", help="print it once, as JSON")
    _source(add)


def _filters(add: _Add) -> None:
    several: dict[str, Any] = {"action": "append", "default": []}
    add("-u", "--unit", **several, metavar="UNIT", help="in this system unit")
    add("--user-unit", **several, metavar="UNIT", help="in this unit of a user's own manager")
    add("--user", **several, metavar="USER", help="by this user, a name or a UID")
    add("--comm", **several, metavar="NAME", help="by a program of this name, or of it")
    text = "of this file: a path, or the name alone; * and ? stand for others"
    add("--exe", **several, metavar="GLOB", help=text)
    add("-g", "--grep", metavar="PATTERN", help="whose arguments, joined by blanks, match this pattern")
    add("--container", **several, metavar="ID", help="in this container, by the first digits of its id")
    add("--session", **several, type=values.natural, metavar="N", help="in this audit session")
    text = "by this process; with --tree, its descendants too"
    add("--pid", **several, type=values.natural, metavar="PID", help=text)
    add("--host", **several, metavar="NAME", help="on this host, where the journal has several")
    add("--failed", action="store_true", help="only those that failed, or that did not end with 0")
    text = "of this priority or a higher one, a name or a number, or of a range of them"
    add("-p", "--priority", type=values.priorities, metavar="PRIORITY", help=text)
    add(
        "--slow",
        type=values.span,
        metavar="TIME",
        help="only ends of processes that ran so long, e.g. 10s, 5min",
    )


def _range(add: _Add) -> None:
    add("-S", "--since", metavar="TIME", help='not before, e.g. "2024-01-31 13:00", today, -1h')
    add("-U", "--until", metavar="TIME", help="not after")
    text = "this boot, or the one with this id or offset (-1)"
    add("-b", "--boot", nargs="?", const="0", metavar="BOOT", help=text)
    add("-n", "--lines", type=values.natural, metavar="N", help="the last N")
    add("-r", "--reverse", action="store_true", help="the newest first")
    add("-f", "--follow", action="store_true", help="go on with new ones until interrupted")


def _form(add: _Add) -> None:
    forms = "short", "verbose", "json", "json-pretty", "ecs", "otel", "cat", "argv"
    add("-o", "--output", choices=forms, default="short", help="how to print them (short)")
    add("--json", dest="output", action="store_const", const="json", help="the same as -o json")
    _terminal(add)
    add("--tree", action="store_true", help="print processes as a tree")


def _source(add: _Add) -> None:
    add("-D", "--directory", metavar="DIR", help="read the journal files in DIR")
    add("--namespace", metavar="NAME", help="read this journal namespace only")
    add("--any-sender", action="store_true", help="believe entries whoever wrote them")
