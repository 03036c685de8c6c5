# SPDX-License-Identifier: GPL-2.0-or-later
"""execwatchctl on a booted system: the daemon's bus, the real journal, and somebody who forges entries."""

import json
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from execwatchd.shared.message_ids import MessageId
from tests.system.harness import BOX, Boot, Box, Result, wait_until

UNIT = "execwatchd.service"
DAEMON = 1  # an ordinary user that has a name: the bus turns others away


def ctl(host: Box, *arguments: str, uid: int = 0) -> Result:
    return host.run("execwatchctl", *arguments, uid=uid, check=False)


def log(host: Box, *arguments: str, check: bool = True) -> list[str]:
    """The lines that `log` prints."""
    host.run("journalctl", "--sync", check=False)
    done = ctl(host, "log", *arguments)
    assert not check or (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


def logged(host: Box, count: int, *arguments: str) -> list[str]:
    """The lines, once there are so many."""
    return wait_until(lambda: found if len(found := log(host, *arguments)) >= count else [], str(arguments))


def objects(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def daemon(host: Box) -> Iterator[Box]:
    host.systemctl("start", UNIT)
    yield host
    print(host.run("journalctl", "-u", UNIT, "-p", "warning", "--no-pager", check=False).stdout)


def test_status_is_good_news_for_anybody(daemon: Box) -> None:
    for uid in (0, DAEMON):
        done = ctl(daemon, "status", uid=uid)
        assert (done.returncode, done.stderr) == (0, "")
        assert "Health: healthy\n" in done.stdout
    shown = json.loads(ctl(daemon, "status", "--json").stdout)
    assert shown["attached"] == ["task_rename", "sched_process_exec"]
    assert shown["seen"] > 0
    assert (shown["lost"], shown["healthy"]) == (0, True)
    assert shown["memory"] > 0


def test_a_message_is_set_by_name_and_stands_in_the_log(daemon: Box) -> None:
    assert ctl(daemon, "set", "games", "Hi games!").returncode == 0
    uid = int(daemon.run("id", "-u", "games").stdout)
    daemon.run("true", "for", "games", uid=uid)
    (line,) = logged(daemon, 1, "--user", "games", "--comm", "true")
    assert line[15:].split() == [line.split()[3], "games", "setpriv", "Hi", "games!", "true", "for", "games"]
    assert [str(uid), "games", "Hi", "games!", "record", "off", "state"] in map(
        str.split, ctl(daemon, "list").stdout.splitlines()
    )
    assert ctl(daemon, "unset", "games").returncode == 0
    again = ctl(daemon, "unset", "games")
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)


def test_a_sudoer_is_told_how(daemon: Box) -> None:
    name, uid = "helper", 4750
    daemon.shell(f"useradd -M -u {uid} {name}; echo '{name} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{name}")
    for method, *arguments in (("SetMessage", "us", "5", "x"), ("ListMessages",)):
        refused = daemon.call(method, *arguments, uid=uid, check=False)
        assert refused.returncode == 1
        remedy = "run it with sudo, or use execwatchctl, which asks for the password\n"
        assert refused.stderr.endswith(remedy)
    refused = ctl(daemon, "set", "5", "x", uid=uid)  # no terminal is here
    assert (refused.returncode, refused.stderr) == (
        1,
        "execwatchctl: it needs a password, and there was nobody to ask (use sudo or a terminal)\n",
    )
    mistyped = daemon.call("SetMesage", "us", "5", "x", uid=uid, check=False)
    assert "has no method 'SetMesage'" in mistyped.stderr
    daemon.run("sudo", "execwatchctl", "set", "5", "x", uid=uid)
    assert daemon.call("GetMessage", "u", "5").stdout == 's "x"\n'
    assert ctl(daemon, "unset", "5").returncode == 0


def test_who_is_ignored_is_not_in_the_log(daemon: Box) -> None:
    assert ctl(daemon, "action", "5601", "ignore").returncode == 0
    daemon.run("true", "unseen", uid=5601)
    assert ctl(daemon, "action", "5601", "default").returncode == 0
    daemon.run("true", "seen", uid=5601)
    assert logged(daemon, 1, "--user", "5601", "-o", "argv") == ["true seen"]


def test_filters_and_order(daemon: Box) -> None:
    for number in range(30):
        daemon.run("true", f"number-{number}", uid=5602)
    everything = [f"true number-{number}" for number in range(30)]
    mine = ("--user", "5602", "-o", "argv")
    assert logged(daemon, 30, *mine) == everything
    assert log(daemon, *mine, "-n", "3") == everything[-3:]
    assert log(daemon, *mine, "-n", "0") == []
    assert log(daemon, *mine, "-n", "99") == everything
    assert log(daemon, *mine, "-b") == log(daemon, *mine, "--since", "today") == everything
    assert log(daemon, *mine, "--since", "-1h", "--until", "now", "-n", "1") == everything[-1:]
    assert log(daemon, *mine, "--until", "1h ago") == log(daemon, *mine, "--since", "+1h") == []
    assert log(daemon, *mine, "--comm", "setpriv", "--comm", "nobody") == everything
    assert log(daemon, *mine, "--unit", "probe") == []
    entries = objects(log(daemon, "--user", "5602", "--json"))
    assert log(daemon, *mine, "--pid", str(entries[7]["pid"])) == everything[7:8]
    kept = daemon.journal("-u", UNIT, "EXECWATCH_UID=5602", f"MESSAGE_ID={MessageId.EXEC.value}")
    stamps = [int(entry["__REALTIME_TIMESTAMP"]) for entry in kept]
    first, last = stamps[7], stamps[20]
    between = ("--since", f"@{first / 1e6:.6f}", "--until", f"@{last / 1e6:.6f}")
    expected = [line for line, stamp in zip(everything, stamps, strict=True) if first <= stamp <= last]
    assert log(daemon, *mine, *between) == log(daemon, *mine, *between, "-n", "99") == expected
    assert len(expected) >= 14


def test_an_exec_by_the_names_of_others(daemon: Box) -> None:
    daemon.shell("setpriv --reuid 5604 --clear-groups true 'a b' $'\\xff'")
    (exec_,) = objects(logged(daemon, 1, "--user", "5604", "--comm", "true", "-o", "json"))
    (ecs,) = objects(log(daemon, "--user", "5604", "--comm", "true", "-o", "ecs"))
    (otel,) = objects(log(daemon, "--user", "5604", "--comm", "true", "-o", "otel"))
    arguments = ["true", "a b", r"\xff"]
    assert ecs["process"]["args"] == otel["Attributes"]["process.command_args"] == arguments
    assert ecs["process"]["command_line"] == r"true a b \xff"
    assert "process.args" in ecs["execwatchd"]["escaped"]
    assert ecs["process"]["pid"] == otel["Attributes"]["process.pid"] == exec_["pid"]
    assert ecs["process"]["real_user"]["id"] == "5604"
    assert ecs["execwatchd"]["mntns"] == otel["Attributes"]["execwatchd.mntns"] == exec_["mntns"]
    assert (
        ecs["host"]["id"]
        == otel["Resource"]["host.id"]
        == daemon.run("cat", "/etc/machine-id").stdout.strip()
    )
    boot = daemon.run("cat", "/proc/sys/kernel/random/boot_id").stdout.strip()
    assert ecs["host"]["boot"]["id"] == boot
    assert ecs["event"]["created"] >= ecs["@timestamp"]
    assert int(otel["ObservedTimestamp"]) >= int(otel["Timestamp"])


TIMES = """\
Nov 30 12:45:38
-1month
1 month ago
-2M
-1y
1 year ago
2026-11-30 9:00
9:00
2026-11-3
24-01-31
today UTC
-5µs
2026-11-30  09:00
2026-11-30 09:00:60
soon
"""


def test_times_are_those_of_journalctl(daemon: Box) -> None:
    script = """
        while IFS= read -r time; do
          journalctl -q -n 1 --since="$time" >/dev/null 2>&1; theirs=$?
          execwatchctl log -n 1 --since="$time" >/dev/null 2>&1; ours=$?
          echo "$((theirs != 0)) $((ours != 0)) $time"
        done
    """
    lines = daemon.run("bash", "-c", script, stdin=TIMES).stdout.splitlines()
    assert lines == [f"0 0 {time}" for time in TIMES.splitlines()[:-1]] + ["1 1 soon"]


def test_a_time_that_the_log_shows_is_taken_back(daemon: Box) -> None:
    daemon.run("true", "shown", uid=5618)
    mine = ("--user", "5618", "--exe", "true")
    assert logged(daemon, 1, *mine, "-o", "argv") == ["true shown"]
    line = log(daemon, *mine)[-1]
    (event,) = [one for one in objects(log(daemon, *mine, "--json")) if one["kind"] == "exec"]
    (head,) = [line for line in log(daemon, *mine, "-o", "verbose") if line.endswith(" exec")]
    for moment in (line[:15], event["time"], head.split()[0]):
        assert log(daemon, *mine, "-o", "argv", "--since", moment) == ["true shown"]


def test_one_exec_whole(daemon: Box) -> None:
    daemon.run("bash", "-c", "/usr/bin/env true inner; /usr/bin/id; true", "outer", uid=5616)
    logged(daemon, 4, "--user", "5616")
    by_name = {one["new_comm"]: one for one in objects(log(daemon, "--user", "5616", "--json"))}
    shown = json.loads(ctl(daemon, "show", str(by_name["true"]["pid"]), "--json").stdout)
    assert shown["exec"] == by_name["true"]
    assert [one["argv"][-2:] for one in shown["execs"]] == [["true", "inner"], ["true", "inner"]]
    assert shown["ancestors"][0] == by_name["bash"]
    shown = json.loads(ctl(daemon, "show", str(by_name["bash"]["pid"]), "--json").stdout)
    assert [one["new_comm"] for one in shown["children"]] == ["env", "true", "id"]
    sheet = ctl(daemon, "show", str(by_name["id"]["pid"])).stdout
    assert "user  5616\n" in sheet
    assert "\nAround it by the same user\n" in sheet
    assert ctl(daemon, "show", str(by_name["id"]["pid"]), uid=5617).returncode == 1


def test_boots(daemon: Box) -> None:
    daemon.run("true", uid=5603)
    assert len(logged(daemon, 1, "--user", "5603", "-b", "0")) == 1
    assert len(log(daemon, "--user", "5603", "-b", "1")) == 1
    assert ctl(daemon, "log", "-b", "-1").stderr == "execwatchctl: no such boot: -1 (the journal has 1)\n"


def test_the_execs_of_a_unit(daemon: Box) -> None:
    for unit in ("ours", "other"):
        command = ("--uid=games", "/usr/bin/true", unit)
        daemon.run("systemd-run", "--wait", "--quiet", f"--unit={unit}", *command)
    assert logged(daemon, 1, "--unit", "ours", "--comm", "true", "-o", "argv") == ["/usr/bin/true ours"]


SCRIPT = """
/usr/bin/env true one
( exec /bin/sh -c 'true sub; /usr/bin/true two; exec true three' )
exec true last
"""


def test_a_tree_of_what_happened(daemon: Box) -> None:
    daemon.run("bash", "-c", SCRIPT, "tree", uid=5605)
    logged(daemon, 7, "--user", "5605")
    shown = objects(log(daemon, "--tree", "--user", "5605", "--json"))
    assert [(one["depth"], [" ".join(e["argv"][::2]) for e in one["execs"]]) for one in shown] == [
        (0, ["bash " + SCRIPT, "true"]),
        (1, ["/usr/bin/env one", "true"]),
        (1, ["/bin/sh true sub; /usr/bin/true two; exec true three", "true"]),
        (2, ["/usr/bin/true"]),
    ]
    root, _, shell, leaf = shown
    below = objects(log(daemon, "--tree", "--pid", str(shell["pid"]), "--json"))
    assert [(one["depth"], one["pid"]) for one in below] == [(0, shell["pid"]), (1, leaf["pid"])]
    lines = log(daemon, "--tree", "--pid", str(root["pid"]))
    assert [line[27:] for line in lines[-3:]] == [
        f"└─{shell['pid']} /bin/sh -c 'true sub; /usr/bin/true two; exec true three'",
        "  │ » true three",
        f"  └─{leaf['pid']} /usr/bin/true two",
    ]


def test_an_unknown_user_gets_no_bus_and_one_line(daemon: Box) -> None:
    done = ctl(daemon, "status", uid=5604)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("execwatchctl: cannot reach the system bus: ")
    assert done.stderr.count("\n") == 1


def test_following_shows_what_comes_and_ends_with_its_reader(daemon: Box) -> None:
    daemon.run("true", "before", uid=5606)
    logged(daemon, 1, "--user", "5606")
    command = [str(BOX), "run", daemon.name, "execwatchctl", "log", "-f", "--user", "5606", "-o", "argv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout
        assert follower.stdout.readline() == "true before\n"
        daemon.run("true", "after", uid=5606)
        assert follower.stdout.readline() == "true after\n"
        daemon.run("journalctl", "--rotate")
        daemon.run("true", "rotated", uid=5606)
        assert follower.stdout.readline() == "true rotated\n"
        follower.stdout.close()  # and it ends, although no more entries come
        assert follower.wait(30) == 0


FORGED = f"""\
MESSAGE=1 0 bash Hello World: evil
MESSAGE_ID={MessageId.EXEC.value}
SYSLOG_IDENTIFIER=execwatchd
EXECWATCH_PID=1
EXECWATCH_PPID=0
EXECWATCH_UID=5607
EXECWATCH_CMDLINE=evil
EXECWATCH_ARGV=["evil"]
_SYSTEMD_UNIT=execwatchd.service
"""


def test_a_forged_entry_is_not_shown_as_ours(daemon: Box) -> None:
    for uid in (5608, 0):  # not even root's is the daemon's
        daemon.run("logger", "--journald", uid=uid, stdin=FORGED)
    unit = ("systemd-run", "--wait", "--quiet", "--pipe", "--unit=forger")
    daemon.run(*unit, "logger", "--journald", stdin=FORGED)
    arguments = ("--user", "5607", "-o", "argv")
    assert logged(daemon, 3, *arguments, "--any-sender") == ["evil"] * 3
    assert log(daemon, *arguments) == []


def test_nothing_that_an_attacker_chose_reaches_the_terminal(daemon: Box) -> None:
    script = r"""
        cp /usr/bin/true "/tmp/$1"
        exec -a "$1" "/tmp/$1" "$2"
    """
    name, argument = "\x1b[31m\nx\u202e", "\x1b]0;owned\x07\r\udcff"
    daemon.shell(script, name, argument, uid=5609)
    user = ("--user", "5609", "--comm", name)
    escaped = "\\033[31m\\012x\\342\\200\\256"
    for output in ("short", "cat", "argv"):
        (line,) = logged(daemon, 1, *user, "-o", output)
        assert line.isprintable()
        assert line.endswith(f"$'{escaped}' $'\\033]0;owned\\007\\015\\377'")
    (one,) = objects(log(daemon, *user, "--json"))
    assert (one["new_comm"], one["argv"]) == (name, [name, list(argument.encode(errors="surrogateescape"))])


def test_a_reader_that_has_enough(daemon: Box) -> None:
    done = daemon.shell("execwatchctl log | head -n 1; exit ${PIPESTATUS[0]}")
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_who_may_not_read_the_journal_is_told_so(daemon: Box) -> None:
    done = ctl(daemon, "log", uid=5610)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("execwatchctl: no system journal here that you may read")


def test_a_directory_of_journal_files(daemon: Box) -> None:
    daemon.run("true", "kept", uid=5611)
    logged(daemon, 1, "--user", "5611")
    daemon.shell("cp -r /run/log/journal /tmp/kept")
    assert log(daemon, "-D", "/tmp/kept", "--user", "5611", "-o", "argv") == ["true kept"]


def test_a_daemon_that_was_stopped(daemon: Box) -> None:
    daemon.systemctl("stop", UNIT)
    for arguments in (("status",), ("list",), ("set", "0", "x")):
        done = ctl(daemon, *arguments)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == "execwatchctl: execwatchd does not run (systemctl start execwatchd)\n"
    assert log(daemon, "-n", "1") != []
    daemon.systemctl("start", UNIT)


def test_a_journal_of_its_own_and_failed_execs(boot: Boot) -> None:
    host = boot('echo "failures = true" >"$R/etc/execwatchd/execwatchd.toml"')
    host.run("cp", "/usr/share/execwatchd/journald@execwatchd.conf", "/etc/systemd/")
    host.systemctl("start", UNIT, check=False)
    host.systemctl("stop", UNIT)
    for name in ("namespace", "failures"):
        host.enable_drop_in(name)
    host.systemctl("restart", UNIT)
    host.shell("/no/such/file arg; /usr/bin/true there", uid=5612, check=False)
    wait = ("--user", "5612", "--comm", "bash")
    host_journal = wait_until(lambda: ctl(host, "log", *wait, "-o", "json").stdout, "the namespace's entries")
    failed = [one for one in objects(host_journal.splitlines()) if one["kind"] == "failed"]
    assert [(one["filename"], one["errno"]) for one in failed] == [("/no/such/file", "ENOENT")]
    (line,) = ctl(host, "log", "--failed", *wait).stdout.splitlines()
    assert line.endswith("[ENOENT] /no/such/file arg")
    assert ctl(host, "log", "--namespace", "execwatchd", *wait, "-o", "argv").stdout != ""


def test_top_counts_who_ran_what(daemon: Box) -> None:
    daemon.run("cp", "/bin/true", "/tmp/topmost")
    for uid in (5613, 5613, 5614):
        daemon.run("/tmp/topmost", uid=uid)
    logged(daemon, 3, "--comm", "topmost")
    once = ("top", "--once", "--json", "--since", "-1h")
    commands = json.loads(ctl(daemon, *once, "--by", "command").stdout)
    (topmost,) = [one for one in commands["groups"] if one["command"] == "topmost"]
    assert (topmost["execs"], topmost["failed"], topmost["mostly"]) == (3, 0, {"user": "5613", "uid": 5613})
    users = json.loads(ctl(daemon, *once).stdout)
    found = {one["uid"]: (one["execs"], one["mostly"]) for one in users["groups"]}
    assert (found[5613], found[5614]) == ((2, {"command": "topmost"}), (1, {"command": "topmost"}))
    assert users["execs"] == sum(execs for execs, _ in found.values())
    assert ctl(daemon, "top", "--once").stdout.startswith("by user  ")


class TopScreen:
    """`execwatchctl top` on a terminal of its own, with room for whatever else the host executes."""

    def __init__(self, host: Box, *options: str) -> None:
        self.ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (1000, 80))
        command = [
            "env",
            "TERM=xterm",
            "execwatchctl",
            "top",
            "--by",
            "command",
            "--interval",
            "0.2",
            *options,
        ]
        self.process = subprocess.Popen([BOX, "run", host.name, *command], stdin=theirs, stdout=theirs)
        os.close(theirs)

    def until(self, text: bytes) -> None:
        """Read what it shows up to this text."""
        seen, end = b"", time.monotonic() + 60
        while text not in seen:
            left = max(0.0, end - time.monotonic())
            assert select.select([self.ours], [], [], left)[0], f"no {text!r} in {seen!r}"
            seen += os.read(self.ours, 65536)

    def type(self, key: bytes) -> None:
        os.write(self.ours, key)


@pytest.fixture
def top_screen(daemon: Box) -> Iterator[Callable[..., TopScreen]]:
    screens = []

    def start(*options: str) -> TopScreen:
        screens.append(TopScreen(daemon, *options))
        return screens[-1]

    yield start
    for screen in screens:
        screen.process.kill()
        screen.process.wait()
        os.close(screen.ours)


def test_top_is_a_screen_on_a_terminal(daemon: Box, top_screen: Callable[..., TopScreen]) -> None:
    daemon.run("cp", "/bin/true", "/tmp/onscreen")
    screen = top_screen()
    screen.until(b"by command")
    daemon.run("/tmp/onscreen")
    screen.until(b"onscreen")
    screen.type(b"u")
    screen.until(b"by user")
    screen.type(b"q")
    screen.until(b"\033[?1049l")
    assert screen.process.wait(20) == 0


STORM = rf"""
import socket
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
entry = "MESSAGE_ID={MessageId.EXEC.value}\nSYSLOG_IDENTIFIER=execwatchd\n"
entry += "EXECWATCH_NEW_COMM=storm\nMESSAGE=%d\n"
for number in range(3000):
    journal.sendto((entry % number).encode(), "/run/systemd/journal/socket")
"""


def test_top_leaves_out_what_it_does_not_read_of_a_storm(
    daemon: Box, top_screen: Callable[..., TopScreen]
) -> None:
    daemon.run("cp", "/bin/true", "/tmp/calm")
    screen = top_screen("--any-sender")
    screen.until(b"by command")
    screen.type(b"p")
    screen.until(b"paused")
    daemon.run("/usr/bin/python3", "-c", STORM)
    daemon.run("journalctl", "--sync")
    screen.type(b"p")
    screen.until(b"sampled")
    daemon.run("/tmp/calm")  # and behind that it goes on
    screen.until(b"calm")
    screen.type(b"q")
    assert screen.process.wait(20) == 0
