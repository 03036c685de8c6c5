# SPDX-License-Identifier: GPL-2.0-or-later
r"""What a secret on a command line usually looks like: the built-in patterns of `redact`.

They are heuristics, in RE2's syntax, and match without regard to case on the text that redact.py makes of
the arguments: each is a line, and a line break in an argument is a NUL. A command given to a shell (`sh -c`)
follows its option by a NUL too: there a secret ends with the word, elsewhere with the argument.
"""

from typing import NamedTuple


class Rule(NamedTuple):
    """`secret`: its groups are secrets. `within`: its first group is where to look; empty, everywhere.

    `word`: a secret is a word of a text, and NO_WORD is none. `unless`: nor is a match that begins so.
    """

    secret: str
    within: str = ""
    word: bool = False
    unless: str = ""


class Kind(NamedTuple):
    """`hint` is in every argv in which one of the rules finds something, as the kernel has it: with NULs."""

    hint: str
    rules: tuple[Rule, ...]


# how the names of options, variables and keys end that have a secret as their value
NAME = (
    r"(?:[\w.-]*(?:passw(?:or)?d|passphrase|passcode|secret|token|bearer|_private_key|secret_key_base"
    r"|(?:api|access|secret|auth|account|encryption)[-_.]?key)"
    r"|(?:[\w.-]*[-_.]|\w*(?:admin|db|ftp|mail|root|smtp|sql|ssh|user))?pass|-*(?:mysql_pwd|rediscli_auth))"
)
# what is no secret whatever it is the value of: references to one, switches, published ports
HARMLESS = (
    r"(?:|\*+|-|[0-9]|true|false|yes|no|none|null|auto|ask|prompt|stdin|(?:file|env|fd):.*|(?:id|type)=.*"
    r"|~?/(?:dev|etc|home|mnt|opt|proc|root|run|srv|tmp|usr|var)/.*|~/.*|<[\w -]+>"
    r"|(?:[0-9.]+:)?[0-9]+:[0-9]+(?:/\w+)?|\.[*+].*|\[\^.*)"
)
# and in a text: what a shell will put there, or just prose, as in the message of a commit
NO_WORD = (
    r"\$(?:\w+|\{.*|\(.*)?|(?:and|are|for|has|into|not|option|that|the|was|when|with|[ai]s|[io]n|[io]f|or|to)"
)

_SWITCH = r"\W*(?:no|ask|prompt|show|hide|with|without|use|enable|disable|allow|require|verify|keep|reset)-"
_BEFORE = r"[\s\0;|&?:=(\[{\"'`]"  # a name, inside an argument
_BARE = r"(?:\\.|[^\s\0\"'\\;|&()<>`])"
_VALUE = rf"(?:\"((?:\\.|[^\"\\\n])+)|'([^'\n]+)|({_BARE}+))"
_WORD = rf"(?:\"((?:\\.|[^\"\\\n])+)|'([^'\n]+)|((?:\\.|[^-\s\0\"'\\;|&()<>`]){_BARE}*))"  # and no option

_NO_ARGUMENT = r"-[0AEHSbdiknqtv]{1,4}"  # options that sudo, env, xargs, docker exec have before a command
_QUOTED = r"\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'"


def _as_arguments(names: str) -> str:
    """All that follows one of these commands; `sudo -u mysql` is none of mysql."""
    before = rf"(?:\A|^(?:[^-\n].*|--|--?[\w-]+=.*|{_NO_ARGUMENT}|)\n)"
    return rf"{before}(?:.*/)?(?:{names})(\n(?s:.*))"


def _as_words(names: str) -> str:
    """The rest of a simple command inside a shell's command line."""
    previous = rf"[\s\0](?:[^-\s\0;|&][^\s\0;|&]*|--|{_NO_ARGUMENT})[ \t]+"
    rest = rf"[ \t](?:{_QUOTED}|\\.|[^\n\0;|&\\\"']|[\"'])*"
    return rf"(?:^|[\0;|&(`{{\"'][ \t]*|{previous})(?:[^\s\0'\"]*/)?(?:{names})({rest})"


