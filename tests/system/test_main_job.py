# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job as an administrator meets it: start, set a message, read the journal, stop."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from execwatchd.ctl.ports import EXIT_UNHEALTHY
from execwatchd.shared.message_ids import MessageId
from tests.kernel_objects import loaded_programs, programs_of
from tests.system.harness import CGROUPS, Boot, Box, Entry, argv_of, wait_until
from tests.system.storm import at_rest

UNIT = "execwatchd.service"
TESTER = 5501


def execs(host: Box, uid: int, *matches: str) -> list[Entry]:
    """Entries of the executions by a UID: the kernel is shared, so a test takes one that is its own."""
    kind = f"MESSAGE_ID={MessageId.EXEC.value}"
    found = host.journal("-u", UNIT, kind, f"EXECWATCH_UID={uid}", *matches)
    return sorted(found, key=lambda entry: int(entry["EXECWATCH_TIMESTAMP"]))


def one_exec(host: Box, uid: int, cmdline: str) -> Entry:
    """The one entry with this command line."""
    match = f"EXECWATCH_CMDLINE={cmdline}"
    (entry,) = wait_until(lambda: execs(host, uid, match), f"{cmdline} by {uid}")
    return entry


def own_log(host: Box, kind: MessageId) -> list[Entry]:
    return host.journal("-u", UNIT, f"MESSAGE_ID={kind.value}")


@pytest.fixture(scope="module")
def daemon(host: Box) -> Iterator[Box]:
    host.systemctl("start", UNIT)
    yield host
    log = host.run("journalctl", "-u", UNIT, "-t", "execwatchd", "-p", "warning", "--no-pager", check=False)
    print(log.stdout)  # pytest shows it with a test that failed


def test_it_has_started_and_says_what_it_does(daemon: Box) -> None:
    assert daemon.show(UNIT, "ActiveState") == "active"
    status = daemon.show(UNIT, "StatusText")
    assert "sched_process_exec" in status
    assert "\n" not in status
    (attached,) = own_log(daemon, MessageId.ATTACHED)
    assert attached["MESSAGE"] == "attached: task_rename, sched_process_exec"
    assert attached["SYSLOG_IDENTIFIER"] == "execwatchd"


def test_it_owns_the_name_as_its_own_user(daemon: Box) -> None:
    owner = daemon.busctl("status", "org.execwatch1").stdout
    uid = daemon.run("id", "-u", "execwatchd").stdout.strip()
    assert f"EUID={uid}\n" in owner


def test_a_message_set_by_busctl_stands_in_the_next_entry(daemon: Box) -> None:
    daemon.call("SetMessage", "us", "1", "Hi daemon!")
    assert daemon.call("GetMessage", "u", "1").stdout == 's "Hi daemon!"\n'
    daemon.run("true", "set-message", uid=1)
    entry = one_exec(daemon, 1, "true set-message")
    assert entry["MESSAGE"] == f"{entry['EXECWATCH_PID']} 1 setpriv Hi daemon!: true set-message"
    assert daemon.call("ListMessages").stdout == 'a(usss) 1 1 "Hi daemon!" "record" "state"\n'
    daemon.call("RemoveMessage", "u", "1")
    daemon.run("true", "message-removed", uid=1)
    assert " 1 setpriv Hello World: true " in one_exec(daemon, 1, "true message-removed")["MESSAGE"]


def test_the_default_message_is_a_property(daemon: Box) -> None:
    where = ("org.execwatch1", "/org/execwatch1", "org.execwatch1.Manager", "DefaultMessage")
    assert daemon.busctl("get-property", *where).stdout == 's "Hello World"\n'
    daemon.busctl("set-property", *where, "s", "Moin")
    daemon.run("true", "default-changed", uid=2)
    assert " 2 setpriv Moin: " in one_exec(daemon, 2, "true default-changed")["MESSAGE"]
    daemon.busctl("set-property", *where, "s", "Hello World")


def test_busctl_shows_the_interface(daemon: Box) -> None:
    shown = daemon.busctl("introspect", "org.execwatch1", "/org/execwatch1").stdout
    for member in (
        "SetMessage",
        "RemoveMessage",
        "SetAction",
        "GetMessage",
        "ListMessages",
        "DefaultMessage",
    ):
        assert re.search(rf"^\.{member} ", shown, re.MULTILINE), member


