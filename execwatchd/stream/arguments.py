# SPDX-License-Identifier: GPL-2.0-or-later
"""The arguments of an exec in the forms that its entry has them: exact as JSON, and as a line for a shell.

`argv` is as in a record: each argument ended by NUL, the last perhaps not, where it was cut. Whoever executes
chooses its bytes, so each form is bounded in size, and so is the work for it.
"""

import json

from execwatchd.shared.quoting import utf8
from execwatchd.shared.visible import is_visible
from execwatchd.stream.journal_fields import field

LINE_SIZE = 1024  # bytes of a command line in an entry
# How much of argv is quoted where all of it would be too long. Escapes make at most four bytes of one.
_STARTS = LINE_SIZE - 4, LINE_SIZE // 2, LINE_SIZE // 4 - 1
_FEW = LINE_SIZE // 8  # escapes and words: with more, only the shortest start fits
# A JSON array may be twice as long as argv, so that no entry grows with what its bytes are. The rest is for
# the brackets and quotes of short arguments.
_GROWTH, _PUNCTUATION = 2, 64
_PRINTABLE = bytes(range(0x20, 0x7F))
_PLAIN = bytes([0, *(set(_PRINTABLE) - set(b'"\\'))])  # in JSON as they are; 0 is between two arguments
_SHORT_IN_JSON = bytes([0, *b"\b\t\n\f\r", *_PRINTABLE, *range(0x80, 0x100)])  # all others are six bytes


def command_line(argv: bytes) -> tuple[bytes, bool]:
    """As bash reads it, at most LINE_SIZE bytes of UTF-8; whether it is cut."""
    if len(argv) <= LINE_SIZE and len(line := utf8(argv)) <= LINE_SIZE:
        return line, False
    return _cut_line(argv), True


def _cut_line(argv: bytes) -> bytes:
    if _needs_few_escapes(argv[: _STARTS[0]]):
        for size in _STARTS[:-1]:
            line = utf8(_whole_characters(argv[:size]))
            if len(line) <= LINE_SIZE:
                return line
    return utf8(_whole_characters(argv[: _STARTS[-1]]))


def _needs_few_escapes(start: bytes) -> bool:
    is_printable = start.decode(errors="surrogateescape").replace("\0", "").isprintable()
    return (start.count(b"\0") if is_printable else len(start.translate(None, _PRINTABLE))) < _FEW


def argv_field(argv: bytes) -> bytes:
    """ARGV, or where JSON can't give argv back or would be too long, ARGV_RAW with its bytes."""
    if not argv:
        return b"EXECWATCH_ARGV=[]\n"
    if argv.translate(None, _PLAIN):
        array = _escaped(argv)
    else:
        array = b'["%b"]' % argv.removesuffix(b"\0").replace(b"\0", b'","')
    if array and len(array) <= _GROWTH * len(argv) + _PUNCTUATION:
        return b"EXECWATCH_ARGV=%b\n" % array
    return field(b"ARGV_RAW", argv)


def _escaped(argv: bytes) -> bytes:
    """An array of strings on one line of characters that show, or nothing. JSON escapes control characters;
    where others don't show, all but ASCII is escaped.
    """
    least = len(argv) + 2 * argv.count(b"\0") + 5 * len(argv.translate(None, _SHORT_IN_JSON))
    if least > _GROWTH * len(argv) + _PUNCTUATION:
        return b""
    try:
        words = argv.removesuffix(b"\0").decode().split("\0")
    except UnicodeDecodeError:
        return b""
    array = json.dumps(words, ensure_ascii=False, separators=(",", ":"))
    if not is_visible(array):
        array = json.dumps(words, separators=(",", ":")).replace("\x7f", r"\u007f")
    return array.encode()


def _whole_characters(start: bytes) -> bytes:
    """Without the first bytes of a character that is cut."""
    for missing in range(1, min(4, len(start) + 1)):
        byte = start[-missing]
        if byte & 0xC0 != 0x80:  # a character begins here
            length = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return start[:-missing] if length > missing else start
    return start
