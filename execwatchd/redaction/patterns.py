# SPDX-License-Identifier: GPL-2.0-or-later
r"""What a secret on a command line usually looks like, whatever the command is.

These are heuristics, in RE2's syntax, and match without regard to case on the text that builtin.py makes of
the arguments: each is a line, and a line break in an argument is a NUL. A command given to a shell (`sh -c`)
follows its option by a NUL too: there a secret ends with the word, elsewhere with the argument.

They have no groups, with which RE2 would be slow. What is searched for has few states, whatever the text is:
where it needs new ones for each text, RE2 takes a microsecond a byte.
"""

from string import ascii_lowercase, digits
from typing import NamedTuple

ARGUMENT = ".+"


class Rule(NamedTuple):
    """A secret is what matches `value` right behind `before`, but not `behind` at its end, and before `then`.

    `begin`: what every such value begins with. `quoted`: the quote that it begins with is none of it.
    `word`: it is a word of a text, and NO_WORD is none. `unless`: nor has one a match that begins so.
    `clue`: what is in every match of `before`, in lower case; `leads`: one of them is its first byte. They
    spare calls of RE2.
    """

    before: str
    value: str = ARGUMENT
    begin: str = ""
    behind: str = ""
    then: str = ""
    quoted: bool = False
    word: bool = False
    unless: str = ""
    clue: str = ""
    leads: str = ""


def _with_clue(clue: str, *rules: Rule) -> tuple[Rule, ...]:
    return tuple(rule._replace(clue=clue) for rule in rules)


class Kind(NamedTuple):
    """`hint` is in every argv in which one of the rules finds something, as the kernel has it: with NULs."""

    hint: str
    rules: tuple[Rule, ...]


# how the names of options, variables and keys end that have a secret as their value
_ENDS = (
    r"passw(?:or)?d[0-9]?|passphrase|passcode|secret[0-9]?|token[0-9]?|bearer|_private_key|secret_key_base"
    r"|(?:api|access|secret|auth|account|encryption)[-_.]?key"
)
NAME = (
    rf"(?:[\w.-]*(?:{_ENDS})|(?:[\w.-]*[-_.]"
    r"|\w*(?:admin|db|ftp|key|mail|require|root|smtp|sql|ssh|store|user))?pass[0-9]?"
    r"|-*(?:mysql_pwd|rediscli_auth|masterauth)|[\w.-]*(?:git(?:hub|lab)|gh|ado|azure|devops)_pat)"
)
_HINT = rf"(?:{_ENDS}|pass[0-9]?|mysql_pwd|rediscli_auth|masterauth|_pat)"
# those whose value may be a path
_SHORT = r"(?:[\w.-]*[-_.]|--?)pwd?"
_KEY = r"[\w.-]*(?:signing|master|private)[-_.]key"
# what is no secret whatever it is the value of: references to one, switches, published ports
HARMLESS = (
    r"(?:|\*+|-|[0-9]|true|false|yes|no|on|off|(?:en|dis)abled?|none|null|auto|ask|prompt|stdin"
    r"|(?:file|env|fd):.*|(?:id|type)=.*"
    r"|~?/(?:dev|etc|home|mnt|opt|proc|root|run|srv|tmp|usr|var)/.*|~/.*|<[\w -]+>|\{\{?[^{}]*\}\}?"
    r"|(?:[0-9.]+:)?[0-9]+:[0-9]+(?:/\w+)?|\.[*+].*|\[\^.*)"
)
# and in a text: what a shell will put there, or just prose, as in the message of a commit
NO_WORD = (
    r"\$(?:\w+|\{.*|\(.*)?|(?:and|are|for|has|into|not|option|that|the|was|when|with|[ai]s|[io]n|[io]f|or|to)"
)

_SWITCH = r"\W*(?:no|ask|prompt|show|hide|with|without|use|enable|disable|allow|require|verify|keep|reset)-"
_BEFORE = r"[ \t\0;|&?:=(\[{\"'`]"  # a name, inside an argument
_BARE = r"(?:\\.|[^\s\0\"'\\;|&()<>`])"
VALUE = rf"(?:\"(?:\\.|[^\"\\\n])+|'[^'\n]+|{_BARE}+)"
_NO_OPTION = rf"(?:\"(?:\\.|[^\"\\\n])+|'[^'\n]+|(?:\\.|[^-\s\0\"'\\;|&()<>`]){_BARE}*)"
_BETWEEN_COMMAS = r"(?:\"[^\"\n]+|'[^'\n]+|[^\s\0,;&\"'()]+)"
_UNQUOTED = r"[^\s\0\"']+"