def test_an_entry_has_every_field(daemon: Box) -> None:
    daemon.run("env", "ls", "-d", "all fields", "/", uid=3, check=False)
    entry = one_exec(daemon, 3, "ls -d 'all fields' /")
    assert entry["EXECWATCH_COMM"] == "env"
    assert entry["EXECWATCH_EXE"] == "/usr/bin/ls"
    assert "EXECWATCH_FILENAME" not in entry
    assert entry["EXECWATCH_EXEC_ID"].startswith(f"{entry['EXECWATCH_PID']}-")
    assert {"EXECWATCH_EXE_ID", "EXECWATCH_PARENT_ID", "EXECWATCH_PARENT_EXE"} <= entry.keys()
    assert entry["EXECWATCH_ARGV"] == '["ls","-d","all fields","/"]'
    assert entry["EXECWATCH_CMDLINE"] == "ls -d 'all fields' /"
    assert (entry["EXECWATCH_UID"], entry["EXECWATCH_EUID"], entry["EXECWATCH_GID"]) == ("3", "3", "3")
    assert entry["SYSLOG_FACILITY"] == "10"
    assert entry.keys() & {"EXECWATCH_RESULT", "EXECWATCH_ARGC", "EXECWATCH_TRUNCATED"} == set()
    assert entry["EXECWATCH_MESSAGE"] == "Hello World"
    assert int(entry["EXECWATCH_PPID"]) > 0
    assert entry["MESSAGE_ID"] == MessageId.EXEC.value
    assert entry["_SYSTEMD_UNIT"] == UNIT


def test_an_entry_leaves_out_the_namespaces_of_the_host(daemon: Box) -> None:
    """The tests run in them, the booted system doesn't."""
    subprocess.run(["true", "outside"], user=9, group=9, extra_groups=[], check=True)
    entry = one_exec(daemon, 9, "true outside")
    assert entry.keys() & {"EXECWATCH_PIDNS", "EXECWATCH_MNTNS", "EXECWATCH_NSPID"} == set()
    (attached,) = own_log(daemon, MessageId.ATTACHED)
    found = [attached[f"EXECWATCH_{name}"] for name in ("PIDNS", "MNTNS")]
    assert found == [str(os.stat(f"/proc/self/ns/{name}").st_ino) for name in ("pid", "mnt")]
    shown = json.loads(daemon.run("execwatchctl", "log", "--user", "9", "-o", "json").stdout)
    assert [str(shown["pidns"]), str(shown["mntns"])] == found
    daemon.run("true", "inside", uid=9)
    entry = one_exec(daemon, 9, "true inside")
    assert entry["EXECWATCH_PIDNS"] != found[0]
    assert entry["EXECWATCH_MNTNS"] != found[1]


def test_journalctl_explains_an_entry(daemon: Box) -> None:
    daemon.run("true", "explain-this", uid=4)
    one_exec(daemon, 4, "true explain-this")
    shown = daemon.run("journalctl", "-x", "-u", UNIT, "EXECWATCH_UID=4", "--no-pager").stdout
    assert "Subject: User 4 executed true" in shown
    assert "true explain-this" in shown


def test_the_exec_of_a_unit_names_the_unit(daemon: Box) -> None:
    daemon.run("systemd-run", "--wait", "--quiet", "--unit=probe", "--uid=6", "/usr/bin/true", "in-a-unit")
    entry = one_exec(daemon, 6, "/usr/bin/true in-a-unit")
    assert entry["EXECWATCH_UNIT"] == "probe.service"
    assert "OBJECT_SYSTEMD_UNIT" not in entry  # journalctl would not believe it


