# SPDX-License-Identifier: GPL-2.0-or-later
"""The interface org.execwatch1.Manager; org.execwatch1.xml beside this file says what each member is for."""

import logging

from execwatchd import __version__
from execwatchd.bus.authority import MANAGE, READ, Authority, Caller
from execwatchd.bus.members import (
    Method,
    Property,
    action_argument,
    action_or_default,
    limit_or_default,
    message_argument,
    uid_argument,
)
from execwatchd.bus.refusals import Refusals
from execwatchd.policy.table import MessageTable
from execwatchd.shared.counters import Status
from execwatchd.shared.errors import NoSuchMessage
from execwatchd.shared.message_ids import Kind, entry
from execwatchd.shared.quoting import quoted
from execwatchd.shared.rules import MAX_MESSAGE_LENGTH, Action

log = logging.getLogger(__name__)


class Manager:
    """What the members do; each is called with checked arguments, by a caller who may."""

    def __init__(self, table: MessageTable, status: Status, refusals: Refusals, authority: Authority) -> None:
        self.table = table
        self.status = status
        self.refusals = refusals
        self._authority = authority

    async def set_message(self, caller: Caller, uid: int, message: str) -> None:
        if await self.table.set_message(uid, message):
            _log_change(caller, f"set the message of UID {uid} to {quoted(message)}", uid)

    async def remove_message(self, caller: Caller, uid: int) -> None:
        try:
            await self.table.remove_message(uid)
        except NoSuchMessage as error:
            file = self.table.message_file(uid)
            if file and await self._authority.allows(caller, READ):
                raise NoSuchMessage(f"{error}: its message comes from {file}") from None
            raise
        _log_change(caller, f"removed the message of UID {uid}", uid)

    async def set_action(self, caller: Caller, uid: int, action: Action | None) -> None:
        if await self.table.set_action(uid, action):
            _log_change(caller, f"set the action of UID {uid} to {action or 'the default'}", uid)

    async def set_limit(self, caller: Caller, uid: int, limit: str | None) -> None:
        if await self.table.set_limit(uid, limit):
            _log_change(caller, f"set the limit of UID {uid} to {limit or 'the default'}", uid)

    async def get_message(self, _caller: Caller, uid: int) -> str:
        return self.table.message(uid)

    async def list_messages(self, _caller: Caller) -> list[list[object]]:
        return [[row.uid, row.message, str(row.action), row.origin] for row in self.table.rows()]

    async def list_limits(self, _caller: Caller) -> list[list[object]]:
        return [[uid, limit] for uid, limit in self.table.limits()]

    async def set_default_message(self, caller: Caller, message: str) -> None:
        if await self.table.set_default_message(message):
            _log_change(caller, f"set the default message to {quoted(message)}")

    async def set_default_action(self, caller: Caller, action: Action) -> None:
        if await self.table.set_default_action(action):
            _log_change(caller, f"set the default action to {action}")


def _log_change(caller: Caller, change: str, uid: int | None = None) -> None:
    fields: dict[str, str | int] = {"EXECWATCH_CALLER_UID": caller.uid}
    if caller.pid is not None:
        fields["EXECWATCH_CALLER_PID"] = caller.pid
    if uid is not None:
        fields["EXECWATCH_UID"] = uid
    log.info("%s %s", caller, change, extra=entry(Kind.MESSAGE_CHANGED, **fields))


def _manage(_caller: Caller, *_arguments: object) -> str:
    return MANAGE


def _read(_caller: Caller) -> str:
    return READ


def _read_others(caller: Caller, uid: int) -> str | None:
    return None if caller.uid == uid else READ


METHODS = {
    "SetMessage": Method("us", "", (uid_argument, message_argument), _manage, Manager.set_message),
    "RemoveMessage": Method("u", "", (uid_argument,), _manage, Manager.remove_message),
    "SetAction": Method("us", "", (uid_argument, action_or_default), _manage, Manager.set_action),
    "SetLimit": Method("us", "", (uid_argument, limit_or_default), _manage, Manager.set_limit),
    "GetMessage": Method("u", "s", (uid_argument,), _read_others, Manager.get_message),
    "ListMessages": Method("", "a(usss)", (), _read, Manager.list_messages),
    "ListLimits": Method("", "a(us)", (), _read, Manager.list_limits),
}

_WRITE_DEFAULT_MESSAGE = Method("s", "", (message_argument,), _manage, Manager.set_default_message)
_WRITE_DEFAULT_ACTION = Method("s", "", (action_argument,), _manage, Manager.set_default_action)

PROPERTIES = {
    "DefaultMessage": Property("s", lambda m, _: m.table.default_message, _WRITE_DEFAULT_MESSAGE),
    "DefaultAction": Property("s", lambda m, _: str(m.table.default_action), _WRITE_DEFAULT_ACTION),
    "DefaultLimit": Property("s", lambda m, _: m.table.default_limit),
    "Version": Property("s", lambda _m, _: __version__),
    "MaxMessageLength": Property("u", lambda _m, _: MAX_MESSAGE_LENGTH),
    "Attached": Property("as", lambda m, _: list(m.status.attached)),
    "Since": Property("t", lambda m, _: m.status.since),
    "RingSize": Property("t", lambda m, _: m.status.ring_size),
    "Seen": Property("t", lambda _m, counters: counters.seen),
    "Forwarded": Property("t", lambda _m, counters: counters.forwarded),
    "Ignored": Property("t", lambda _m, counters: counters.ignored),
    "Lost": Property("t", lambda _m, counters: counters.lost),
    "RingFill": Property("t", lambda _m, counters: counters.ring_fill),
    "Refused": Property("t", lambda m, _: m.refusals.count),
}

SIGNALS = {"MessageChanged": "u", "EventsLost": "t"}
