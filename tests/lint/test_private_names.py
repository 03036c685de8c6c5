# SPDX-License-Identifier: GPL-2.0-or-later
"""The private names of dbus-next that the daemon uses exist, and are of the kind that it takes them for.

pyproject.toml pins the version; this says what to look at when somebody moves the pin.
"""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
WIRE = "execwatchd/bus/wire.py"
CLIENT = "execwatchd/ctl/daemon/client.py"  # the only other module that imports the library


def is_dict(value: object) -> bool:
    return isinstance(value, dict)


EXPECTED: dict[str, Callable[[object], bool]] = {
    "dbus_next._private.address:parse_address": inspect.isfunction,
    "dbus_next._private.unmarshaller:Unmarshaller": inspect.isclass,
    "dbus_next.message:Message._marshall": inspect.isfunction,
    "dbus_next.signature:SignatureTree._cache": is_dict,
    "dbus_next.signature:SignatureTree._get": inspect.isfunction,
}


def is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.endswith("__") for part in name.split("."))


def private_names(path: str) -> set[str]:
    """What a module imports from a private module, and private attributes of anything but self."""
    names = set()
    for node in ast.walk(ast.parse((REPOSITORY / path).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dbus_next"):
            for alias in node.names:
                names |= {alias.name} if is_private(f"{node.module}.{alias.name}") else set()
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if is_private(alias.name)}
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and not is_self(node.value):
            names.add(node.attr)
    return names


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def test_the_private_names_in_use_are_these() -> None:
    assert private_names(WIRE) == {name.rpartition(":")[2].rpartition(".")[2] for name in EXPECTED}
    assert private_names(CLIENT) == set()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_private_name_exists_in_the_installed_version(name: str) -> None:
    assert EXPECTED[name](resolve_name(name))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from dbus_next._private.address import parse_address", {"parse_address"}),
        ("from dbus_next.signature import _sixth", {"_sixth"}),
        ("import dbus_next._private.constants", {"dbus_next._private.constants"}),
        ("def f(message):\n    return self._own, message._sixth(), message.__class__", {"_sixth"}),
    ],
)
def test_a_sixth_would_be_noticed(source: str, names: set[str], tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(source)
    assert private_names(str(tmp_path / "module.py")) == names