def test_what_an_attacker_names_stays_on_one_line_and_forges_nothing(daemon: Box) -> None:
    name = "x\nUID=0\x1b "
    inner = r"""/usr/bin/true forged "$0" $'\xff' "it's"; :"""
    daemon.shell('cp /bin/bash "/tmp/$1"; "/tmp/$1" -c "$2" "$1"', name, inner, uid=7)
    (entry,) = wait_until(
        lambda: [e for e in execs(daemon, 7) if argv_of(e)[:2] == [b"/usr/bin/true", b"forged"]],
        "the exec",
    )
    assert entry["MESSAGE"].isprintable()
    assert entry["MESSAGE"].split(" ")[1:3] == ["7", r"x\012UID=0\033\040"]
    assert entry["EXECWATCH_COMM"] == name
    assert argv_of(entry) == [b"/usr/bin/true", b"forged", name.encode(), b"\xff", b"it's"]
    again = daemon.shell(f"printf '%s\\0' {entry['EXECWATCH_CMDLINE']}").stdout
    assert again == entry["EXECWATCH_ARGV_RAW"]


def test_an_argument_cannot_add_fields(daemon: Box) -> None:
    daemon.run("true", "x\nEXECWATCH_EUID=0\nMESSAGE=forged\n", uid=8)
    entry = one_exec(daemon, 8, r"true $'x\012EXECWATCH_EUID=0\012MESSAGE=forged\012'")
    assert entry["EXECWATCH_EUID"] == "8"
    assert execs(daemon, 8, "MESSAGE=forged") == []


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("SetMessage", ("us", "4294967295", "x"), "UID"),
        ("SetMessage", ("us", "9", "x" * 64), "63"),
        ("SetMessage", ("us", "9", "two\nlines"), "control character"),
        ("SetAction", ("us", "9", "destroy"), "destroy"),
        ("RemoveMessage", ("u", "9"), "9"),
    ],
)
def test_a_bad_value_is_named_and_nothing_changes(
    daemon: Box, method: str, arguments: tuple[str, ...], error: str
) -> None:
    before = daemon.call("ListMessages").stdout
    refused = daemon.call(method, *arguments, check=False)
    assert refused.returncode == 1
    assert error in refused.stderr
    assert "Traceback" not in refused.stderr
    assert daemon.call("ListMessages").stdout == before


def test_another_user_may_not_set_a_message_and_may_read_only_its_own(daemon: Box) -> None:
    for method, arguments in (("SetMessage", ("us", "1", "x")), ("GetMessage", ("u", "0"))):
        assert daemon.call(method, *arguments, uid=10, check=False).returncode == 1
    assert daemon.call("GetMessage", "u", "10", uid=10).stdout == 's "Hello World"\n'


def test_the_process_has_nothing_left(daemon: Box) -> None:
    status = daemon.path(f"/proc/{daemon.show(UNIT, 'MainPID')}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[f"Cap{name}"].strip("0") for name in ("Eff", "Prm", "Inh", "Amb")} == {""}
    assert fields["NoNewPrivs"] == "1"
    assert "0" not in fields["Uid"].split()
    assert fields["Seccomp"] == "2"


def test_a_second_instance_is_refused(daemon: Box) -> None:
    refused = daemon.run("execwatchd", "--foreground", check=False)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()[-1]) < 200
    assert "org.execwatch1" in refused.stderr


def test_a_reload_takes_up_the_file_and_refuses_a_bad_one(daemon: Box) -> None:
    config = "/etc/execwatchd/execwatchd.toml"
    daemon.shell(
        f"cp {config} {config}.kept; echo '[messages]' >{config}; echo '11 = \"from the file\"' >>{config}"
    )
    daemon.systemctl("reload", UNIT)
    wait_until(
        lambda: daemon.call("GetMessage", "u", "11").stdout == 's "from the file"\n',
        "the message of the file",
    )
    daemon.shell(f"echo '12 = \"two\\nlines\"' >>{config}")
    assert daemon.systemctl("reload", UNIT, check=False).returncode != 0
    problem = f"{config}: messages.12: "
    found = daemon.journal("-u", UNIT, f"--grep={problem}")  # which is an exec itself
    lines = {str(e["MESSAGE"]).partition(problem)[0] for e in found if "EXECWATCH_PID" not in e}
    assert lines == {"execwatchd: ", "configuration rejected, the old one stays: "}
    assert daemon.call("GetMessage", "u", "11").stdout == 's "from the file"\n'
    (rejected,) = own_log(daemon, MessageId.CONFIG_REJECTED)
    assert problem in rejected["MESSAGE"]
    assert daemon.run("execwatchctl", "status", "--interval", "0", check=False).returncode == EXIT_UNHEALTHY
    assert daemon.show(UNIT, "ActiveState") == "active"
    assert daemon.call("GetMessage", "u", "11").stdout == 's "from the file"\n'
    daemon.shell(f"mv {config}.kept {config}")
    daemon.systemctl("reload", UNIT)
    assert daemon.run("execwatchctl", "status", "--interval", "0").returncode == 0