def in_text(before: str, value: str = VALUE, unless: str = "") -> Rule:
    """A word, in quotes or not, of a text."""
    return Rule(before, value, quoted=True, word=True, unless=unless)


_HEADER = (
    r"[\w-]*(?:access|api|auth|functions|secret|subscription)[-_]?key|(?:\w+-)+(?:password|secret|token)"
)
_ASSIGNED = (
    # --password=secret, --env=TOKEN=secret, -Dx.password=secret, TOKEN=secret
    Rule(rf"^(?:--?[\w-]+=)?{NAME}=", leads=ascii_lowercase + digits + "-._"),
    in_text(rf"{_BEFORE}{NAME}=")._replace(leads=" \t\0;|&?:=([{\"'`"),
    in_text(rf",{NAME}=", _BETWEEN_COMMAS)._replace(leads=","),
)
_NAMED = (
    # --password secret
    Rule(rf"^--?{NAME}\n", r"[^-\n].*", unless=_SWITCH, clue="\n"),
    in_text(rf"[\s\0\"'(]--?{NAME}[ \t]+", _NO_OPTION, unless=_SWITCH),
    # {"password": "secret"}
    Rule(
        rf"[\"']{NAME}\\?[\"']\s*:\s*\\?", r"(?:\"(?:\\[^\"\n]|[^\"\\\n])+|'[^'\n]+)",
        quoted=True, clue=":",
    ),
    # X-Auth-Token: secret
    Rule(rf"(?:^|-H|[\s\0=\"'])(?:{_HEADER}):[ \t]*", _UNQUOTED, word=True, clue=":"),
    Rule(r"^(?:-H ?)?token:[ \t]*", r"\S+", then="$", clue="token:"),
    # ALTER USER u PASSWORD 'secret', SET PASSWORD FOR u = 'secret'
    Rule(r"\bpassword(?:[\s\0]+|[\s\0]*[=(][\s\0]*)'", r"[^'\n]+", clue="'"),
    Rule(
        r"\bset[\s\0]+password(?:[\s\0]+for[\s\0]+\S+)?[\s\0]*=[\s\0]*(?:password\()?",
        r"(?:\"[^\"\n]+|'[^'\n]+)",
        quoted=True, clue="set",
    ),
)  # fmt: skip
_SCHEME = (
    r"(?:(?:apikey|api-key|apitoken|aws|aws4-hmac-sha256|basic|bearer|bot|digest|geniekey|jwt|negotiate|ntlm"
    r"|oauth|sharedkey|splunk|ssws|token)[ \t]+)?"
)
_AUTHORIZATION = r"(?:[\w-]*-)?authorization:[ \t]*"
_ANY_SCHEME = r"(?:[\w-]+[ \t]+)?"
_IN_DOUBLE, _IN_SINGLE = r"(?:\\.|[^\"\\\n])+", r"[^'\n]+"
# no path, and not what git calls user.signingkey
_NO_PATH = rf"(?:\"[^\"\n/.~]+|'[^'\n/.~]+|[^\s\0\"'\\;|&()<>`/.~-]{_BARE}*)"
_PATHLESS = _with_clue(
    "pw",
    Rule(rf"^(?:--?[\w-]+=)?{_SHORT}=", r"[^-/.~\n].*"),
    Rule(r"^--?pwd?\n", r"[^-/.~\n].*"),
    in_text(rf"{_BEFORE}[\w.-]*[-_.]pwd?=", _NO_PATH),
) + _with_clue(
    "key",
    Rule(rf"^(?:--?[\w-]+=)?{_KEY}=", r"[^-./~\n][^./\n]{5,}", then="$"),
    Rule(rf"^--?{_KEY}\n", r"[^-./~\n][^./\n]{5,}", then="$"),
)
_AUTHORIZED = _with_clue(
    "authorization",
    # Authorization: scheme secret, up to the end of what it is in
    Rule(rf"^(?:-H ?|--?[\w-]+=|[\w.-]+=)?{_AUTHORIZATION}{_ANY_SCHEME}"),
    Rule(rf"\"{_AUTHORIZATION}{_ANY_SCHEME}", _IN_DOUBLE, word=True),
    Rule(rf"'{_AUTHORIZATION}{_ANY_SCHEME}", _IN_SINGLE, word=True),
    Rule(
        rf"(?:\b|-H){_AUTHORIZATION}{_SCHEME}",
        r"(?:=\"[^\"\n]*\"(?:,[ \t]*)?|[^\s\0\"'])+",
        word=True,
    ),
    # {"Authorization": "scheme secret"}
    Rule(rf"[\"']authorization\\?[\"']\s*:\s*\w?\\?[\"']{_ANY_SCHEME}", r"[^\"'\\\n]+", word=True),
)
# what its issuer made recognisable
_ISSUED = (
    r"gh[oprsu]_\w{16,}|github_pat_\w{16,}|gl(?:pat|rt|dt|ptt)-[\w-]{16,}|xox[abeprs]-[\w-]{10,}"
    r"|npm_\w{30,}|hf_\w{30,}|sk-[\w-]{20,}|sk_live_\w{16,}|AIza[\w-]{30,}|dckr_pat_[\w-]{16,}"
    r"|pypi-AgE[\w-]{16,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}(?:\.[\w-]*)?"
    # and the rest was cut off
    r"|(?:gh[oprsu]_|github_pat_|gl(?:pat|rt|dt|ptt)-|xox[abeprs]-|sk_live_|dckr_pat_|eyJ)[\w.-]+\z"
)
_ISSUED_BEGIN = (
    r"(?:gh[oprsu]_|github_pat_|gl(?:pat|rt|dt|ptt)-|xox[abeprs]-|npm_|hf_|sk[-_]|AIza|dckr_pat_"
    r"|pypi-AgE|eyJ)"
)
_IDENTIFIED = r"\bidentified[\s\0]+(?:with[\s\0]+\S+[\s\0]+)?(?:by|as)[\s\0]+(?:password[\s\0]+)?"
_USER = r"[\w.+%~-]+:"
_USER_OF_URL = r"://[^\s\0/@:\"'?#]*:"


