# SPDX-License-Identifier: GPL-2.0-or-later
import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.__main__ import main
from execwatchd.policy import reader, validate
from execwatchd.policy.configuration import Config, render
from execwatchd.policy.layer import Layer
from execwatchd.policy.settings import Settings
from execwatchd.shared.errors import EXIT_CONFIG, ConfigError
from execwatchd.shared.rules import BUILT_IN, MAX_UIDS, Action, Rule


class Tree:
    """A root directory with configuration files in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, layer: str, drop_in: str = "") -> Path:
        path = self.root / layer / "execwatchd" / "execwatchd.toml"
        path = path.with_name("execwatchd.toml.d") / drop_in if drop_in else path
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, content: str | bytes, layer: str = "etc", drop_in: str = "") -> Path:
        path = self.path(layer, drop_in)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def write_secrets(self, content: str, layer: str = "etc", name: str = "x.toml") -> Path:
        path = self.root / layer / "execwatchd/redact.d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def load(self) -> Config:
        return reader.configuration(self.root)

    def problems(self) -> list[str]:
        with pytest.raises(ConfigError) as error:
            self.load()
        assert error.value.code == EXIT_CONFIG
        assert str(error.value) == "\n".join(error.value.problems)
        return [line.removeprefix(f"{self.root}/") for line in error.value.problems]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_no_file(tree: Tree) -> None:
    config = tree.load()
    assert config == Config()
    assert config.settings.rules == Layer(Rule("Hello World", Action.RECORD, "off"))
    assert (config.settings.argv_bytes, config.settings.ring_size) == (4096, None)
    assert config.origin("default_message") is None


def test_every_key(tree: Tree) -> None:
    path = tree.write("""
        default_message = ""
        default_action = "ignore"
        limit_per_user = "200/s"
        failures = true
        cwd = true
        ancestors = 8
        interactive = true
        exits = true
        argv_bytes = 32768
        ring_size = "8MiB"
        parent_cmdline = false
        redact = ["default", "--pin=(.*)"]
        arguments = "names"
        metrics_file = "/run/a/b.prom"
        [messages]
        0 = "root"
        4294967294 = "last"
        [actions]
        33 = "ignore"
        [limits]
        0 = "off"
        33 = "1/s"
    """)
    config = tree.load()
    assert config.files == (path,)
    assert config.settings.in_file() == {
        "default_message": "",
        "default_action": "ignore",
        "limit_per_user": "200/s",
        "failures": True,
        "cwd": True,
        "ancestors": 8,
        "interactive": True,
        "exits": True,
        "argv_bytes": 32768,
        "ring_size": 8 << 20,
        "parent_cmdline": False,
        "redact": ("default", "--pin=(.*)"),
        "arguments": "names",
        "metrics_file": "/run/a/b.prom",
        "messages": {0: "root", 4294967294: "last"},
        "actions": {33: "ignore"},
        "limits": {0: "off", 33: "1/s"},
    }
    assert config.origin("messages", 0) == config.origin("actions", 33) == config.origin("cwd") == path
    assert config.origin("messages", 1) is None


def test_the_highest_main_file_counts_alone(tree: Tree) -> None:
    tree.write('default_message = "usr"\ncwd = true', "usr/lib")
    run = tree.write('default_message = "run"', "run")
    config = tree.load()
    assert config.settings == Settings(Layer(BUILT_IN._replace(message="run")))
    assert config.files == (run,)


@pytest.mark.parametrize("mask", ["empty", "null"])
def test_a_masked_main_file_hides_the_lower_ones(tree: Tree, mask: str) -> None:
    tree.write("cwd = true", "usr/lib")
    if mask == "empty":
        tree.write("")
    else:
        tree.path("etc").symlink_to("/dev/null")
    assert tree.load() == Config()


def test_drop_ins_are_read_by_name_over_all_directories(tree: Tree) -> None:
    tree.write('default_message = "main"\nmessages = {1 = "main", 2 = "main"}\nactions = {9 = "ignore"}')
    first = tree.write('messages = {1 = "10", 3 = "10"}\ndefault_message = "10"', "etc", "10.toml")
    second = tree.write('messages = {1 = "20"}\ndefault_message = "20"', "usr/lib", "20.toml")
    config = tree.load()
    assert config.settings.rules.default.message == "20"
    assert config.settings.rules.rules == {
        1: Rule("20"),
        2: Rule("main"),
        3: Rule("10"),
        9: Rule(action=Action.IGNORE),
    }
    assert [config.origin("messages", uid) for uid in (1, 2, 3)] == [second, tree.path("etc"), first]


def test_a_drop_in_hides_its_name_in_lower_directories(tree: Tree) -> None:
    tree.write('messages = {1 = "usr", 2 = "usr"}', "usr/lib", "a.toml")
    tree.write('messages = {1 = "run"}', "run", "a.toml")
    tree.write("cwd = true", "usr/lib", "b.toml")
    tree.write("", "etc", "b.toml")
    tree.write("failures = true", "usr/lib", "c.toml")
    tree.path("run", "c.toml").symlink_to("/dev/null")
    tree.write("nonsense", "etc", "d.toml.bak")
    tree.write("nonsense", "etc", ".e.toml")
    assert tree.load().settings == Settings(Layer(BUILT_IN, {1: Rule("run")}))


def test_all_problems_at_once(tree: Tree) -> None:
    tree.write("""
        default_message = "a\\u0000b"
        default_action = "drop"
        failures = "yes"
        cwd = 1
        ancestors = 9
        interactive = 0
        exits = "1"
        argv_bytes = 513
        ring_size = "5MiB"
        unknown = 1
        actions = 5
        [messages]
        501 = "hi"
        0501 = "again"
        4294967295 = "nobody"
        8 = 1.5
    """)
    tree.write("x = \n", "etc", "1.toml")
    tree.write(b"\nx = '\xff'", "etc", "2.toml")
    os.mkfifo(tree.path("etc", "3.toml"))
    tree.path("etc", "4.toml").symlink_to("nowhere")
    tree.write("cwd = false\ncwd = false\n", "run", "5.toml")
    tree.write("x = " + "[" * 5000, "run", "6.toml")
    tree.write("argv_bytes = " + "1" * 5000, "run", "7.toml")
    main, drop_ins = "etc/execwatchd/execwatchd.toml: ", "etc/execwatchd/execwatchd.toml.d/"
    runs = "run/execwatchd/execwatchd.toml.d/"
    assert tree.problems() == [
        f"{main}default_message: the message 'a\\x00b' has a control character (U+0000) at position 1",
        f"{main}default_action: the action 'drop' does not exist: it must be 'record' or 'ignore'",
        f"{main}failures: 'yes' must be true or false",
        f"{main}cwd: 1 must be true or false",
        f"{main}ancestors: 9 must be a number from 0 to 8",
        f"{main}interactive: 0 must be true or false",
        f"{main}exits: '1' must be true or false",
        f"{main}argv_bytes: 513 must be a multiple of 512, at most 32768, in bytes",
        f'{main}ring_size: \'5MiB\' must be a power of two from "4KiB" to "128MiB"',
        f"{main}messages.0501: '0501' is not a UID: it must be a number from 0 to 4294967294,"
        " without leading zeros",
        f"{main}messages.4294967295: UID 4294967295 is out of range: it must be from 0 to 4294967294",
        f"{main}messages.8: a float is not a message: it must be a string",
        f"{main}actions: 5 must be a table",
        f"{main}unknown: unknown key, with the value 1",
        f"{drop_ins}1.toml: line 1, column 5: Invalid value",
        f"{drop_ins}2.toml: line 2: not UTF-8: byte 0xff",
        f"{drop_ins}3.toml: not a regular file",
        f"{drop_ins}4.toml: cannot be read: No such file or directory",
        f"{runs}5.toml: line 2, column 12: Cannot overwrite a value",
        f"{runs}6.toml: nested too deeply",
        tree.problems()[-1],
    ]
    assert tree.problems()[-1].startswith(f"{runs}7.toml: ")


@pytest.mark.parametrize(
    "value", ["true", "4095", "1.5", "0", "-4096", '"x"', '"256MiB"', "[]", "3000000", '"inf"']
)
def test_bad_ring_size(tree: Tree, value: str) -> None:
    tree.write(f"ring_size = {value}")
    (problem,) = tree.problems()
    assert problem.endswith('must be a power of two from "4KiB" to "128MiB"')


@pytest.mark.parametrize(("value", "size"), [("4096", 4096), ('"4KiB"', 4096), ('"128MiB"', 128 << 20)])
def test_ring_size(tree: Tree, value: str, size: int) -> None:
    tree.write(f"ring_size = {value}")
    assert tree.load().settings.ring_size == size


@pytest.mark.parametrize("value", ["0", "256", "33280", "true", "4096.0", '"4096"', "-512"])
def test_bad_argv_bytes(tree: Tree, value: str) -> None:
    tree.write(f"argv_bytes = {value}")
    assert len(tree.problems()) == 1


@pytest.mark.parametrize(
    ("value", "patterns"),
    [
        ("true", ("default",)),
        ("false", ()),
        ("[]", ()),
        ("['default']", ("default",)),
        (r"['--pin[= \n](\d+)', 'ü']", (r"--pin[= \n](\d+)", "ü")),
        ("['[A-Za-z0-9/+=]{40}']", ("[A-Za-z0-9/+=]{40}",)),
        (str([f"^--secret{i}=(.*)$" for i in range(64)]), tuple(f"^--secret{i}=(.*)$" for i in range(64))),
    ],
)
def test_redact(tree: Tree, value: str, patterns: tuple[str, ...]) -> None:
    tree.write(f"redact = {value}")
    config = tree.load()
    assert config.settings.redact == patterns
    assert tuple(tomllib.loads(render(config))["redact"]) == patterns


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ('"default"', "redact: 'default' must be true, false, or an array of at most 64 patterns"),
        ("1", "redact: 1 must be true, false, or an array of at most 64 patterns"),
        (str(["x"] * 65), "redact: an array must be true, false, or an array of at most 64 patterns"),
        ("['default', 'a', '(x']", "redact.2: the pattern '(x': missing ): (x"),
        ("['(?<=x)y']", "redact.0: the pattern '(?<=x)y': invalid perl operator: (?<="),
        ("['a', 5]", "redact.1: 5 must be a pattern: a string"),
        ("['x*']", "redact.0: the pattern 'x*': it matches where nothing is"),
        ('["a\\nb"]', "redact.0: the pattern 'a\\nb' must be at most 1000 printable characters"),
        (
            "['x.{0,900}y']",
            "redact.0: the pattern 'x.{0,900}y': it is compiled to 2706 instructions, and may have 300",
        ),
        (
            "['default', '(?:.?){1,1000}Q']",
            "redact.1: the pattern '(?:.?){1,1000}Q': it is compiled to 4003 instructions, and may have 300",
        ),
        (
            str([f"k{i}.{{0,20}}v{i}" for i in range(64)]),
            "redact: the patterns together: they are compiled to 4097 instructions, and may have 1500",
        ),
    ],
)
def test_bad_redact(tree: Tree, value: str, problem: str) -> None:
    path = tree.write(f"redact = {value}")
    assert tree.problems() == [f"{path.relative_to(tree.root)}: {problem}"]


@pytest.mark.parametrize("value", ['"some"', "true", '""', "1"])
def test_bad_arguments(tree: Tree, value: str) -> None:
    tree.write(f"arguments = {value}")
    (problem,) = tree.problems()
    assert problem.endswith('must be "all", "names" or "none"')


@pytest.mark.parametrize(
    "value", ['"a"', '"/"', '"/a/"', '"/."', '"/a/.."', '"/a\\nb"', "1", "false", f'"/{"a" * 4096}"']
)
def test_bad_metrics_file(tree: Tree, value: str) -> None:
    tree.write(f"metrics_file = {value}")
    (problem,) = tree.problems()
    assert problem.endswith(" must be the absolute path of a file, or empty")


def test_a_file_name_cannot_forge_a_line(tree: Tree) -> None:
    tree.write("x = 1", "etc", "a\nb.toml")
    assert tree.problems() == [
        "etc/execwatchd/execwatchd.toml.d/a\\nb.toml: x: unknown key, with the value 1",
    ]
    tree.write("cwd = true", "etc", "a\nb.toml")
    assert tomllib.loads(render(tree.load()))["cwd"] is True


def test_print_config(tree: Tree) -> None:
    main = tree.write('default_message = "say \\"hi\\" \\\\ ü"\nmessages = {7 = "seven", 10 = "ten"}')
    drop_in = tree.write('[messages]\n7 = "VII"\n[actions]\n7 = "ignore"', "usr/lib", "x.toml")
    assert render(tree.load()) == "\n".join(
        (
            f'default_message = "say \\"hi\\" \\\\ ü"  # {main}',
            'default_action = "record"  # built in',
            'limit_per_user = "off"  # built in',
            "failures = false  # built in",
            "cwd = false  # built in",
            "ancestors = 0  # built in",
            "interactive = false  # built in",
            "exits = false  # built in",
            "argv_bytes = 4096  # built in",
            "# ring_size is chosen by the number of CPUs  # built in",
            "parent_cmdline = true  # built in",
            'redact = ["default"]  # built in',
            'arguments = "all"  # built in',
            'metrics_file = ""  # built in',
            "",
            "[messages]",
            f'7 = "VII"  # {drop_in}',
            f'10 = "ten"  # {main}',
            "",
            "[actions]",
            f'7 = "ignore"  # {drop_in}',
            "",
            "[limits]",
            "",
        )
    )


MESSAGES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=15)


@given(st.dictionaries(st.integers(0, 2**32 - 2), MESSAGES, max_size=5), MESSAGES)
def test_what_is_printed_reads_back(messages: dict[int, str], default: str) -> None:
    values = {"messages": messages, "default_message": default, "ring_size": 4096}
    settings = Settings.of_file(values)
    assert Settings.of_file(validate.settings(tomllib.loads(render(Config(settings))))) == settings


def test_a_byte_order_mark_at_the_start_is_no_part_of_the_file(tree: Tree) -> None:
    tree.write(b"\xef\xbb\xbfcwd = true\n")
    assert tree.load().settings.cwd
    tree.write(b"\xef\xbb\xbfcwd = true\n\xef\xbb\xbfexits = true\n")
    assert tree.problems() == ["etc/execwatchd/execwatchd.toml: line 2, column 1: Invalid statement"]
    tree.write(b"\xef\xbb\xbfcwd = true\n# \xff\n")
    assert tree.problems() == ["etc/execwatchd/execwatchd.toml: line 2: not UTF-8: byte 0xff"]


def test_a_file_that_is_too_large(tree: Tree) -> None:
    tree.write(b"#" * ((16 << 20) + 1))
    assert tree.problems() == ["etc/execwatchd/execwatchd.toml: larger than 16 MiB"]


def test_more_uids_than_the_kernels_table_holds(tree: Tree) -> None:
    half = MAX_UIDS // 2
    tree.write("[messages]\n" + "".join(f"{uid} = ''\n" for uid in range(half)))
    tree.write(
        "[actions]\n" + "".join(f"{uid} = 'ignore'\n" for uid in range(half, MAX_UIDS)), drop_in="a.toml"
    )
    assert len(tree.load().settings.rules.rules) == MAX_UIDS
    tree.write(f"limits = {{ {MAX_UIDS} = 'off' }}", drop_in="b.toml")
    assert tree.problems() == [
        "etc/execwatchd/execwatchd.toml.d/b.toml:"
        f" up to here the files have {MAX_UIDS + 1} UIDs, and the table holds {MAX_UIDS}"
    ]


def check(tree: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What `execwatchd --check-config` prints, its exit code first."""
    load = reader.configuration
    monkeypatch.setattr(reader, "configuration", lambda: load(tree.root))
    monkeypatch.setenv("STATE_DIRECTORY", str(tree.root))
    monkeypatch.setattr("sys.argv", ["execwatchd", "--check-config"])
    code = main()
    printed = capsys.readouterr()
    return [str(code), *(printed.out + printed.err).replace(f"{tree.root}/", "").splitlines()]


