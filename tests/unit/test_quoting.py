# SPDX-License-Identifier: GPL-2.0-or-later
import re
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from execwatchd.shared.quoting import escape, shell

BYTES = st.binary(max_size=24).map(lambda raw: raw.replace(b"\0", b""))
SYNTAX = (
    *b"! case coproc do done elif else esac fi for function if in select then until while time".split(),
    *(b"{", b"}", b"[[", b"]]"),
    *(b"", b"~", b"~root", b"-n", b"--", b"*", b"?", b"[a]", b"{a,b}", b"$HOME", b"$(id)", b"`id`", b"!!"),
    *(b"!x", b"^a^b", b"#x", b"a b", b" ", b"\t", b"\n", b"\r", b"'", b'"', b"\\", b"\\'", b"a'b", b"$'x'"),
    *(b"&", b"|", b";", b"<x", b">x", b"(", b")", b"a=b", b"a+=b", b"a[0]=b", b"=b", b"\x1b[31m", b"\x7f"),
    *(b"\xff", b"\xc3", b"\xc3\xa9", b"\xe2\x80\xae", b"\xe2\x80\xa8", b"\xc2\xa0", b"\xc2\x85", b"\x9b1m"),
)
WORDS = st.one_of(BYTES, st.sampled_from(SYNTAX), st.lists(st.sampled_from(SYNTAX), max_size=4).map(b"".join))
# Every word is an argument of this, whatever it would be as a command.
AS_ARGUMENTS = "printf '%s\\0' "
# The first word is a command: no builtin but this one, nothing in PATH, so that all others end up here.
AS_COMMAND = """
command_not_found_handle() { printf '%s\\0' "$@"; }
enable -n $(compgen -b | grep -vx printf)
PATH=/nonexistent
"""


def joined(argv: list[bytes]) -> bytes:
    return b"".join(argument + b"\0" for argument in argv)


def evaluated(before: str, text: str, locale: str = "C.UTF-8") -> bytes:
    script = before.encode() + text.encode() + b"\n"
    env = {"LC_ALL": locale, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-s"], input=script, env=env, cwd="/", capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout


@given(st.lists(WORDS, min_size=1, max_size=6))
@example([b"", b""])
@example([bytes(range(1, 256))])
@example(list(SYNTAX))
def test_bash_reads_back_the_same_arguments(argv: list[bytes]) -> None:
    text = shell(joined(argv))
    assert text.isprintable()
    assert evaluated(AS_ARGUMENTS, text) == joined(argv)


@given(st.lists(WORDS, min_size=1, max_size=3))
@example([bytes(range(1, 256))])
def test_bash_reads_back_the_same_arguments_in_the_c_locale(argv: list[bytes]) -> None:
    assert evaluated(AS_ARGUMENTS, shell(joined(argv)), "C") == joined(argv)


@pytest.mark.parametrize("word", SYNTAX)
def test_no_first_word_is_syntax(word: bytes) -> None:
    argv = joined([word, b"x y"])
    assert evaluated(AS_COMMAND, shell(argv)) == argv


@given(st.lists(WORDS, min_size=1, max_size=3))
def test_bash_reads_back_the_same_command(argv: list[bytes]) -> None:
    argv[0] = argv[0].replace(b"/", b"").removeprefix(b"printf").lstrip(b"%")  # a path, our builtin, a job
    assert evaluated(AS_COMMAND, shell(joined(argv))) == joined(argv)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([b"ls", b"-la"], "ls -la"),
        ([b""], "''"),
        ([b"", b"x"], "'' x"),
        ([b"sh", b"-c", b"echo $HOME"], "sh -c 'echo $HOME'"),
        ([b"it's"], r"$'it\'s'"),
        ([b"if", b"if"], "'if' if"),
        ([b"A=b", b"A=b"], "'A=b' A=b"),
        ([b"a\nb"], r"$'a\012b'"),
        ([b"\x1b]0;x\x07"], r"$'\033]0;x\007'"),
        ([b"caf\xc3\xa9"], "'café'"),
        ([b"caf\xe9"], r"$'caf\351'"),
        ([b"\xe2\x80\xaetxt"], r"$'\342\200\256txt'"),  # writes right to left from there
        ([b"a\\b\n"], r"$'a\\b\012'"),
    ],
)
def test_how_it_looks(argv: list[bytes], text: str) -> None:
    assert shell(joined(argv)) == text


# as many as fit by default, or more, of what takes a while each
TOO_MANY = {
    "unsafe": [b"sh", *[b"-c", b"a "] * 680],
    "quotes": [b"'"] * 2048,
    "mixed": [b"it's", *[b"a b"] * 1000, b""],
    "controls": [b"x", b"\x01\x7f" * 2048],
    "backslashes": [b"\\'" * 2048],
    "private": ["".join(map(chr, range(0xE000, 0xE000 + 1365))).encode()],
    "beyond-ascii": ["\u202ea'".encode() * 800, "é\u3000".encode() * 600, b"\xff" * 4000],
    "empty": [b"x", *[b""] * 4000],
    "no-command": [b""] * 4001,
    "syntax": [b"if", *[b"x'"] * 1000],
    "assignment": [b"A=b", *[b"x y"] * 1000],
}


@pytest.mark.parametrize("argv", TOO_MANY.values(), ids=TOO_MANY.keys())
def test_bash_reads_back_too_many_as_well(argv: list[bytes]) -> None:
    text = shell(joined(argv))
    assert text.isprintable()
    assert evaluated(AS_ARGUMENTS, text) == joined(argv)
    assert evaluated(AS_COMMAND, text) == joined(argv)


def test_how_too_many_look() -> None:
    assert shell(joined([b"sh", b"a ", b"b"] + [b"a "] * 511)) == "sh 'a ' b" + " 'a '" * 511
    assert shell(joined([b"sh", b"a ", b"b"] + [b"a "] * 512)) == "'sh' 'a ' 'b'" + " 'a '" * 512
    assert shell(joined([b"a"] + [b"'"] * 256)) == "a" + r" $'\''" * 256
    assert shell(joined([b"a"] + [b"'"] * 257)) == r"$'\x61'" + r" $'\x27'" * 257
    few, many = "".join(map(chr, range(0x80, 0xA0))), "".join(map(chr, range(0xE000, 0xE041)))
    escaped = "".join(rf"\302\{c:o}" for c in range(0x80, 0xA0))
    assert shell(joined([f"é{few}".encode()])) == f"$'é{escaped}'"
    assert shell(joined([f"é{many}".encode(), b"x"])).startswith(r"$'\xc3\xa9\xee\x80\x80")
    assert shell(joined([f"é{many}".encode(), b"x"])).endswith(r"\x81\x80' x")


def test_no_arguments_at_all() -> None:
    assert shell(b"") == ""


def test_an_argument_that_was_cut_has_no_end() -> None:
    assert shell(b"echo\0hal") == "echo hal"


@given(st.binary(max_size=200))
def test_escaped_text_is_printable_without_white_space_and_reversible(raw: bytes) -> None:
    text = escape(raw)
    assert text.isprintable()
    assert not re.search(r"\s", text)
    octal = re.compile(rb"\\([0-7]{3})")
    assert octal.sub(lambda found: bytes([int(found[1], 8)]), text.encode()) == raw


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"bash", "bash"),
        (b"Web Content", r"Web\040Content"),
        (b"a\\040", r"a\134040"),
        (b"x\n", r"x\012"),
        (b"\xff\xc3\xa9", r"\377é"),
        (b"", ""),
    ],
)
def test_how_escaped_text_looks(raw: bytes, text: str) -> None:
    assert escape(raw) == text