# Each is one search: all at once would have more states than RE2 can keep.
KINDS: tuple[Kind, ...] = (
    Kind(rf"{_HINT}=", _ASSIGNED),
    Kind(rf"(?:{_HINT}|(?:functions|subscription)-key)[\\\"'\s\0=:(]", _NAMED),
    Kind(
        rf"pwd?[=\0]|(?:signing|master|private)[-_.]key[=\0]|;\s?pwd|@[\w.-]+:[0-9]|cookie:"
        rf"|authorization[\\\"'\s\0]*:|:_auth=|{_USER_OF_URL}[^\s\0/\"'?#]|identified|-----BEGIN",
        (
            *_AUTHORIZED,
            *_PATHLESS,
            # user:secret@proxy:3128
            Rule(
                rf"(?:^(?:--?[\w.-]+=|-x)?|[ \t\0=\"']){_USER}",
                r"[^\s\0@/:\"']+",
                begin=r"[^\s\0@/:\"']+@",
                then=r"@[\w.-]+:[0-9]",
                word=True,
                clue="@",
                unless=r"(?:.*[=\s\0\"'])?(?:acct|mailto|npm|sips?|user|xmpp):|[^@]+@sha[0-9]",
            ),
            Rule(
                r"(?:^|-H|[\s\0=\"'])(?:set-)?cookie:[ \t]*", r"[\w.-]+=[^\n\0\"']+", word=True, clue="cookie"
            ),
            Rule(r";\s?pwd\s?=\s?", r"[^;\"'\n]+", clue=";"),
            Rule(r":_auth=", _UNQUOTED, clue=":_auth="),
            # https://user:secret@host, also when the rest was cut off
            Rule(_USER_OF_URL, r"[^\s\0/\"'?#]+(?:@|\z)", behind="@", word=True, clue="://"),
            Rule(_IDENTIFIED, r"(?:\"[^\"\n]+|'[^'\n]+)", quoted=True, clue="identified"),
            Rule(
                r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
                r"[^\n]*?(?:-----END|$)",
                behind="-----END",
                clue="--begin",
            ),
        ),
    ),
    Kind(
        rf"(?-i:{_ISSUED_BEGIN})",
        (Rule(r"(?-i)(?:^|[\s\0=:/@,\"'(])", f"(?:{_ISSUED})", begin=_ISSUED_BEGIN),),
    ),
)
