# SPDX-License-Identifier: GPL-2.0-or-later
"""Who calls, as the bus has it, and what polkit allows them."""

import asyncio
import itertools
import logging
from typing import NamedTuple
from weakref import WeakValueDictionary

from execwatchd.bus import wire
from execwatchd.bus.connection import BUS, Connection
from execwatchd.bus.errors import AccessDenied, InteractiveAuthorizationRequired
from execwatchd.bus.wire import Call, ErrorReply
from execwatchd.shared.quoting import quoted

log = logging.getLogger(__name__)

MANAGE, READ = "org.execwatch1.manage", "org.execwatch1.read"

POLKIT = (
    "org.freedesktop.PolicyKit1",
    "/org/freedesktop/PolicyKit1/Authority",
    "org.freedesktop.PolicyKit1.Authority",
)
_NO_POLKIT = "org.freedesktop.DBus.Error.ServiceUnknown"
_ALLOW_USER_INTERACTION = 1
_SECONDS = 25.0
_DIALOGUE_SECONDS = 300.0  # time for a person to type a password

# The bus itself lets a connection wait for 128 answers at most (max_replies_per_connection).
MAX_QUESTIONS = 96
MAX_QUESTIONS_PER_UID = 16

_MAX_CALLERS = 1024  # whose UID and PID are remembered

Process = tuple[int, int | None]  # UID and PID


class CallerGone(Exception):  # noqa: N818  no error: nobody is there to get it
    """The caller left the bus before it could be identified or authorised."""


class Caller(NamedTuple):
    """A connection to the bus and the process that opened it; `pid` None where the bus cannot tell."""

    name: str
    uid: int
    pid: int | None
    interactive: bool

    def __str__(self) -> str:
        return f"UID {self.uid} (PID {'unknown' if self.pid is None else self.pid})"


class Authority:
    """Identifies callers and asks polkit, over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._callers: dict[str, asyncio.Future[Process]] = {}  # by their names on the bus
        self._any_turn = asyncio.Semaphore(MAX_QUESTIONS)
        # by UID; those who wait or ask hold a semaphore, and it goes with the last of them
        self._turns: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()
        self._numbers = itertools.count(1)
        self._reported = ""  # the last problem with polkit in the log

    async def identify(self, call: Call) -> Caller:
        """Raises CallerGone or Disconnected."""
        answer = self._callers.get(call.sender)
        if answer is None:
            process = await self._ask_bus(call.sender)
        else:
            process = await asyncio.shield(answer)
        return Caller(call.sender, *process, call.interactive)

    async def _ask_bus(self, name: str) -> Process:
        """Remembers the answer: it can't change, and the bus gives no name to a second connection."""
        answer = self._callers[name] = asyncio.get_running_loop().create_future()
        while len(self._callers) > _MAX_CALLERS:
            del self._callers[next(iter(self._callers))]
        try:
            process = await self._credentials(name)
        except BaseException:
            self._callers.pop(name, None)
            answer.set_exception(CallerGone())
            answer.exception()  # marks it as seen: perhaps no other call waits for it
            raise
        answer.set_result(process)
        return process

    def is_asked(self, call: Call) -> bool:
        """Whether the bus was asked who the caller is."""
        return call.sender in self._callers

    def uid_of(self, call: Call) -> int | None:
        """The caller's UID, if the caller of an earlier call with this name was identified."""
        answer = self._callers.get(call.sender)
        return answer.result()[0] if answer and answer.done() else None

    async def _credentials(self, name: str) -> Process:
        try:
            (values,) = await self._connection.call((*BUS, "GetConnectionCredentials"), "s", name)
        except (ErrorReply, TimeoutError):
            raise CallerGone from None
        credentials = wire.unwrap(values)
        if "UnixUserID" not in credentials:
            raise CallerGone
        return credentials["UnixUserID"], credentials.get("ProcessID")

    async def require(self, caller: Caller, action: str) -> None:
        """Returns if the caller may do it.

        Raises AccessDenied, InteractiveAuthorizationRequired, CallerGone or Disconnected.
        """
        # polkit authorises root whatever its rules say (polkitbackendinteractiveauthority.c). It isn't asked,
        # so that a broken polkit doesn't lock root out.
        if caller.uid == 0:
            return
        authorised, challenge = await self._ask(caller, action)
        if authorised:
            return
        if challenge:
            reason = "nobody could be asked for" if caller.interactive else "this call does not allow"
            raise InteractiveAuthorizationRequired(
                f"{action} needs an authentication, which {reason}:"
                " run it with sudo, or use execwatchctl, which asks for the password"
            )
        raise AccessDenied(f"UID {caller.uid} is not authorised for {action}: run it with sudo")

    async def allows(self, caller: Caller, action: str) -> bool:
        """Whether the caller may do it; polkit shows no dialogue for it."""
        try:
            await self.require(caller._replace(interactive=False), action)
        except (AccessDenied, InteractiveAuthorizationRequired):
            return False
        return True

    async def _ask(self, caller: Caller, action: str) -> tuple[bool, bool]:
        """Polkit's answer (authorised, challenge). Waits for this caller's turn to ask."""
        turn = self._turns.setdefault(caller.uid, asyncio.Semaphore(MAX_QUESTIONS_PER_UID))
        async with turn, self._any_turn:
            return await self._check(caller, action, f"execwatchd-{next(self._numbers)}")

    async def _check(self, caller: Caller, action: str, cancellation: str) -> tuple[bool, bool]:
        subject = ["system-bus-name", {"name": wire.variant("s", caller.name)}]
        flags = _ALLOW_USER_INTERACTION if caller.interactive else 0
        try:
            ((authorised, challenge, _details),) = await self._connection.call(
                (*POLKIT, "CheckAuthorization"),
                "(sa{sv})sa{ss}us",
                *(subject, action, {}, flags, cancellation),
                seconds=_DIALOGUE_SECONDS if caller.interactive else _SECONDS,
            )
        except ErrorReply as error:
            if await self._has_left(caller):
                raise CallerGone from None
            raise self._denial(action, error) from None
        except TimeoutError as error:
            self._connection.call_without_reply((*POLKIT, "CancelCheckAuthorization"), "s", cancellation)
            raise self._denial(action, error) from None
        return authorised, challenge

    async def _has_left(self, caller: Caller) -> bool:
        """Whether the caller has left the bus. polkit answers by an error then, and has no trouble itself."""
        try:
            (is_there,) = await self._connection.call((*BUS, "NameHasOwner"), "s", caller.name)
        except (ErrorReply, TimeoutError):
            return False
        return not is_there

    def _denial(self, action: str, error: ErrorReply | TimeoutError) -> AccessDenied:
        if isinstance(error, ErrorReply) and error.name == _NO_POLKIT:
            return AccessDenied(
                f"only UID 0 is authorised for {action}, as this host has no polkit: run it with sudo"
            )
        name = error.name if isinstance(error, ErrorReply) else "no answer in time"
        if name != self._reported:  # once in a row, or a user without any right could fill the log
            self._reported = name
            log.warning(
                "polkit cannot say who is authorised, so only UID 0 is: %s", quoted(str(error) or name)
            )
        return AccessDenied(f"polkit cannot say who is authorised for {action}")
