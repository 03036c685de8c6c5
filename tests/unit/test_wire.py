# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages from anybody: whatever the bus lets through is parsed, or dropped without harm to the next."""

import struct
from typing import Any

import pytest
from dbus_next.signature import SignatureTree
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.bus import wire
from execwatchd.bus.routes import INTERFACE, PATH, SIGNATURES
from execwatchd.bus.wire import Call, Header

PATH_FIELD, INTERFACE_FIELD, MEMBER_FIELD, SENDER_FIELD, SIGNATURE_FIELD = 1, 2, 3, 7, 8


def message(order: str, member: str, signature: str, body: bytes, flags: int = 0) -> bytes:
    """A method call as the bus delivers it, in either byte order: the specification's table by hand."""
    fields = b""
    for code, kind, text in (
        (PATH_FIELD, "o", PATH),
        (INTERFACE_FIELD, "s", INTERFACE),
        (MEMBER_FIELD, "s", member),
        (SENDER_FIELD, "s", ":1.7"),
    ):
        fields += bytes(-len(fields) % 8) + bytes([code, 1]) + kind.encode() + b"\0"
        fields += struct.pack(f"{order}I", len(text)) + text.encode() + b"\0"
    fields += bytes(-len(fields) % 8) + bytes([SIGNATURE_FIELD, 1]) + b"g\0"
    fields += bytes([len(signature)]) + signature.encode() + b"\0"
    start = b"l" if order == "<" else b"B"
    fixed = start + struct.pack(f"{order}BBBIII", 1, flags, 1, len(body), 99, len(fields))
    return fixed + fields + bytes(-len(fields) % 8) + body


def parse(raw: bytes) -> Call | None:
    header = Header.parse(raw[: wire.FIXED_HEADER])
    split = wire.FIXED_HEADER + header.fields
    call = header.message(raw[wire.FIXED_HEADER : split])
    if call is None or not wire.is_call(call):
        return None
    return wire.parse_call(call, header, raw[split : split + header.body], SIGNATURES)


@pytest.mark.parametrize("order", ["<", ">"])
def test_either_byte_order(order: str) -> None:
    body = struct.pack(f"{order}II", 501, 2) + b"hi\0"
    assert parse(message(order, "SetMessage", "us", body, flags=5)) == Call(
        sender=":1.7",
        serial=99,
        path=PATH,
        interface=INTERFACE,
        member="SetMessage",
        signature="us",
        size=len(body),
        arguments=[501, "hi"],
        interactive=True,
        wants_reply=False,
    )


@pytest.mark.parametrize(
    ("signature", "body", "arguments"),
    [
        ("au", struct.pack("<II", 4, 1), None),
        ("us", b"", None),
        ("us", struct.pack("<II", 1, 5000) + b"hi\0", None),
        ("s", struct.pack("<I", 2) + b"\xff\xfe\0", None),
        ("s", struct.pack("<I", 2) + b"hi\0", ["hi"]),
        (
            "ssv",
            bytes(5) + bytes(3) + bytes(5) + b"\1s\0" + struct.pack("<I", 2) + b"hi\0",
            ["", "", ("s", "hi")],
        ),
        ("ssv", bytes(13) + b"\2ay\0" + bytes(8), ["", "", ("ay", None)]),
    ],
)
def test_arguments(signature: str, body: bytes, arguments: list[Any] | None) -> None:
    call = parse(message("<", "SetMessage", signature, body))
    assert call
    assert call.arguments == arguments


@given(st.binary(min_size=16, max_size=200))
def test_bytes_of_any_kind(raw: bytes) -> None:
    parse(raw)


@given(st.data(), st.sampled_from(sorted(SIGNATURES)), st.binary(max_size=60))
def test_messages_with_some_bytes_wrong(data: st.DataObject, signature: str, body: bytes) -> None:
    raw = bytearray(message("<", "SetMessage", signature, body))
    for place in data.draw(st.lists(st.integers(16, len(raw) - 1), max_size=4)):
        raw[place] = data.draw(st.integers(0, 255))
    parse(bytes(raw))


def test_signatures_are_not_kept_for_ever() -> None:
    for number in range(2000):
        parse(message("<", "SetMessage", f"{number:b}".replace("0", "u").replace("1", "s"), b""))
    assert len(SignatureTree._cache) < 300


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("unix:path=/run/dbus/system_bus_socket", "/run/dbus/system_bus_socket"),
        ("unix:abstract=x,guid=12", "\0x"),
        ("tcp:host=x;unix:path=/a%20b", "/a b"),
    ],
)
def test_addresses(address: str, path: str) -> None:
    assert wire.socket_path(address) == path


@pytest.mark.parametrize("address", ["", "x", "unix:", "unix:path", "tcp:host=x,port=1", "unix:runtime=yes"])
def test_bad_addresses(address: str) -> None:
    with pytest.raises(ValueError, match=r"address|transport"):
        wire.socket_path(address)