def test_a_reload_lasts_until_a_slow_daemon_has_done_it(daemon: Box) -> None:
    """Also where the daemon hears of it only when all commands of the reload have ended."""
    config, pid = "/etc/execwatchd/execwatchd.toml", daemon.main_pid(UNIT)
    daemon.shell(f"cp {config} {config}.kept; printf '[messages]\\n14 = \"slow\"\\n' >{config}")
    with ThreadPoolExecutor() as pool:
        os.kill(pid, signal.SIGSTOP)
        try:
            reload = pool.submit(daemon.systemctl, "reload", UNIT)
            wait_until(lambda: is_pending(pid, signal.SIGHUP), "the signal")
            wait_until(lambda: daemon.show(UNIT, "ControlPID") == "0", "the end of the commands")
            assert daemon.show(UNIT, "ActiveState") == "reloading"
            assert not reload.done()
        finally:
            os.kill(pid, signal.SIGCONT)
        reload.result()
    assert daemon.call("GetMessage", "u", "14").stdout == 's "slow"\n'
    daemon.shell(f"mv {config}.kept {config}")
    daemon.systemctl("reload", UNIT)


def is_pending(pid: int, number: int) -> bool:
    (mask,) = re.findall(r"^ShdPnd:\t(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) & 1 << (number - 1))


def test_reloads_one_after_the_other_and_a_stop_in_the_middle_of_one(daemon: Box) -> None:
    """A stop is no reason to call a configuration bad, and no reload leaves a process behind."""
    config = "/etc/execwatchd/execwatchd.toml"
    pid = daemon.main_pid(UNIT)
    rejected = len(own_log(daemon, MessageId.CONFIG_REJECTED))
    daemon.shell(f"cp {config} {config}.kept; printf '[messages]\\n13 = \"last\"\\n' >{config}")
    for _ in range(20):
        os.kill(pid, signal.SIGHUP)
    wait_until(lambda: daemon.call("GetMessage", "u", "13").stdout == 's "last"\n', "the last reload")
    daemon.shell(f"mv {config}.kept {config}")
    os.kill(pid, signal.SIGHUP)
    daemon.systemctl("restart", UNIT)
    assert daemon.main_pid(UNIT) != pid
    group = CGROUPS / f"execwatchd-box-{daemon.name}{daemon.show(UNIT, 'ControlGroup')}"
    assert (group / "cgroup.procs").read_text().split() == [str(daemon.main_pid(UNIT))]
    assert len(own_log(daemon, MessageId.CONFIG_REJECTED)) == rejected
    assert "not reloaded" not in daemon.run("journalctl", "-u", UNIT).stdout


def test_the_transcript_of_the_teaching_program(daemon: Box) -> None:
    daemon.shell(
        f"useradd -M -u {TESTER} -s /bin/bash tester; echo 'tester ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/t"
    )
    daemon.call("SetMessage", "us", "0", "Hey root!")
    daemon.call("SetMessage", "us", str(TESTER), f"Hi user {TESTER}!")
    daemon.shell("ls /nowhere; sudo ls /nowhere; sudo -u daemon ls /nowhere; :", uid=TESTER)

    def transcript() -> list[str]:
        entries = [e for uid in (0, 1, TESTER) for e in execs(daemon, uid)]
        return [
            entry["MESSAGE"].partition(" ")[2]
            for entry in sorted(entries, key=lambda entry: int(entry["EXECWATCH_TIMESTAMP"]))
            if entry["EXECWATCH_CMDLINE"].endswith("ls /nowhere")
            and entry["EXECWATCH_COMM"] in {"bash", "sudo"}
        ]

    lines = wait_until(lambda: len(found := transcript()) == 5 and found, "five execs")
    assert lines == [
        f"{TESTER} bash Hi user {TESTER}!: ls /nowhere",
        f"{TESTER} bash Hi user {TESTER}!: sudo ls /nowhere",
        "0 sudo Hey root!: ls /nowhere",
        f"{TESTER} bash Hi user {TESTER}!: sudo -u daemon ls /nowhere",
        "1 sudo Hello World: ls /nowhere",
    ]


def test_the_counters_add_up_at_rest(daemon: Box) -> None:
    """Ignoring everybody, so that it comes to rest whatever this host executes."""
    where = ("org.execwatch1", "/org/execwatch1", "org.execwatch1.Manager", "DefaultAction")
    daemon.busctl("set-property", *where, "s", "ignore")
    total = at_rest(daemon)
    assert total["Forwarded"] > 0
    assert total["Lost"] == 0
    daemon.busctl("set-property", *where, "s", "record")


def test_a_stop_leaves_nothing_in_the_kernel(boot: Boot) -> None:
    host = boot()
    host.systemctl("start", UNIT)
    programs = programs_of(host.main_pid(UNIT))
    assert len(programs) == 3
    assert programs <= loaded_programs()
    host.systemctl("stop", UNIT)
    wait_until(lambda: not programs & loaded_programs(), "no program of ours in the kernel")
    assert host.show(UNIT, "Result") == "success"
    assert host.show(UNIT, "NFileDescriptorStore") == "0"


def test_a_bad_configuration_ends_the_start_for_good(boot: Boot) -> None:
    host = boot("echo 'default_message = 1' >$R/etc/execwatchd/execwatchd.toml")
    assert host.systemctl("start", UNIT, check=False).returncode == 1
    assert host.show(UNIT, "ExecMainStatus") == "78"
    assert host.show(UNIT, "ActiveState") == "failed"
    assert host.show(UNIT, "NRestarts") == "0"
    said = host.run("journalctl", "-u", UNIT, "-t", "execwatchd", "-o", "cat", "--no-pager").stdout
    assert "/etc/execwatchd/execwatchd.toml: default_message: " in said
    assert "Traceback" not in said


def test_without_a_bus_it_records_and_says_so(boot: Boot) -> None:
    host = boot()
    host.systemctl("stop", "dbus.socket", "dbus.service")
    host.shell("systemctl mask --runtime dbus.socket dbus.service && systemctl start execwatchd")
    assert "no system bus" in host.show(UNIT, "StatusText")
    host.run("true", "without-a-bus", uid=1)
    assert " 1 setpriv Hello World: " in one_exec(host, 1, "true without-a-bus")["MESSAGE"]


def test_no_kernel_headers_are_needed(boot: Boot) -> None:
    host = boot()
    hide = "[Service]\\nInaccessiblePaths=-/usr/src -/usr/lib/modules -/boot\\n"
    host.shell(
        f"mkdir /run/systemd/system/{UNIT}.d && printf '{hide}' >/run/systemd/system/{UNIT}.d/hide.conf"
    )
    host.shell("systemctl daemon-reload && systemctl start execwatchd")
    assert host.show(UNIT, "ActiveState") == "active"


def test_strace_shows_the_commands_of_the_bpf_call(boot: Boot) -> None:
    host = boot()
    host.shell(
        "systemd-run --quiet --unit=traced -p KillSignal=SIGINT"
        " strace -f -e trace=bpf -o /tmp/trace execwatchd --foreground"
    )
    wait_until(lambda: host.busctl("status", "org.execwatch1", check=False).returncode == 0, "the name")
    host.call("SetMessage", "us", "501", "Hi user 501!")
    trace = host.path("/tmp/trace").read_text()
    commands = re.findall(r"bpf\((BPF_\w+), ", trace)
    last = {command: number for number, command in enumerate(commands)}
    for command in ("BPF_BTF_LOAD", "BPF_MAP_CREATE"):
        assert last[command] < last["BPF_PROG_LOAD"]
    assert last["BPF_PROG_LOAD"] < last["BPF_RAW_TRACEPOINT_OPEN"] < last["BPF_MAP_UPDATE_ELEM"]
    host.systemctl("stop", "traced")
