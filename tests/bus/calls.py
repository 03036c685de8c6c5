# SPDX-License-Identifier: GPL-2.0-or-later
"""Random calls, right and wrong in every way that the bus lets through, and what each must get."""

from typing import Any, NamedTuple

from dbus_next.message import Message
from dbus_next.signature import Variant
from hypothesis import strategies as st

from execwatchd.bus.connection import MAX_BODY
from execwatchd.bus.manager import METHODS, PROPERTIES
from execwatchd.bus.routes import INTERFACE, NAME, PATH, PROPERTIES_INTERFACE, ROUTES
from execwatchd.shared.rules import check_action, check_limit, check_message, check_uid
from tests.bus.harness import DBUS_ERROR, OWN_ERROR

OK = "ok"
DENIED = f"{DBUS_ERROR}AccessDenied"


class Made(NamedTuple):
    """A call that somebody makes."""

    path: str
    interface: str
    member: str
    signature: str
    body: list[Any]

    def message(self) -> Message:
        return Message(NAME, self.path, self.interface, self.member, signature=self.signature, body=self.body)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=70)
TEXTS = st.one_of(
    TEXT,
    st.sampled_from(
        [
            "",
            "record",
            "ignore",
            "default",
            "off",
            "200/s",
            "0/s",
            "x" * 63,
            "x" * 64,
            "ü" * 32,
            "\x85",
            "\u2028",
        ]
    ),
    st.sampled_from([10, 70_000]).map(lambda n: "y" * n),
)
UIDS = st.one_of(st.integers(0, 9), st.sampled_from([2**32 - 2, 2**32 - 1]), st.integers(0, 2**32 - 1))
NAMES = st.sampled_from(["Nope", "Get", "Ping", "SetMessage", "x" * 255])

_BASIC = {
    "y": st.integers(0, 255),
    "b": st.booleans(),
    "n": st.integers(-(2**15), 2**15 - 1),
    "u": UIDS,
    "x": st.integers(-(2**63), 2**63 - 1),
    "t": st.integers(0, 2**64 - 1),
    "d": st.floats(allow_nan=False),
    "s": TEXTS,
    "o": st.sampled_from(["/", PATH]),
    "g": st.sampled_from(["", "a{sv}"]),
}
Typed = tuple[str, Any]


def _basic(keys: str = "ybnuxtdsog") -> st.SearchStrategy[Typed]:
    return st.sampled_from(keys).flatmap(lambda key: _BASIC[key].map(lambda value: (key, value)))


