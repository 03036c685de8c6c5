# SPDX-License-Identifier: GPL-2.0-or-later
"""Which names are those of secrets, and which of their values are none all the same."""

import re

from execwatchd.redaction.tables import Tables

_SEPARATORS = b"-_."
_DIGITS = b"0123456789"
_LONGEST = 128  # bytes of a name
# Possessive, or with nothing to go back to: the values are anybody's.
_HARMLESS = re.compile(
    rb"""\*++ | - | [0-9] | true | false | yes | no | on | off | (?:en|dis)abled? | none | null | auto | ask
        | prompt | stdin | (?:file|env|fd):.*+ | (?:id|type)=.*+
        | ~?/(?:dev|etc|home|mnt|opt|proc|root|run|srv|tmp|usr|var)/.*+ | \.\.?/.*+ | ~/.*+
        | f?["']?\{\{?[^{}]*+\}\}?["']?""",
    re.DOTALL | re.VERBOSE | re.IGNORECASE,
)
_REFERENCE = re.compile(rb"\$(?:\w++|[@*#?!]|\{[^}]*+\}?|\([^()]*+\)?)?|`[^`]*+`?|%[\w()]*+%?", re.DOTALL)
_WORDS = frozenset(
    b"and are for has into not option that the was when with as is in on of if or to by from be a an".split()
)
# no path: neither the start of one, nor a file's ending; what base64 looks like is none
_PATH = re.compile(rb"[./~-].*+|[\w /@%-]*+\.[\w./ @%-]*+|[a-z_@.-]++(?:/[\w@.-]++)++|.{1,5}", re.DOTALL)


class Names:
    """By the tables' endings. `pattern` matches, in RE2's syntax, the end of any such name."""

    def __init__(self, tables: Tables) -> None:
        self._ends = _squeezed((*tables.names, *tables.keys))
        self._parts = _squeezed(tables.parts)
        self._keys = _squeezed(tables.keys)
        self._queries = _squeezed(tables.queries)
        self._harmless = _squeezed(tables.harmless)
        self._switches = tuple(switch.encode() for switch in tables.switches)
        spelled = [re.escape(name).replace("_", "[-_. ]?") for name in (*tables.names, *tables.keys)]
        parts = [re.escape(part) for part in (*tables.parts, *tables.queries)]
        humped = "|".join(re.escape(part.capitalize()) for part in tables.parts)
        self.pattern = (
            rf"(?:{'|'.join(spelled)}|(?:^|[^a-z])(?:{'|'.join(parts)})|(?-i:[a-z](?:{humped})))[0-9]?"
        )

    def is_secret(self, name: bytes, *, in_query: bool = False) -> bool:
        """Whether the value of this option, variable, key or parameter is one."""
        lower = name[-_LONGEST:].lower().rstrip(_DIGITS)
        squeezed = lower.translate(None, b"-_. ")
        if squeezed.endswith(self._harmless):
            return False
        if squeezed.endswith(self._ends):
            return True
        last = lower[1 + max(lower.rfind(b"-"), lower.rfind(b"_"), lower.rfind(b"."), lower.rfind(b" ")) :]
        if last in self._parts or (in_query and squeezed.endswith(self._queries)):
            return True
        return any(_is_humped(name.rstrip(_DIGITS), part) for part in self._parts if lower.endswith(part))

    def is_key(self, name: bytes) -> bool:
        """Whether its value may also be the path of a file with one."""
        return name.lower().translate(None, _SEPARATORS).endswith(self._keys)

    def is_switch(self, option: bytes) -> bool:
        """Whether an option has no value for its name begins with "no-" or the like."""
        return option.lstrip(b"-+").lower().startswith(self._switches)


def _squeezed(names: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(name.encode().translate(None, b"-_. ") for name in names)


def _is_humped(name: bytes, part: bytes) -> bool:
    """`dbPass`, not `bypass`."""
    hump = name[-len(part) : -len(part) + 1]
    return hump.isupper() and name[-len(part) - 1 : -len(part)].islower()


def is_harmless(value: bytes) -> bool:
    """Says where a secret is, or that there is none."""
    return not value or _HARMLESS.fullmatch(value) is not None


def is_reference(value: bytes) -> bool:
    """What a shell or a template will replace."""
    return _REFERENCE.fullmatch(value) is not None


def is_path(value: bytes) -> bool:
    """Rather the path of a key than a key."""
    return _PATH.fullmatch(value) is not None


def is_prose(value: bytes) -> bool:
    """What follows a name in a sentence."""
    return value.lower() in _WORDS
