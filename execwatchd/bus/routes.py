# SPDX-License-Identifier: GPL-2.0-or-later
"""The objects, interfaces, methods and properties that can be called, and the errors for all others."""

from importlib.resources import files
from typing import Any

from execwatchd.bus.connection import MAX_BODY
from execwatchd.bus.declarations import Method, Property
from execwatchd.bus.errors import (
    InvalidArgs,
    InvalidValue,
    PropertyReadOnly,
    UnknownInterface,
    UnknownMethod,
    UnknownObject,
    UnknownProperty,
)
from execwatchd.bus.manager import METHODS, PROPERTIES
from execwatchd.bus.wire import Call
from execwatchd.shared.quoting import quoted
from execwatchd.shared.rules import MESSAGE

NAME, PATH, INTERFACE = "org.execwatch1", "/org/execwatch1", "org.execwatch1.Manager"

_DBUS = "org.freedesktop.DBus"
INTROSPECTABLE_INTERFACE = f"{_DBUS}.Introspectable"
PEER_INTERFACE = f"{_DBUS}.Peer"
PROPERTIES_INTERFACE = f"{_DBUS}.Properties"

# Interface → method → signatures of what it takes and what it returns.
ROUTES = {
    INTERFACE: {name: (method.signature, method.result) for name, method in METHODS.items()},
    PROPERTIES_INTERFACE: {"Get": ("ss", "v"), "GetAll": ("s", "a{sv}"), "Set": ("ssv", "")},
    INTROSPECTABLE_INTERFACE: {"Introspect": ("", "s")},
    PEER_INTERFACE: {"Ping": ("", ""), "GetMachineId": ("", "s")},
}
SIGNATURES = frozenset(takes for methods in ROUTES.values() for takes, _ in methods.values())

XML = (files(__package__) / "org.execwatch1.xml").read_text(encoding="utf-8")

# The nodes above the object, each with its only child: tools walk the tree from the root.
_PARENTS = {"/": "org", "/org": "execwatch1"}
_PARENT_XML = f'{XML[: XML.index(">") + 1]}\n<node>\n  <node name="%s"/>\n</node>\n'


def introspection(path: str) -> str:
    """The XML of the object, or of a node above it."""
    return XML if path == PATH else _PARENT_XML % _PARENTS[path]


def interface_of(call: Call) -> str:
    """The interface that a call is for; if the call names none, the first that has its member.

    Raises UnknownObject, UnknownInterface or UnknownMethod.
    """
    offered = _offered(call.path)
    if call.interface is not None:
        offered = [name for name in offered if name == call.interface]
    for name in offered:
        if call.member in ROUTES[name]:
            return name
    raise _unknown(call, has_interface=bool(offered))


def _offered(path: str) -> list[str]:
    """The specification has every path answer Peer, even one that is no object's."""
    if path == PATH:
        return list(ROUTES)
    return [INTROSPECTABLE_INTERFACE, PEER_INTERFACE] if path in _PARENTS else [PEER_INTERFACE]


def _unknown(call: Call, *, has_interface: bool) -> UnknownObject | UnknownInterface | UnknownMethod:
    here = quoted(call.path)
    if call.path not in (PATH, *_PARENTS) and call.interface != PEER_INTERFACE:
        return UnknownObject(f"there is no object {here}: the object is {PATH}")
    if not has_interface:
        return UnknownInterface(f"the object {here} has no interface {quoted(call.interface)}")
    where = f"the object {here}" if call.interface is None else f"the interface {call.interface}"
    return UnknownMethod(f"{where} has no method {quoted(call.member)}")


def arguments_of(call: Call, takes: str) -> list[Any]:
    """The arguments of these types; raises InvalidArgs, or InvalidValue for a message that is too large."""
    if call.signature != takes:
        raise InvalidArgs(
            f"{call.member} takes arguments of the types {takes!r}, not {quoted(call.signature)}"
        )
    if call.arguments is None:
        # It has a string, as nothing else in these signatures can be that large.
        reason = f"{call.size} bytes of arguments are too many: at most {MAX_BODY} are looked at"
        raise InvalidValue(MESSAGE, reason) if call.member == "SetMessage" else InvalidArgs(reason)
    return call.arguments


def check_properties_interface(interface: str) -> str:
    """Raises UnknownInterface if the object hasn't this interface; the empty name means all of them."""
    if interface and interface not in ROUTES:
        raise UnknownInterface(f"the object {PATH} has no interface {quoted(interface)}")
    return interface


def property_of(interface: str, name: str) -> Property:
    """Raises UnknownInterface or UnknownProperty."""
    check_properties_interface(interface)
    if interface not in (INTERFACE, "") or name not in PROPERTIES:
        raise UnknownProperty(f"there is no property {quoted(name)} in {quoted(interface or 'any')}")
    return PROPERTIES[name]


def write_of(interface: str, name: str, value: tuple[str, Any]) -> tuple[Method, list[Any]]:
    """The method that writes a property, and its arguments.

    Raises UnknownInterface, UnknownProperty, PropertyReadOnly or InvalidArgs.
    """
    method = property_of(interface, name).write
    if method is None:
        raise PropertyReadOnly(f"the property {name} is read-only")
    signature, content = value
    if signature != method.signature:
        raise InvalidArgs(f"the property {name} has the type {method.signature!r}, not {quoted(signature)}")
    return method, [content]