def test_check_config_names_the_files(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main_file, drop_in = "etc/execwatchd/execwatchd.toml", "etc/execwatchd/execwatchd.toml.d/a.toml"
    with monkeypatch.context() as patch:
        assert check(tree, patch, capsys) == ["0", "0 configuration files, no error"]
    tree.write("cwd = true")
    with monkeypatch.context() as patch:
        assert check(tree, patch, capsys) == ["0", f"1 configuration file, no error: {main_file}"]
    tree.write("cwd = false", drop_in="a.toml")
    (tree.root / "state.json").write_text("{}x")
    with monkeypatch.context() as patch:
        code, line, note = check(tree, patch, capsys)
    assert (code, line) == ("0", f"2 configuration files, no error: {main_file}, {drop_in}")
    assert note.startswith("the UIDs in state.json are not counted with those in the files: Invalid JSON")
    tree.write("cwd = 5", drop_in="a.toml")
    with monkeypatch.context() as patch:
        assert check(tree, patch, capsys) == ["78", f"execwatchd: {drop_in}: cwd: 5 must be true or false"]


def test_check_config_counts_files_and_state_together(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree.write("[messages]\n" + "".join(f"{uid} = ''\n" for uid in range(MAX_UIDS)))
    (tree.root / "state.json").write_text(f'{{"version": 1, "messages": {{"{MAX_UIDS}": "x"}}}}')
    assert check(tree, monkeypatch, capsys) == [
        "78",
        f"execwatchd: the files and what was set over D-Bus have {MAX_UIDS + 1} UIDs together,"
        f" and the table holds {MAX_UIDS} (remove some of them)",
    ]
