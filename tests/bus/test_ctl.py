# SPDX-License-Identifier: GPL-2.0-or-later
"""execwatchctl as a process of root and of others, against the real service on a private bus."""

import asyncio
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from execwatchd.ctl.ports import EXIT_UNHEALTHY, EXIT_UNREACHABLE
from execwatchd.policy.configuration import Config
from execwatchd.policy.settings import Settings
from execwatchd.shared.rules import Action
from tests.bus.harness import ALICE, BOB, REPOSITORY, PrivateBus, serving
from tests.fakes.rules import rule

FILE = Path("/etc/execwatchd/execwatchd.toml")


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


async def ctl(bus: PrivateBus, *arguments: str, uid: int = 0) -> Done:
    become = ("setpriv", f"--reuid={uid}", "--clear-groups") if uid else ()
    command = (*become, sys.executable, "-m", "execwatchd.ctl", *arguments)
    env = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": bus.address, "PYTHONDONTWRITEBYTECODE": "1"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdout=pipe, stderr=pipe, cwd=REPOSITORY, env=env
    )
    out, err = await process.communicate()
    return Done(process.returncode or 0, out.decode(), err.decode())


async def test_what_root_sets_is_what_the_kernel_gets(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        assert await ctl(bus, "set", "501", "Hi user 501!") == Done(0, "", "")
        assert await ctl(bus, "set", "daemon", "Grüße, 日本") == Done(0, "", "")
        assert await ctl(bus, "action", "bin", "ignore") == Done(0, "", "")
        assert await ctl(bus, "limit", "bin", "200/s") == Done(0, "", "")
        assert rig.kernel.rules() == {
            501: rule("Hi user 501!"),
            ALICE: rule("Grüße, 日本"),
            BOB: rule("Hello World", Action.IGNORE, 200),
        }
        assert await ctl(bus, "unset", "501") == Done(0, "", "")
        assert await ctl(bus, "action", "bin", "default") == Done(0, "", "")
        assert await ctl(bus, "limit", "bin", "default") == Done(0, "", "")
        assert list(rig.kernel.rules()) == [ALICE]
        assert await ctl(bus, "default", "--message", "Hallo", "--action", "ignore") == Done(0, "", "")
        assert await ctl(bus, "default") == Done(0, "message: Hallo\naction: ignore\n", "")
        assert rig.kernel.fallback == rule("Hallo", Action.IGNORE)


async def test_list_says_where_each_comes_from(bus: PrivateBus, directory: Path) -> None:
    settings = Settings.of_file({"messages": {0: "root", 501: "file"}})
    origins: dict[tuple[str | int, ...], Path] = {("messages", uid): FILE for uid in (0, 501)}
    async with serving(bus, directory, Config(settings, origins, (FILE,))):
        await ctl(bus, "set", "501", "state")
        assert (await ctl(bus, "list")).out.splitlines() == [
            "UID USER     MESSAGE     ACTION LIMIT ORIGIN",
            f"0   root     root        record off   {FILE}",
            "501 -        state       record off   state",
            "-   (others) Hello World record off   default",
        ]
        shown = json.loads((await ctl(bus, "list", "--json")).out)
        assert [row["origin"] for row in shown["users"]] == [str(FILE), "state"]
        await ctl(bus, "unset", "501")
        again = await ctl(bus, "unset", "501")
        assert again.status == 1
        assert str(FILE) in again.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("set", "501", "x" * 64), ("64", "63")),
        (("set", "501", "ü" * 32), ("64", "63")),
        (("set", "501", "a\nb"), ("execwatchctl: ",)),
        (("limit", "501", "200"), ("the limit '200' is not a rate: write 200/s",)),
        (("limit", "501", "x"), ("the limit 'x' does not exist", "'100000/s', or 'default'")),
        (("default", "--message", "\x1b[2J"), ("control character (U+001B)",)),
        (("unset", "501"), ("501",)),
    ],
)
async def test_the_daemons_error_is_one_printable_line(
    bus: PrivateBus, directory: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    async with serving(bus, directory) as rig:
        done = await ctl(bus, *arguments)
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith("execwatchctl: ")
        assert done.err.endswith("\n")
        assert done.err[:-1].isprintable()
        assert all(word in done.err for word in words), done.err
        assert rig.kernel.rules() == {}


@pytest.mark.parametrize(
    "arguments",
    [("set", "0", "x"), ("unset", "0"), ("action", "0", "ignore"), ("default", "--message", "x"), ("list",)],
)
async def test_who_may_not_gets_one_line(
    bus: PrivateBus, directory: Path, arguments: tuple[str, ...]
) -> None:
    async with serving(bus, directory) as rig:
        done = await ctl(bus, *arguments, uid=ALICE)
        assert (done.status, done.out) == (1, "")
        assert done.err.count("\n") == 1
        assert "Traceback" not in done.err
        assert rig.kernel.rules() == {}


async def test_polkit_may_ask_somebody(bus: PrivateBus, directory: Path) -> None:
    async def password(_uid: int, _action: str, interactive: bool) -> tuple[bool, bool]:
        return interactive, not interactive

    async with serving(bus, directory) as rig:
        polkit = await rig.polkit(password)
        assert await ctl(bus, "set", "501", "Hi", uid=ALICE) == Done(0, "", "")
        assert await ctl(bus, "default", "--message", "Hallo", uid=ALICE) == Done(0, "", "")
        assert (await ctl(bus, "list", uid=BOB)).status == 0
        assert polkit.asked == [
            (ALICE, "org.execwatch1.manage", True),
            (ALICE, "org.execwatch1.manage", True),
            (BOB, "org.execwatch1.read", True),  # ListMessages
            (BOB, "org.execwatch1.read", True),  # ListLimits
        ]


AGENT = """#!/bin/sh
echo "$@" >"$0.arguments"
fd=${2#--notify-fd=}
eval "exec $fd>&-"
exec sleep 1000
"""


async def test_somebody_at_a_terminal_gets_polkits_agent_for_as_long_as_the_call(
    bus: PrivateBus, directory: Path
) -> None:
    agent = directory / "bin/pkttyagent"
    agent.parent.mkdir(mode=0o777)
    agent.parent.chmod(0o777)
    agent.write_text(AGENT)
    agent.chmod(0o755)
    command = f"setpriv --reuid={BOB} --clear-groups {sys.executable} -m execwatchd.ctl list"
    env = {
        **os.environ,
        "DBUS_SYSTEM_BUS_ADDRESS": bus.address,
        "PATH": f"{agent.parent}:{os.environ['PATH']}",
    }
    async with serving(bus, directory) as rig:
        await rig.polkit(_yes)
        for terminal in (True, False):
            agent.with_suffix(".arguments").unlink(missing_ok=True)
            shell = ("script", "-qec", command, "/dev/null") if terminal else ("sh", "-c", command)
            null = asyncio.subprocess.DEVNULL
            process = await asyncio.create_subprocess_exec(
                *shell, stdin=null, stdout=null, cwd=REPOSITORY, env=env
            )
            assert await process.wait() == 0
            assert agent.with_suffix(".arguments").exists() == terminal


async def _yes(_uid: int, _action: str, _interactive: bool) -> tuple[bool, bool]:
    return True, False


async def test_status_is_for_everybody(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        done = await ctl(bus, "status", "--json", "--interval", "0", uid=BOB)
        shown = json.loads(done.out)
        counted = rig.status.counters()
        assert {name: shown[name] for name in counted._fields} == counted._asdict()
        assert shown["attached"] == list(rig.status.attached)
        assert shown["ring_size"] == rig.status.ring_size
        assert round(datetime.fromisoformat(shown["since"]).timestamp() * 1e6) == rig.status.since
        assert isinstance(shown["memory"], int)  # of the process that owns the name: no systemd is here
        assert (done.status, shown["healthy"], shown["problems"]) == (0, True, [])
        assert "Health: healthy" in (await ctl(bus, "status", "--interval", "0.01", uid=BOB)).out


async def test_status_of_a_daemon_that_is_not_well(bus: PrivateBus, directory: Path) -> None:
    async with serving(bus, directory) as rig:
        rig.status.attached = []
        done = await ctl(bus, "status", "--interval", "0")
        assert done.status == EXIT_UNHEALTHY
        assert "Health: nothing is attached" in done.out


async def test_no_daemon_and_no_bus(bus: PrivateBus) -> None:
    absent = Done(
        EXIT_UNREACHABLE, "", "execwatchctl: execwatchd does not run (systemctl start execwatchd)\n"
    )
    for arguments in (("status",), ("list",), ("set", "0", "x")):
        assert await ctl(bus, *arguments) == absent
    bus.stop()
    gone = Done(
        EXIT_UNREACHABLE, "", "execwatchctl: cannot reach the system bus: No such file or directory\n"
    )
    assert await ctl(bus, "status") == gone