def _command(names: str, in_arguments: str, in_words: str, hint: str = "") -> Kind:
    rules = Rule(in_arguments, _as_arguments(names)), Rule(in_words, _as_words(names), word=True)
    return Kind(hint or rf"(?:\A|[\0\s/;|&(`{{\"'])(?:{names})[\0\s]", rules)


def _option(names: str, options: str, between: str = r"\n?", hint: str = "") -> Kind:
    """An option with a secret, of these commands only; `between`: "" where its value must be joined to it."""
    spaces = {"": "", r"\n": r"[ \t]+"}.get(between, r"[ \t]*")
    words = rf"[\s\0\"'](?-i:{options}){spaces}{_VALUE}"
    return _command(names, rf"^(?-i:{options}){between}(.+)", words, hint)


def _pair(names: str, options: str, separator: str = ":") -> Kind:
    """An option whose value is a user, a separator, and the secret."""
    user = rf"[^\s\0\"'{separator}]*{separator}"
    arguments = rf"^(?-i:{options})[\n=]?[^{separator}\n]*{separator}(.+)"
    return _command(names, arguments, rf"[\s\0](?-i:{options})[ \t=]*[\"']?{user}([^\s\0\"']+)")


_HEADER = r"[\w-]*(?:access|api|auth|functions|secret|subscription)-key|(?:\w+-)+(?:password|secret|token)"
_NAMED = (
    # --password=secret, --env=TOKEN=secret, -Dx.password=secret, TOKEN=secret
    Rule(rf"^(?:--?[\w-]+=)?{NAME}=(.+)"),
    Rule(rf"{_BEFORE}{NAME}={_VALUE}", word=True),
    Rule(rf",{NAME}=(?:\"([^\"\n]+)|'([^'\n]+)|([^\s\0,;&\"'()]+))", word=True),
    # --password secret
    Rule(rf"^--?{NAME}\n([^-\n].*)", unless=_SWITCH),
    Rule(rf"[\s\0\"'(]--?{NAME}[ \t]+{_WORD}", word=True, unless=_SWITCH),
    # {"password": "secret"}
    Rule(rf"[\"']{NAME}\\?[\"']\s*:\s*\\?(?:\"((?:\\[^\"\n]|[^\"\\\n])+)|'([^'\n]+))"),
    # X-Auth-Token: secret
    Rule(rf"(?:^|-H|[\s\0=\"'])(?:{_HEADER}):[ \t]*([^\s\0\"']+)", word=True),
    # ALTER USER u PASSWORD 'secret'
    Rule(r"\bpassword(?:[\s\0]+|[\s\0]*[=(][\s\0]*)'([^'\n]+)"),
)  # fmt: skip
_AUTHORIZATION = (
    r"\b(?:proxy-)?authorization:[ \t]*(?:(?:aws4-hmac-sha256|apikey|basic|bearer|digest|negotiate|token)"
    r"[ \t]+([^\n\0\"']+)|([^\s\0\"']+))"
)
# what its issuer made recognisable
_ISSUED = (
    r"gh[oprsu]_\w{16,}|github_pat_\w{16,}|gl(?:pat|rt|dt|ptt)-[\w-]{16,}|xox[abeprs]-[\w-]{10,}"
    r"|npm_\w{30,}|hf_\w{30,}|sk-[\w-]{20,}|sk_live_\w{16,}|AIza[\w-]{30,}|dckr_pat_[\w-]{16,}"
    r"|pypi-AgE[\w-]{16,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}(?:\.[\w-]*)?"
    # and the rest was cut off
    r"|(?:gh[oprsu]_|github_pat_|gl(?:pat|rt|dt|ptt)-|xox[abeprs]-|sk_live_|dckr_pat_|eyJ)[\w.-]+\z"
)
_MYSQL = (
    r"mysql|mysql(?:admin|analyze|binlog|check|dump|hotcopy|import|optimize|pump|repair|sh|show|slap|_upgrade)"
    r"|mariadb|mariadb-(?:admin|backup|binlog|check|dump|import|show|slap)|mariabackup|xtrabackup|mycli"
)