def _containers(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    def array(of: Typed) -> Typed:
        signature, value = of
        return (f"a{signature}", bytes([value]) * 3 if signature == "y" else [value] * 2)

    def struct(of: list[Typed]) -> Typed:
        return (f"({''.join(s for s, _ in of)})", [v for _, v in of])

    return st.one_of(
        inner.map(array),
        st.lists(inner, min_size=1, max_size=3).map(struct),
        inner.map(lambda of: ("v", Variant(*of))),
        inner.map(lambda of: (f"a{{s{of[0]}}}", {"key": of[1]})),
    )


VALUES = st.recursive(_basic(), _containers, max_leaves=5)
VARIANTS = VALUES.map(lambda of: Variant(*of))
PATHS = st.sampled_from([PATH] * 12 + ["/", "/org", "/org/execwatch1/x", "/x"])


def _any_body(made: tuple[str, str, str, list[Typed]]) -> Made:
    path, interface, member, values = made
    return Made(path, interface, member, "".join(s for s, _ in values), [v for _, v in values])


def _arguments(member: str) -> st.SearchStrategy[Made]:
    signature = METHODS[member].signature
    values = st.tuples(*(_BASIC[letter] for letter in signature)).map(list)
    return st.builds(Made, PATHS, st.just(INTERFACE), st.just(member), st.just(signature), values)


def _property(member: str, *values: st.SearchStrategy[Any]) -> st.SearchStrategy[Made]:
    signature = ROUTES[PROPERTIES_INTERFACE][member][0]
    body = st.tuples(*values).map(list)
    return st.builds(Made, PATHS, st.just(PROPERTIES_INTERFACE), st.just(member), st.just(signature), body)


INTERFACES = st.sampled_from([INTERFACE] * 4 + ["", PROPERTIES_INTERFACE, "org.example.Nope"])
PROPERTY_NAMES = st.sampled_from([*PROPERTIES, "DefaultMessage", "DefaultAction", "Nope", ""])

CALLS = st.one_of(
    *(_arguments(member) for member in METHODS),
    _arguments("SetMessage"),
    _property("Get", INTERFACES, PROPERTY_NAMES),
    _property("GetAll", INTERFACES),
    _property("Set", INTERFACES, PROPERTY_NAMES, st.one_of(VARIANTS, TEXTS.map(lambda t: Variant("s", t)))),
    st.tuples(
        PATHS,
        st.sampled_from([*ROUTES, "org.example.Nope"]),
        st.one_of(NAMES, st.sampled_from([*METHODS, *ROUTES[PROPERTIES_INTERFACE]])),
        st.lists(VALUES, max_size=4),
    ).map(_any_body),
)


def expected(made: Made, uid: int) -> set[str]:
    """The errors that a call may get without polkit on the bus, OK for none."""
    error = _nowhere(made)
    if error:
        return {f"{DBUS_ERROR}{error}"}
    takes, _ = ROUTES[made.interface][made.member]
    if made.signature != takes:
        return {f"{DBUS_ERROR}InvalidArgs"}
    if sum(len(str(v)) for v in made.body) > MAX_BODY:
        return {f"{OWN_ERROR}InvalidMessage" if made.member == "SetMessage" else f"{DBUS_ERROR}InvalidArgs"}
    if made.interface == INTERFACE:
        return _method(made, uid)
    return _properties(made, uid) if made.interface == PROPERTIES_INTERFACE else {OK}


def _nowhere(made: Made) -> str | None:
    parents = {"/", "/org"}
    is_peer = made.interface.endswith("Peer")
    if made.path not in {PATH, *parents} and not is_peer:
        return "UnknownObject"
    if made.path in parents and not is_peer and not made.interface.endswith("Introspectable"):
        return "UnknownInterface"
    if made.interface not in ROUTES:
        return "UnknownInterface"
    return None if made.member in ROUTES[made.interface] else "UnknownMethod"


def _method(made: Made, uid: int) -> set[str]:
    error = _bad_arguments(made)
    if error:
        return {error}
    if uid and not (made.member == "GetMessage" and made.body[0] == uid):
        return {DENIED}
    room = {
        "SetMessage": "TableFull",
        "SetAction": "TableFull",
        "SetLimit": "TableFull",
        "RemoveMessage": "NoSuchMessage",
    }
    return {OK, f"{OWN_ERROR}{room[made.member]}"} if made.member in room else {OK}


def _bad_arguments(made: Made) -> str | None:
    if made.body and not _passes(check_uid, made.body[0]):
        return f"{DBUS_ERROR}InvalidArgs"
    if made.member == "SetMessage" and not _passes(check_message, made.body[1]):
        return f"{OWN_ERROR}InvalidMessage"
    if made.member == "SetAction" and made.body[1] != "default" and not _passes(check_action, made.body[1]):
        return f"{OWN_ERROR}InvalidAction"
    if made.member == "SetLimit" and made.body[1] != "default" and not _passes(check_limit, made.body[1]):
        return f"{OWN_ERROR}InvalidLimit"
    return None


def _properties(made: Made, uid: int) -> set[str]:
    interface, *rest = made.body
    if interface and interface not in ROUTES:
        return {f"{DBUS_ERROR}UnknownInterface"}
    if not rest:
        return {OK}
    if interface == PROPERTIES_INTERFACE or rest[0] not in PROPERTIES:
        return {f"{DBUS_ERROR}UnknownProperty"}
    return _set(rest[0], rest[1], uid) if made.member == "Set" else {OK}


def _set(name: str, value: Variant, uid: int) -> set[str]:
    if not PROPERTIES[name].write:
        return {f"{DBUS_ERROR}PropertyReadOnly"}
    if value.signature != "s":
        return {f"{DBUS_ERROR}InvalidArgs"}
    check, error = (check_action, "Action") if name == "DefaultAction" else (check_message, "Message")
    if not _passes(check, value.value):
        return {f"{OWN_ERROR}Invalid{error}"}
    return {DENIED} if uid else {OK}


def _passes(check: Any, value: object) -> bool:
    try:
        check(value)
    except ValueError:
        return False
    return True
