# SPDX-License-Identifier: GPL-2.0-or-later
"""D-Bus messages as bytes: the only module of the service that uses dbus-next.

dbus-next gives the wire format. Its MessageBus isn't used, since every user of the host may send us messages:
- it parses every body, and an array of 32 MiB blocks the loop for a minute;
- it reads as long as there is data, so a flood starves the rest of the loop;
- it keeps every signature that it ever got;
- it spins for ever if the bus hangs up during authentication;
- it takes an error in reply to Hello for a name, and a full socket for the end of the connection;
- it sends tracebacks to callers.
Here a body is parsed only if its signature is that of a method which the service has.
"""

import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from dbus_next._private.address import parse_address
from dbus_next._private.unmarshaller import Unmarshaller
from dbus_next.constants import MessageFlag, MessageType
from dbus_next.errors import InvalidAddressError
from dbus_next.message import Message
from dbus_next.signature import SignatureTree, Variant

log = logging.getLogger(__name__)

FIXED_HEADER = 16  # bytes: byte order, type, flags, version, body's length, serial, fields' length

_MAX_SIGNATURES = 256
_BASIC_TYPES = frozenset("ybnqiuxtdsog")

ByteOrder = Literal["little", "big"]
Address = tuple[str, str, str, str]  # destination, path, interface, member


class ErrorReply(Exception):  # noqa: N818  named as in the specification
    """The error that another service answered a call with."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Call:
    """A method call to the service.

    `size`: of the body, in bytes. `arguments`: None if the body is too large or no method has its signature.
    A variant among them is a pair of signature and value; the value is None if it is a container.
    """

    sender: str
    serial: int
    path: str
    interface: str | None
    member: str
    signature: str
    size: int
    arguments: list[Any] | None
    interactive: bool
    wants_reply: bool

    def bare(self) -> "Call":
        """The same without what may be large: enough to answer it."""
        return replace(self, path="", interface=None, signature="", arguments=None)


@dataclass(frozen=True, slots=True)
class Header:
    """The first bytes of a message: byte order, and how long the rest is."""

    raw: bytes
    order: ByteOrder
    fields: int
    body: int

    @classmethod
    def parse(cls, raw: bytes) -> "Header":
        """From FIXED_HEADER bytes, which the bus has checked."""
        order: ByteOrder = "little" if raw[:1] == b"l" else "big"
        fields = int.from_bytes(raw[12:16], order)
        return cls(raw, order, fields + -fields % 8, int.from_bytes(raw[4:8], order))

    def message(self, fields: bytes) -> Message | None:
        """The message without its body. None: dbus-next can't parse it. The next message is unharmed."""
        if len(SignatureTree._cache) > _MAX_SIGNATURES:
            SignatureTree._cache.clear()
        bodiless = self.raw[:4] + bytes(4) + self.raw[8:] + fields
        try:
            message: Message = Unmarshaller(io.BytesIO(bodiless)).unmarshall()
        except Exception as error:  # the library's errors have no common base
            log.debug("A message was dropped: %r", error)
            return None
        return message


def parse_call(message: Message, header: Header, body: bytes | None, signatures: frozenset[str]) -> Call:
    """A method call. Its arguments are parsed if there is a body and its signature is among these."""
    arguments = None
    if body is not None and message.signature in signatures:
        try:
            arguments = _parse(message, header, body, _parse_variant)
        except Exception as error:
            log.debug("The arguments of a call were dropped: %r", error)
    flags = message.flags
    return Call(
        message.sender,
        message.serial,
        message.path,
        message.interface,
        message.member,
        message.signature,
        header.body,
        arguments,
        bool(flags & MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION),
        not flags & MessageFlag.NO_REPLY_EXPECTED,
    )


def is_call(message: Message) -> bool:
    """Whether this is a method call."""
    return message.message_type is MessageType.METHOD_CALL


def parse_reply(message: Message, header: Header, body: bytes) -> list[Any] | ErrorReply:
    """The values of a method return, or the error."""
    values = _parse(message, header, body, Unmarshaller.read_variant)
    if message.message_type is MessageType.METHOD_RETURN:
        return values
    text = values[0] if values and isinstance(values[0], str) else ""
    return ErrorReply(message.error_name, text)


def call(
    serial: int, address: Address, signature: str, arguments: Sequence[object], *, wants_reply: bool = True
) -> bytes:
    """A method call."""
    flags = MessageFlag.NONE if wants_reply else MessageFlag.NO_REPLY_EXPECTED
    return _marshal(Message(*address, flags=flags, signature=signature, body=list(arguments), serial=serial))


def answer(serial: int, to: Call, signature: str, values: Sequence[object]) -> bytes:
    """The answer to a call, with the values that the method returns."""
    return _reply(serial, to, signature, values, message_type=MessageType.METHOD_RETURN)


def error(serial: int, to: Call, name: str, text: str) -> bytes:
    """The answer to a call, with an error."""
    return _reply(serial, to, "s", [text], message_type=MessageType.ERROR, error_name=name)


def signal(serial: int, address: tuple[str, str, str], signature: str, values: Sequence[object]) -> bytes:
    """A broadcast of (path, interface, member)."""
    message = Message.new_signal(*address, signature, list(values))
    message.serial = serial
    return _marshal(message)


def variant(signature: str, value: object) -> object:
    """A value with its type, for an answer or a signal."""
    return Variant(signature, value)


def unwrap(values: dict[str, Any]) -> dict[str, Any]:
    """The values of an `a{sv}` in a reply, without their types."""
    return {key: value.value for key, value in values.items()}


def socket_path(address: str) -> str:
    """The path of the Unix socket in a bus address; raises ValueError if there is none."""
    try:
        for transport, options in parse_address(address):
            if transport == "unix" and "path" in options:
                return str(options["path"])
            if transport == "unix" and "abstract" in options:
                return f"\0{options['abstract']}"
    except InvalidAddressError as invalid:
        raise ValueError(str(invalid)) from None
    raise ValueError(f"the address {address!r} is not one of a Unix socket")


def _reply(serial: int, to: Call, signature: str, values: Sequence[object], **kind: Any) -> bytes:
    message = Message(
        destination=to.sender,
        reply_serial=to.serial,
        flags=MessageFlag.NO_REPLY_EXPECTED,
        signature=signature,
        body=list(values),
        serial=serial,
        **kind,
    )
    return _marshal(message)


def _marshal(message: Message) -> bytes:
    return bytes(message._marshall())


def _parse(
    message: Message, header: Header, body: bytes, read_variant: Callable[[Unmarshaller], Any]
) -> list[Any]:
    reader = Unmarshaller(io.BytesIO(body))
    reader.endian = header.raw[0]
    types = message.signature_tree.types
    return [read_variant(reader) if kind.signature == "v" else reader.read_argument(kind) for kind in types]


def _parse_variant(reader: Unmarshaller) -> tuple[str, Any]:
    signature = reader.read_signature()
    if signature not in _BASIC_TYPES:
        return signature, None
    return signature, reader.read_argument(SignatureTree._get(signature).types[0])
