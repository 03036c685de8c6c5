# SPDX-License-Identifier: GPL-2.0-or-later
"""The secrets in a word by what it says itself: names with values, URLs, and tokens that are recognisable.

One search finds the clues, most of which are names.
"""

import re
from collections.abc import Iterator

from execwatchd.redaction.names import Names, is_harmless
from execwatchd.redaction.search import Regex, any_of
from execwatchd.redaction.tables import Tables
from execwatchd.redaction.values import NEAR, Values, is_authorization, is_none
from execwatchd.redaction.words import Span, Word

_AFTER_NAME = r"[=:>\s\0\"'\\\]})(]"
_CLUES = (
    r"://[^\s\0/?#\"<>]*@",
    r"://[^\s\0/?#\"<>@:]*:[^\s\0/?#\"<>@]+\z",  # the rest was cut off
    r"@[\w.-]+:[0-9]",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    r"(?:^|[^a-z]|-H)(?:cookie|authorization|identified)[\s\"'\\:=]",
)
_MEMORY = 1 << 20  # bytes that RE2 may take for the rest of a token
_NAME_BACKWARDS = re.compile(rb"[\w.-]*+")
_IDENTIFIED = re.compile(
    rb"[ \t\n]++(?:with[ \t\n]++\S++[ \t\n]++)?(?:by|as)[ \t\n]++(?:password[ \t\n]++)?(\\{0,3}+[\"'])",
    re.IGNORECASE,
)
_PROXY_BACKWARDS = re.compile(rb"([^\s@/:\"']++):([\w.+%~-]++)(?=[\s=\"']|x-\Z|\Z)")
_NO_USERS = frozenset(b"acct mailto npm sip sips user xmpp".split())
_TOKEN_LIKE = re.compile(rb"(?=[\w-]*?[0-9])(?=[\w-]*?[A-Za-z])[\w-]{20,}+")
_COOKIE = re.compile(rb"([\w.-]++)=(\"[^\"]*+\"?|[^;]*+)")
_ATTRIBUTES = frozenset({b"path", b"domain", b"expires", b"max-age", b"samesite"})  # of a cookie
_COOKIES = frozenset({b"cookie", b"set-cookie"})
_CUT_TOKEN = re.compile(rb"[\w.-]++")


class Judgement:
    """By one set of tables. `clue`: finds the next clue; `clues`: its patterns."""

    def __init__(self, tables: Tables) -> None:
        self.names = Names(tables)
        self.values = Values(self.names, tables.schemes)
        self._tokens = {
            begin.encode(): Regex(rest, "(?-i)", groups=True, memory=_MEMORY)
            for begin, rest in tables.tokens.items()
        }
        begins = "|".join(re.escape(begin) for begin in tables.tokens)
        self.clues = [
            f"{self.names.pattern}{_AFTER_NAME}",
            *_CLUES,
            rf"(?-i:(?:^|[^\w])(?:{begins}))",
        ]
        self.clue = any_of(self.clues, "(?i)")

    def spans(self, word: Word, clue: Span, *, header: bool, names: bool, cut: bool) -> Iterator[Span]:
        """The parts of its value that are secrets, for a clue there.

        `header`: it is given as a header. `names`: what looks like the name of a secret is that. `cut`: argv
        ends in it.
        """
        value = word.value
        text = value[slice(*clue)]
        if b"://" in text:
            yield from _of_url(word, clue)
        elif text.startswith(b"@"):
            yield from _of_proxy(value, clue[0])
        elif text.startswith(b"-----"):
            end = value.find(b"-----END", clue[1])
            yield clue[1], end if end >= 0 else len(value)
        elif text in self._tokens or text[1:] in self._tokens:
            yield from self._of_token(value, clue[1], text if text in self._tokens else text[1:], cut=cut)
        elif names:
            yield from self._of_name(word, clue[1] - 1, header=header)

    def _of_token(self, value: bytes, start: int, begin: bytes, *, cut: bool) -> Iterator[Span]:
        whole, *groups = self._tokens[begin].at(value, start, len(value))
        if whole[0] >= 0:
            yield groups[0] if groups else (start - len(begin), whole[1])
        elif cut and len(begin) > 2 and _CUT_TOKEN.fullmatch(value, start):
            yield start - len(begin), len(value)

    def _of_name(self, word: Word, end: int, *, header: bool) -> Iterator[Span]:
        value = word.value
        match = _NAME_BACKWARDS.match(value[max(0, end - NEAR) : end][::-1])
        start = end - (match.end() if match else 0)
        name = value[start:end]
        lower = name.lower()
        before = value[start - 1 : start] if start else b""
        if name == b"PWD" and not before:  # the working directory
            return
        if lower == b"identified":
            secret = self._identified(word, end)
        elif lower.removeprefix(b"-h") in _COOKIES:
            if value.startswith(b":", end) and (header or before in {b"", b'"', b"'", b"=", b"\n"}):
                yield from cookies(value, end + 1)
            return
        elif is_authorization(name) or self.names.is_secret(name, in_query=before in {b"?", b"&", b"#"}):
            secret = self.values.of_name(word, start, end, header=header or name.startswith(b"-H"))
        else:
            return
        if secret:
            yield secret

    def _identified(self, word: Word, end: int) -> Span | None:
        match = _IDENTIFIED.match(word.value, end)
        return self.values.of_literal(word, match.end(), match[1], b"") if match else None


def _of_url(word: Word, clue: Span) -> Iterator[Span]:
    """https://user:secret@host, https://token@host"""
    value = word.value
    start = value.find(b"://", clue[0]) + 3
    end = clue[1] - value.endswith(b"@", clue[0], clue[1])
    colon = value.find(b":", start, end)
    user_end = colon if colon >= 0 else end
    if b"','" in value[start:end]:  # of two strings of a list
        return
    if _TOKEN_LIKE.fullmatch(value, start, user_end):
        yield start, user_end
    if colon >= 0 and not is_none(word, colon + 1, end):
        yield colon + 1, end


def _of_proxy(value: bytes, at: int) -> Iterator[Span]:
    """user:secret@host:port"""
    match = _PROXY_BACKWARDS.match(value[max(0, at - NEAR) : at][::-1])
    if match and not value.startswith(b"sha", at + 1) and match[2][::-1].lower() not in _NO_USERS:
        start = at - len(match[1])
        if not is_harmless(value[start:at]):
            yield start, at


def cookies(value: bytes, start: int) -> Iterator[Span]:
    """The values of cookies."""
    for match in _COOKIE.finditer(value, start):
        inner_start, inner_end = match.span(2)
        if value[inner_start : inner_start + 1] == b'"':
            inner_start += 1
            inner_end -= value.endswith(b'"', inner_start, inner_end)
        if match[1].lower() not in _ATTRIBUTES and not is_harmless(value[inner_start:inner_end]):
            yield inner_start, inner_end
