# SPDX-License-Identifier: GPL-2.0-or-later
"""make install and uninstall on a host, with what they tell it."""

from pathlib import Path

from tests.system.harness import REPOSITORY, Box, in_layer

# The user stays, as its files may; journald's data base is rebuilt.
REMAINING = {
    *(f"etc/{name}{old}" for name in ("passwd", "group", "shadow", "gshadow") for old in ("", "-")),
    "etc/.pwd.lock",
    "var/lib/systemd/catalog/database",
}


def test_uninstall_leaves_only_the_user(layers: Path) -> None:
    make = f"make -C {REPOSITORY}"
    in_layer(layers / "twice", "sh", "-ec", f"{make} install && {make} uninstall")
    upper = layers / "twice/upper"
    left = {str(path.relative_to(upper)) for path in upper.rglob("*") if not path.is_dir()}
    assert left <= REMAINING, left - REMAINING


def test_the_programs_find_their_own_modules_and_the_distributions(host: Box) -> None:
    script = """
import runpy, sys
sys.argv = ["execwatchd", "--version"]
try:
    runpy.run_path("/usr/sbin/execwatchd", run_name="__main__")
except SystemExit:
    pass
import bcc, dbus_next, execwatchd, pydantic, systemd
for module in (execwatchd, dbus_next, pydantic, bcc, systemd):
    print(module.__file__)
"""
    shown = host.run("/usr/bin/python3", "-I", "-c", script).stdout.splitlines()[-5:]
    assert [name.startswith("/usr/lib/execwatchd/") for name in shown] == [True] * 3 + [False] * 2
    assert all("/python3" in name for name in shown[3:])


def test_the_programs_run_as_any_user_in_any_directory(host: Box) -> None:
    host.shell(
        "mkdir /tmp/trap && echo 'raise SystemExit(99)' >/tmp/trap/execwatchd.py && chmod -R a+rX /tmp/trap"
    )
    for program in ("execwatchd", "execwatchctl"):
        shown = host.shell(f"cd /tmp/trap && PYTHONPATH=/tmp/trap {program} --version", uid=65534)
        assert shown.stdout.split()[0] == program