KINDS: tuple[Kind, ...] = (
    Kind(
        r"pass|secret|token|bearer|(?:api|access|secret|auth|account|encryption)[-_.]?key"
        r"|(?:functions|subscription)-key|private_key|mysql_pwd|rediscli_auth",
        _NAMED,
    ),
    Kind("authorization:", (Rule(_AUTHORIZATION, word=True),)),
    Kind("cookie:", (Rule(r"(?:^|-H|[\s\0=\"'])(?:set-)?cookie:[ \t]*([\w.-]+=[^\n\0\"']+)", word=True),)),
    Kind("pwd|:_auth=", (Rule(r";\s?pwd\s?=\s?([^;\"'\n]+)"), Rule(r":_auth=([^\s\0\"']+)"))),
    # https://user:secret@host, also when the rest was cut off
    Kind(r"://[^\s\0/]*:", (Rule(r"://[^\s\0/@:\"'?#]*:([^\s\0/\"'?#]+)(?:@|\z)", word=True),)),
    Kind(
        "identified",
        (
            Rule(
                r"\bidentified[\s\0]+(?:with[\s\0]+\S+[\s\0]+)?(?:by|as)[\s\0]+(?:password[\s\0]+)?'([^'\n]+)"
            ),
        ),
    ),
    Kind("-----BEGIN", (Rule(r"-----BEGIN [A-Z ]*PRIVATE KEY-----([^\n]*?)(?:-----END|$)"),)),
    Kind(f"(?-i:{_ISSUED})", (Rule(rf"(?-i)(?:^|[\s\0=:/@,\"'(])({_ISSUED})"),)),
    _option(_MYSQL, "-p", ""),
    _option(
        r"mongo|mongosh|mongo(?:dump|export|files|import|restore|stat|top)|mydumper|myloader|useradd|usermod",
        "-p",
    ),
    _option(r"redis-cli|valkey-cli", "-a"),
    _option(r"sqlcmd|bcp|osql|zip|unzip|ipmitool|ipmi-\w+", "-P"),
    _option(r"ldap(?:add|compare|delete|exop|modify|modrdn|passwd|search|whoami)", "-w"),
    _option(r"7z|7za|7zr|7zz|rar|unrar", "-h?p", ""),
    _option(r"plink|pscp|psftp|putty", "-pw", r"\n"),
    _option(r"xfreerdp|xfreerdp3|wlfreerdp|sdl-freerdp", "/p:", ""),
    _option(r"openssl", "-[kK]", r"\n"),
    _option(r"openssl", r"-pass(?:in|out)?[ \n]pass:", ""),
    _option(r"nmcli", r"password|[\w.-]*\.psk", r"\n"),
    _option(
        r"(?:docker|podman|nerdctl|buildah|skopeo|helm|oc|az)(?:[ \n][^\n]+?){0,4}[ \n]login",
        "-p",
        hint=r"\blogin\b",
    ),
    _option(r"snmp(?:bulkget|bulkwalk|get|getnext|set|status|table|walk)", "-[AX]", r"\n"),
    _pair(r"curl", r"-[#GILNSfgijknsv]*[uU]|--user|--proxy-user"),
    _pair(r"https?|xh|ncat", r"-a|--auth|--proxy-auth"),
    _pair(r"smbclient|rpcclient|net|smbget|smbmap|wmic", r"-U|--user", "%"),
    _pair(r"lftp", r"-u|--user", ","),
    # only the option right behind the name: sshpass -p secret ssh -p 22
    Kind(
        "sshpass",
        (
            Rule(r"(?:^|/)sshpass(?:\n-v)*\n-p\n?(.+)"),
            Rule(rf"\bsshpass(?:[ \t]+-v)*[ \t]+-p[ \t]*{_VALUE}", word=True),
        ),
    ),
    Kind("wpa_passphrase", (Rule(r"^(?:.*/)?wpa_passphrase\n.*\n(.+)"),)),
    Kind("htpasswd", (Rule(r"^(?:.*/)?htpasswd(?:\n-.*)*?\n-\w*b\w*(?:\n.*)*?\n(.+)\n?\z"),)),
    Kind(r"openssl\0passwd", (Rule(r"^([^-\n].*)", r"^(?:.*/)?openssl\npasswd(\n(?s:.*))"),)),
)
