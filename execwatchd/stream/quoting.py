# SPDX-License-Identifier: GPL-2.0-or-later
"""Text for one line of a log from bytes that an attacker chose: nothing moves the cursor or ends the line."""

import re

# reserved words: bash(1); as the first word they would be syntax, not a command
_RESERVED = frozenset(
    b"! case coproc do done elif else esac fi for function if in select then until while time".split()
)
_PLAIN = re.compile(rb"[A-Za-z0-9@%+:,./_=-]+").fullmatch
_ALL_PLAIN = re.compile(rb"(?:[A-Za-z0-9@%+:,./_=-]+\0)+").fullmatch
_SPACED = re.compile(rb"[ -&(-~]*").fullmatch  # printable ASCII but the single quote


def escape(raw: bytes) -> str:
    r"""Printable text; other bytes, white space and the backslash as \ooo."""
    text = raw.decode(errors="surrogateescape")
    if text.isprintable() and " " not in text and "\\" not in text:
        return text
    return "".join(c if c.isprintable() and c not in " \\" else _octal(c) for c in text)


def shell(argv: bytes) -> str:
    """Arguments, each ended by NUL, as a command line that bash reads back into the same arguments."""
    return utf8(argv).decode()


def utf8(argv: bytes) -> bytes:
    """`shell` as UTF-8; most arguments need no quotes, and so aren't text for a moment only."""
    if not argv:
        return b""
    if _ALL_PLAIN(argv):
        first = argv.partition(b"\0")[0]
        if b"=" not in first and first not in _RESERVED:
            return argv[:-1].replace(b"\0", b" ")
    return _quoted(argv).encode()


def _quoted(argv: bytes) -> str:
    words = argv.removesuffix(b"\0").split(b"\0")
    first = _word(words[0])
    if b"=" in words[0] or words[0] in _RESERVED:
        first = first if first.startswith(("'", "$'")) else f"'{first}'"
    return " ".join([first, *map(_word, words[1:])])


def _word(raw: bytes) -> str:
    if _PLAIN(raw):
        return raw.decode("ascii")
    if _SPACED(raw):
        return f"'{raw.decode('ascii')}'"
    text = raw.decode(errors="surrogateescape")
    if text.isprintable() and "'" not in text:
        return f"'{text}'"
    return "$'" + "".join(_ansi_c(c) for c in text) + "'"


def _ansi_c(c: str) -> str:
    """A character inside $'…'."""
    if c in "'\\":
        return "\\" + c
    return c if c.isprintable() else _octal(c)


def _octal(c: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in c.encode(errors="surrogateescape"))
