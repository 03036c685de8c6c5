# SPDX-License-Identifier: GPL-2.0-or-later
"""How far the value of a name goes in a word, by what stands around the name; and whether it is a secret."""

import re

from execwatchd.redaction.names import Names, is_harmless, is_path, is_prose, is_reference
from execwatchd.redaction.words import Span, Word

NEAR = 128  # bytes in which what belongs to a name is before it
# possessive, so that none goes back
_AFTER_NAME = re.compile(
    rb"""(?P<close>\\{0,3}+["']?[\]})]?)
         (?:[ \t\n]++for[ \t\n]++\S{1,64}+(?=[ \t\n]*+=))?
         (?P<blank>[ \t\n\r]*+)
         (?P<separator>=>|:=|==|=|:|>|)
         (?P<space>[ \t\n(]*+)
         (?:[A-Za-z]{1,2}+(?=\\{0,3}+["']))?
         (?P<quote>\\{0,3}+["']|(?:\\?\$){2}|)""",
    re.VERBOSE | re.IGNORECASE,
)
_BETWEEN = {quote: re.compile(rb"(?:[^%b\\]|\\.)*+" % quote, re.DOTALL) for quote in (b"'", b'"')}
_BLANK = re.compile(rb"[^\s\"']*+")
_QUERY = re.compile(rb"[^&#\s\"'<>]*+")
_CODE = re.compile(rb"(?:\\.|[^\s\"'`;)}\],\\])*+", re.DOTALL)
# what a value ends before, by what stands before its name
_UNTIL = {
    b",": re.compile(rb"[^,\"']*+"),
    b";": re.compile(rb"[^;\"']*+"),
    b"\n": re.compile(rb"[^\n]*+"),
    b"<": re.compile(rb"[^<]*+"),
    **dict.fromkeys((b"?", b"&", b"#"), _QUERY),
    **dict.fromkeys((b"{", b"(", b"["), _CODE),
    **dict.fromkeys((b" ", b"\t", b":", b"|", b"@"), _BLANK),
    b"/": re.compile(rb"[^/\s\"']*+"),
    **_BETWEEN,
}
_CLEAR = frozenset({b",", b";", b"\n", b"?", b"&", b"#", b'"', b"'"})  # there a colon is no punctuation
_ONE_OF_LINES = re.compile(rb"[^\n]*+(?=\n(?:[\w.-]++[ \t]*+[=:][ \t]*+[^\s=]|\Z))")  # of assignments
_PATTERN = re.compile(rb"\.[*+]|\[\^|\\[(SwWd]|\(\.")  # of a regular expression
_OPTION_VALUE = re.compile(rb"(?:[\"']([^\"']++)|([^\s\"'-][^\s\"']*+))")
_LOGIN_BEFORE = re.compile(rb"\blogin[ \t\n]++[^ \t\n]++[ \t\n]++\Z", re.IGNORECASE)  # in a netrc file
_ANY_SCHEME = re.compile(rb"[\w-]++[ \t]++(?=\S)")
_ONLY_SCHEME = re.compile(rb"[\w-]++[ \t]++")  # the secret is put behind it
_WITH_SCHEME = (b"token", b"key", b"bearer", b"auth")


