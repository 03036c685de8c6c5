# SPDX-License-Identifier: GPL-2.0-or-later
"""The methods and properties of org.execwatch1.Manager; org.execwatch1.xml describes each."""

import logging

from execwatchd import __version__
from execwatchd.bus.authority import MANAGE, READ, Authority, Caller
from execwatchd.bus.declarations import (
    Check,
    Method,
    Property,
    default_property,
    uid_argument,
    value_argument,
    value_or_default,
)
from execwatchd.bus.errors import NoSuchMessage
from execwatchd.bus.refusals import Refusals
from execwatchd.policy.in_effect import InEffect
from execwatchd.policy.table import RuleTable
from execwatchd.shared.counters import Status
from execwatchd.shared.message_ids import MessageId, log_fields
from execwatchd.shared.rules import ACTION, LIMIT, MAX_MESSAGE_LENGTH, MEMBERS, MESSAGE, Member

log = logging.getLogger(__name__)


class Manager:
    """What the methods do. Each gets checked arguments, and a caller who is authorised."""

    def __init__(
        self,
        table: RuleTable,
        status: Status,
        in_effect: InEffect,
        refusals: Refusals,
        authority: Authority,
    ) -> None:
        self.table = table
        self.status = status
        self.in_effect = in_effect
        self.refusals = refusals
        self._authority = authority

    async def set_value(self, member: Member, caller: Caller, uid: int, value: object) -> None:
        if await self.table.set_value(uid, member, value):
            shown = "the default" if value is None else member.shown(value)
            _log_change(caller, f"set the {member.name} of UID {uid} to {shown}", uid)

    async def set_default(self, member: Member, caller: Caller, value: object) -> None:
        if await self.table.set_default(member, value):
            _log_change(caller, f"set the default {member.name} to {member.shown(value)}")

    async def remove_message(self, caller: Caller, uid: int) -> None:
        if not await self.table.set_value(uid, MESSAGE, None):
            file = self.table.file(uid, MESSAGE)
            is_shown = file and await self._authority.allows(caller, READ)
            source = f": its message comes from {file}" if is_shown else ""
            raise NoSuchMessage(f"UID {uid} has no message that was set over D-Bus{source}")
        _log_change(caller, f"removed the message of UID {uid}", uid)

    async def get_message(self, _caller: Caller, uid: int) -> str | None:
        return self.table.rule(uid).message

    async def list_messages(self, _caller: Caller) -> list[list[object]]:
        return [
            [uid, rule.message, str(rule.action), self.table.origin(uid)]
            for uid, rule in self.table.rules().items()
        ]

    async def list_limits(self, _caller: Caller) -> list[list[object]]:
        return [[uid, limit] for uid, limit in self.table.values(LIMIT).items()]


def _log_change(caller: Caller, change: str, uid: int | None = None) -> None:
    fields: dict[str, str | int] = {"EXECWATCH_CALLER_UID": caller.uid}
    if caller.pid is not None:
        fields["EXECWATCH_CALLER_PID"] = caller.pid
    if uid is not None:
        fields["EXECWATCH_UID"] = uid
    log.info("%s %s", caller, change, extra=log_fields(MessageId.MESSAGE_CHANGED, **fields))


def _manage(_caller: Caller, *_arguments: object) -> str:
    return MANAGE


def _read(_caller: Caller) -> str:
    return READ


def _read_others(caller: Caller, uid: int) -> str | None:
    return None if caller.uid == uid else READ


def _setter(member: Member, check: Check) -> Method:
    async def run(manager: Manager, caller: Caller, uid: int, value: object) -> None:
        await manager.set_value(member, caller, uid, value)

    return Method("us", "", (uid_argument, check), _manage, run)


def _default(member: Member) -> Property:
    async def write(manager: Manager, caller: Caller, value: object) -> None:
        await manager.set_default(member, caller, value)

    method = Method("s", "", (value_argument(member),), _manage, write)
    return Property(
        "s",
        lambda manager, _: str(member.of(manager.table.default)),
        method if member.default_can_change else None,
    )


METHODS = {
    "SetMessage": _setter(MESSAGE, value_argument(MESSAGE)),
    "RemoveMessage": Method("u", "", (uid_argument,), _manage, Manager.remove_message),
    "SetAction": _setter(ACTION, value_or_default(ACTION)),
    "SetLimit": _setter(LIMIT, value_or_default(LIMIT)),
    "GetMessage": Method("u", "s", (uid_argument,), _read_others, Manager.get_message),
    "ListMessages": Method("", "a(usss)", (), _read, Manager.list_messages),
    "ListLimits": Method("", "a(us)", (), _read, Manager.list_limits),
}

PROPERTIES = {
    **{default_property(member): _default(member) for member in MEMBERS},
    "Version": Property("s", lambda _m, _: __version__),
    "MaxMessageLength": Property("u", lambda _m, _: MAX_MESSAGE_LENGTH),
    "NotInEffect": Property("as", lambda m, _: m.in_effect.lines),
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
