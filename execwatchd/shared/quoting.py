# SPDX-License-Identifier: GPL-2.0-or-later
"""Text for one line of a log from bytes that an attacker chose: nothing moves the cursor or ends the line."""

import re

from execwatchd.shared.visible import invisible, is_visible

# reserved words: bash(1); as the first word they would be syntax, not a command
_RESERVED = frozenset(
    b"! case coproc do done elif else esac fi for function if in select then until while time".split()
)
_SHOWN = 80  # characters of an offending value that an error repeats
_TYPE_NAMES = {dict: "a table", list: "an array", float: "a float", bool: "a boolean"}
_SAFE = rb"A-Za-z0-9@%+:,./_=-"
_PLAIN = re.compile(rb"[%b]+" % _SAFE).fullmatch
_ALL_PLAIN = re.compile(rb"(?:[%b]+\0)+" % _SAFE).fullmatch
# Of words, each ended by NUL: one that has a single quote, or what isn't printable ASCII; and of the others
# one that needs quotes. Whoever executes chooses them, so none makes the engine go back.
_STRANGE = re.compile(rb"(?<![^\0])[ -&(-~]*+[^\0]+")
_UNSAFE = re.compile(rb"(?<![^\0])[%b]*+[ -&(-~]++(?=\0)" % _SAFE)
_ORDINARY = bytes([0, *range(32, 39), *range(40, 127)])  # what words are made of that aren't strange
# What one by one would take longer than all else that an exec costs is quoted all alike.
_STRANGE_WORDS, _UNSAFE_WORDS, _CHARACTERS = 256, 512, 64


def quoted(value: object) -> str:
    """`value` for an error text: on one line, printable, at most about 80 characters."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}…"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**_SHOWN else f"a number of {value.bit_length()} bits"
    return _TYPE_NAMES.get(type(value), f"a value of type {type(value).__name__}")


def escape(raw: bytes) -> str:
    r"""Printable text; other bytes, white space and the backslash as \ooo."""
    text = raw.decode(errors="surrogateescape")
    if " " not in text and "\\" not in text and is_visible(text):
        return text
    return _escaped(text, invisible(text) | {" ", "\\"})


def escape_invisible(text: str) -> str:
    r"""The text with what doesn't show as \ooo; white space and the backslash stay."""
    return text if is_visible(text) else _escaped(text, invisible(text))


def _escaped(text: str, characters: set[str]) -> str:
    return "".join(_octal(c) if c in characters else c for c in text)


def shell(argv: bytes) -> str:
    """Arguments, each ended by NUL, as a command line that bash reads back into the same arguments."""
    return utf8(argv).decode()


def utf8(argv: bytes) -> bytes:
    """`shell` as UTF-8. It stays in bytes where it can, since most arguments need no quotes."""
    if not argv:
        return b""
    if _ALL_PLAIN(argv):
        words = argv[:-1].replace(b"\0", b" ")
    else:
        words = _quoted(argv if argv.endswith(b"\0") else argv + b"\0")
    first = argv.partition(b"\0")[0]
    if (b"=" in first or first in _RESERVED) and _PLAIN(first) and words.startswith(first):
        return b"'%b'%b" % (first, words[len(first) :])
    return words


def _quoted(argv: bytes) -> bytes:
    """In a time that grows with the length, and little with what is in it."""
    words, strange = argv, 0
    if argv.translate(None, _ORDINARY):
        words, strange = _STRANGE.subn(_strange, argv, _STRANGE_WORDS + 1)
    words, unsafe = _UNSAFE.subn(_in_quotes, words, _UNSAFE_WORDS + 1)
    if strange <= _STRANGE_WORDS and unsafe <= _UNSAFE_WORDS:
        return _with_empty_ones(words)[:-1].replace(b"\0", b" ")
    if strange:
        return f"$'{_hex(argv[:-1])}'".replace(r"\x00", "' $'").encode()
    return b"'%b'" % argv[:-1].replace(b"\0", b"' '")


def _in_quotes(word: re.Match[bytes]) -> bytes:
    return b"'%b'" % word[0]


def _with_empty_ones(words: bytes) -> bytes:
    while b"\0\0" in words:  # twice at most: of two neighbours, one is replaced at a time
        words = words.replace(b"\0\0", b"\0''\0")
    return b"''" + words if words[0] == 0 else words


def _strange(match: re.Match[bytes]) -> bytes:
    word = match[0]
    text = word.decode(errors="surrogateescape")
    visible = is_visible(text)
    if visible and "'" not in text:
        return b"'%b'" % word
    text = text.replace("\\", r"\\").replace("'", r"\'")
    hidden = () if visible else invisible(text)
    if len(hidden) > _CHARACTERS:
        return f"$'{_hex(word)}'".encode()
    for c in hidden:
        text = text.replace(c, _octal(c))
    return f"$'{text}'".encode()


def _hex(raw: bytes) -> str:
    """Every byte as bash reads it in $'…'."""
    return f"x{raw.hex('x')}".replace("x", r"\x")


def _octal(c: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in c.encode(errors="surrogateescape"))