class Values:
    """By the names and the schemes of one set of tables."""

    def __init__(self, names: Names, schemes: tuple[str, ...]) -> None:
        self._names = names
        self._schemes = re.compile(
            rf"(?:{'|'.join(map(re.escape, schemes))})[ \t]+(?=\S)".encode(), re.IGNORECASE
        )

    def is_scheme(self, value: bytes) -> bool:
        """Whether it may stand between `Authorization:` and a secret."""
        return self._schemes.match(value + b" .") is not None

    def of_option(self, word: Word, option: bytes) -> Span | None:
        """The secret in the value of an option, which is a word of its own."""
        return self._secret(word, 0, len(word.value), option)

    def of_name(self, word: Word, start: int, end: int, *, header: bool) -> Span | None:
        """The secret behind the name of one. `header`: the word is given as a header."""
        value, name = word.value, word.value[start:end]
        after = _AFTER_NAME.match(value, end)
        if not after:
            return None
        begin = self._begin(value, start, after, name, header=header)
        if begin is not None:
            line = None if name.startswith(b"-") else _ONE_OF_LINES.match(value, begin)
            return self._secret(word, begin, line.end() if line else len(value), name)
        separator = after["separator"]
        if after["quote"] and (separator or (after["blank"] + after["space"] and not after["close"])):
            return self.of_literal(word, after.end(), after["quote"], name)
        if separator in {b"", b"=>", b"==", b":="}:
            return self._separate(word, start, after, name)
        return self._unquoted(word, start, after, name)

    def _begin(
        self, value: bytes, start: int, after: re.Match[bytes], name: bytes, *, header: bool
    ) -> int | None:
        """Of a value that is all the rest of the word: `--password=x`, `NAME=x`, `/p:x`, `Header: x`."""
        before = value[start - 1 : start] if start else b""
        is_first = not before or (before == b"=" and b" " not in value[:start].strip())
        separator = after["separator"]
        if separator == b":" and start == 1 and before == b"/":
            return after.end("separator")
        if not is_first or after["close"]:
            return None
        if separator in {b"=", b":="}:
            return after.end("separator")
        is_header = separator == b":" and self._is_header(name, after, header=header)
        return after.end("space") if is_header else None

    @staticmethod
    def _is_header(name: bytes, after: re.Match[bytes], *, header: bool) -> bool:
        """Rather than a sentence, or two names with a colon between."""
        if header or is_authorization(name):
            return True
        return bool(after["space"]) and (
            b"-" in name.strip(b"-") or b" " not in after.string[after.end("space") :]
        )

    def of_literal(self, word: Word, start: int, quote: bytes, name: bytes) -> Span | None:
        """A string in the syntax of most languages; `start`: behind its first quote."""
        if between := _BETWEEN.get(quote):
            match = between.match(word.value, start)
            end = match.end() if match else -1
        else:
            end = word.value.find(quote, start)
        return self._secret(word, start, end if end >= 0 else len(word.value), name)

    def _separate(self, word: Word, start: int, after: re.Match[bytes], name: bytes) -> Span | None:
        """`--password x`, or `login me password x`."""
        value, blank = word.value, after.end("blank")
        if not after["blank"] or after["separator"]:
            return None
        if _LOGIN_BEFORE.search(value, max(0, start - NEAR), start):
            return self._until(word, _BLANK, blank, name)
        option = _OPTION_VALUE.match(value, blank)
        if not option or not name.startswith(b"-") or self._names.is_switch(name):
            return None
        return self._secret(word, *option.span(option.lastindex or 0), name)

    def _unquoted(self, word: Word, start: int, after: re.Match[bytes], name: bytes) -> Span | None:
        before, separator = word.value[start - 1 : start], after["separator"]
        if before in {b" ", b"\t"}:
            last = word.value[:start].rstrip(b" \t-")[-1:]  # an element of a list in YAML has a dash
            before = last if last in {b";", b"\n"} else before
        if separator == b":" and before in {b"{", b" ", b","} and word.value.startswith(b"{"):
            return self._until(word, _CODE, after.end("space"), name)
        if (before == b"<") != (separator == b">"):
            return None
        is_named = b"-" in name or is_authorization(name)
        if separator == b":" and before not in _CLEAR and not is_named:
            return None
        until = _BLANK if separator == b":" and before not in _CLEAR else _UNTIL.get(before)
        return self._until(word, until, after.end("space"), name) if until else None

    def _until(self, word: Word, pattern: re.Pattern[bytes], start: int, name: bytes) -> Span | None:
        match = pattern.match(word.value, start)
        if (
            not match or is_prose(match[0]) or _PATTERN.match(match[0]) or match[0].endswith(b"(")
        ):  # of PASSWORD('x')
            return None
        return self._secret(word, start, match.end(), name)

    def _secret(self, word: Word, start: int, end: int, name: bytes) -> Span | None:
        """All of it but blanks and quotes around it and a scheme before it, unless it is no secret."""
        start, end = self._stripped(word.value, start, end, name)
        value = word.value[start:end]
        if is_none(word, start, end) or _ONLY_SCHEME.fullmatch(value):
            return None
        return None if self._names.is_key(name) and is_path(value) else (start, end)

    def _stripped(self, value: bytes, start: int, end: int, name: bytes) -> Span:
        while start < end and value[start] in b" \t\n":
            start += 1
        scheme = None
        if is_authorization(name):
            scheme = _ANY_SCHEME.match(value, start, end)
        elif name.lower().endswith(_WITH_SCHEME):
            scheme = self._schemes.match(value, start, end)
        start = scheme.end() if scheme else start
        is_quoted = end - start > 1 and value[start] in b"\"'" and value[start] == value[end - 1]
        return (start + 1, end - 1) if is_quoted else (start, end)


def is_authorization(name: bytes) -> bool:
    """Whether it is the header whose value may have any scheme."""
    return name.lower().endswith(b"authorization")


def is_none(word: Word, start: int, end: int) -> bool:
    """Whether this part of a word can't be a secret."""
    value = word.value[start:end]
    return is_harmless(value) or (is_reference(value) and (word.expands(start) or value.startswith(b"%(")))
