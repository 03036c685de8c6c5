# SPDX-License-Identifier: GPL-2.0-or-later
"""Which package of ours may import which, and that nothing imports in a circle, lazily neither."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "execwatchd"

# What each package may use but itself. The modules beside the packages put them together.
LAYERS: dict[str, set[str]] = {
    "shared": set(),
    "redaction": {"shared"},
    "policy": {"shared", "redaction"},
    "kernel": {"shared"},
    "stream": {"shared", "redaction", "kernel"},
    "bus": {"shared", "policy"},
    "ctl": {"shared"},
}
BESIDE = {
    *("arguments", "daemon", "metrics", "privileges", "seccomp", "service_manager", "start"),
    *("__init__", "__main__"),
}
# Within the tool: its commands use all of it, and the rest only what is named here.
TOOL: dict[str, set[str]] = {
    "daemon": set(),
    "journal": set(),
    "view": {"journal"},
    "export": {"journal"},
    "commands": {"daemon", "journal", "view", "export"},
}


def modules() -> dict[str, Path]:
    """Every module by its dotted name below the package; a package's own name is its __init__."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(name: str) -> Iterator[str]:
    """The modules of ours that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        ours = {
            one.removeprefix("execwatchd.") for one in names if one.startswith("execwatchd.")
        } & MODULES.keys()
        yield from ours


def test_every_module_is_in_a_layer() -> None:
    assert {name.partition(".")[0] for name in MODULES} == {*LAYERS, *BESIDE}
    assert {
        name.split(".")[1] for name in MODULES if name.startswith("ctl.") and "." in name[4:]
    } == TOOL.keys()


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_uses_only_what_is_below_it(layer: str) -> None:
    allowed = {layer, *LAYERS[layer]}
    for name in MODULES:
        if name.partition(".")[0] == layer:
            assert {one.partition(".")[0] for one in imported(name)} <= allowed, name


@pytest.mark.parametrize("part", TOOL)
def test_a_part_of_the_tool_uses_only_what_is_below_it(part: str) -> None:
    allowed = {part, *TOOL[part]}
    for name in MODULES:
        if name.startswith(f"ctl.{part}"):
            parts = {one.split(".")[1] for one in imported(name) if one.startswith("ctl.")}
            assert parts & TOOL.keys() <= allowed, name


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {name: {one for one in imported(name) if one != name} for name in MODULES}
    for name in graph:  # a package is imported with each of its modules, and imports none of them itself
        graph[name] -= {name.rpartition(".")[0]}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
