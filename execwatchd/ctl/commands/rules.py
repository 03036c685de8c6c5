# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that change or list messages, actions and limits."""

from argparse import Namespace
from collections.abc import Sequence

from execwatchd.ctl.journal.events import dump
from execwatchd.ctl.ports import Row, Tools
from execwatchd.ctl.users import name_of, uid_of
from execwatchd.ctl.view.terminal import pad, printable, width, word
from execwatchd.shared.errors import Failure

_HEAD = "UID", "USER", "MESSAGE", "ACTION", "LIMIT", "ORIGIN"


def set_message(options: Namespace, tools: Tools) -> int:
    """`set USER MESSAGE`."""
    uid, message = uid_of(options.user), text(options.message)
    with tools.manager() as manager:
        manager.set_message(uid, message)
    return 0


def unset_message(options: Namespace, tools: Tools) -> int:
    """`unset USER`."""
    uid = uid_of(options.user)
    with tools.manager() as manager:
        manager.remove_message(uid)
    return 0


def set_action(options: Namespace, tools: Tools) -> int:
    """`action USER record|ignore|default`."""
    uid = uid_of(options.user)
    with tools.manager() as manager:
        manager.set_action(uid, options.action)
    return 0


def set_limit(options: Namespace, tools: Tools) -> int:
    """`limit USER N/s|off|default`."""
    uid, limit = uid_of(options.user), text(options.limit)
    with tools.manager() as manager:
        manager.set_limit(uid, limit)
    return 0


def default(options: Namespace, tools: Tools) -> int:
    """`default`: set the message and the action that are given, or print both."""
    wanted = {"DefaultMessage": options.message, "DefaultAction": options.action}
    changes = {name: text(value) for name, value in wanted.items() if value is not None}
    with tools.manager() as manager:
        for name, value in changes.items():
            manager.set_property(name, value)
        if changes and not options.json:
            return 0
        properties = manager.properties()
    shown = {"message": properties["DefaultMessage"], "action": properties["DefaultAction"]}
    if options.json:
        tools.console.line(dump(shown))
    else:
        for key, value in shown.items():
            tools.console.line(f"{key}: {printable(value)}")
    return 0


def show_list(options: Namespace, tools: Tools) -> int:
    """`list`: every user who has a message, an action or a limit, and the defaults of all others."""
    with tools.manager() as manager:
        rows, limits, properties = manager.list_messages(), manager.list_limits(), manager.properties()
    message, action, limit = (properties[f"Default{name}"] for name in ("Message", "Action", "Limit"))
    if options.json:
        users = [
            {**row._asdict(), "limit": limits.get(row.uid, limit), "user": name_of(row.uid) or None}
            for row in rows
        ]
        default = {"message": message, "action": action, "limit": limit}
        tools.console.line(dump({"users": users, "default": default}))
        return 0
    others = ("-", "(others)", printable(message), word(action), word(limit), "default")
    table = [_HEAD, *(_cells(row, limits.get(row.uid, limit)) for row in rows), others]
    for line in _aligned(table):
        tools.console.line(line)
    return 0


def text(given: str) -> str:
    """A message or limit of the command line. Raises Failure if it isn't UTF-8, which the bus needs."""
    try:
        given.encode()
    except UnicodeEncodeError:
        raise Failure(f"not UTF-8: {printable(given)}") from None
    return given


def _cells(row: Row, limit: str) -> tuple[str, ...]:
    name = word(name_of(row.uid)) or "-"
    return str(row.uid), name, printable(row.message), word(row.action), word(limit), printable(row.origin)


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(width, column)) for column in zip(*table, strict=True)]
    return [" ".join(map(pad, row, widths)).rstrip() for row in table]
