# SPDX-License-Identifier: GPL-2.0-or-later
r"""The commands that have a short option, or a place, for a secret; see patterns.py.

A command is looked for twice: among the arguments, where all that follows is its own, and as a word of what
was given to a shell, where its own is the rest of a simple command.
"""

from typing import NamedTuple

from execwatchd.redaction.patterns import Rule, in_text

# options that have no argument, or it joined to them, before a command that sudo, env, ionice or xargs start
_NO_ARGUMENT = r"(?:-[0AEHSbdiknqtv]{1,4}|-[a-zA-Z][0-9]+|-[IJ].+|-[oei]L)"
_NO_ARGUMENT_WORD = _NO_ARGUMENT.replace(".+", r"[^\s\0]+")
# these start one behind any option
_STARTING = (
    "catchsegv|chrt|gdb|ltrace|nsenter|perf|setsid|stdbuf|strace|systemd-run|taskset|unshare|valgrind|xargs"
)
_QUOTED = r"\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'"


class Command(NamedTuple):
    """`names`: separated by spaces. The rules are tried behind the name and `after`: a line each, or words.

    `hint` is in every argv in which they find something; empty, it is the name. `first`: only right there.
    """

    names: str
    arguments: tuple[Rule, ...]
    words: tuple[Rule, ...] = ()
    after: tuple[str, str] = ("", "")
    hint: str = ""
    first: bool = False


def name_in_arguments(names: str) -> tuple[str, str]:
    """A name with the end of its line; what it is behind another; `sudo -u mysql` is none of mysql."""
    name = rf"(?:.*bin/|\./)?(?:{names})\n"
    before = rf"(?:[^-\n].*|--|--?[\w-]+=.*|{_NO_ARGUMENT}|)\n|(?:.*/)?(?:{_STARTING})\n(?:-.*\n)+"
    return rf"(?:\A(?:.*/)?(?:{names})\n|^(?:{before}){name})", name


def name_in_words(names: str) -> tuple[str, str]:
    """The same for a word, with a blank."""
    previous = rf"[\s\0](?:[^-\s\0;|&][^\s\0;|&]*|--|{_NO_ARGUMENT_WORD})[ \t]+"
    name = rf"(?:[^\s\0'\"]*/)?(?:{names})[ \t]"
    return rf"(?:^|[\0;|&(`{{\"'][ \t]*|{previous}){name}", rf"[ \t]*{name}"


# of a simple command, from the blank behind its name on
REST = rf"[ \t](?:{_QUOTED}|\\.|[^\n\0;|&\\\"']|[\"'])*"


def hint(command: Command) -> str:
    names = command.names.replace(" ", "|")
    return command.hint or rf"(?:\A|[\0\s/;|&(`{{\"'])(?:{names})[\0\s]"


def _each(prefix: str, names: str) -> str:
    return " ".join(prefix + name for name in names.split())


def _option(
    names: str, options: str, between: str = r"\n?", after: tuple[str, str] = ("", ""), hint: str = ""
) -> Command:
    """An option with a secret; `between`: "" where its value must be joined to it."""
    spaces = {"": "", r"\n": r"[ \t]+"}.get(between, r"[ \t]*")
    in_words = in_text(rf"[\s\0\"'](?-i:{options}){spaces}")
    return Command(names, (Rule(rf"^(?-i:{options}){between}"),), (in_words,), after, hint)


def _pair(names: str, options: str, separator: str = ":", also: tuple[Rule, ...] = ()) -> Command:
    """An option whose value is a user, a separator, and the secret."""
    in_arguments = Rule(rf"^(?-i:{options})[\n=]?[^{separator}\n]*{separator}")
    in_words = Rule(
        rf"[\s\0](?-i:{options})[ \t=]*[\"']?[^\s\0\"'{separator}]*{separator}", r"[^\s\0\"']+", word=True
    )
    return Command(names, (in_arguments, *also), (in_words,))


_MYSQL = (
    "mysql mysqladmin mysqlanalyze mysqlbinlog mysqlcheck mysqldump mysqlhotcopy mysqlimport mysqloptimize"
    " mysqlpump mysqlrepair mysqlsh mysqlshow mysqlslap mysql_upgrade mariadb mariadb-admin mariadb-backup"
    " mariadb-binlog mariadb-check mariadb-dump mariadb-import mariadb-show mariadb-slap mariabackup"
    " xtrabackup mycli"
)
# user:secret@host/path
_AT_HOST = Rule(
    r"^(?:--?\w+=|-x)?[\w.+%~-]+:", r"[^@/\s]+", begin=r"[^@/\s]+@", then=r"@[\w.-]+(?:[/:?].*)?$"
)
_COOKIE = Rule(r"^(?:-b|--cookie)[\n=]?[\w.-]+=")
_LOGIN = r"(?:[^\n]+\n){0,4}?login\n", r"(?:[ \t]+[^\s\0]+){0,4}?[ \t]+login[ \t]"

COMMANDS: tuple[Command, ...] = (
    _option(_MYSQL, "-[ABCEGHNfinqstv]{0,3}p", ""),
    _option(
        f"mongo mongosh {_each('mongo', 'dump export files import restore stat top')}"
        " mydumper myloader useradd usermod",
        "-p",
    ),
    _option("redis-cli valkey-cli", "-a"),
    _option("redis-cli valkey-cli", r"(?i:auth|requirepass|masterauth)", r"\n"),
    Command("redis-cli valkey-cli", (Rule(r"^auth\n.+\n"),)),
    _option("mysqladmin mariadb-admin", "password", r"\n"),
    _option("aws", r"[\w.-]*(?:secret_access_key|session_token)", r"\n"),
    _option("npm pnpm yarn", r"\S*:_(?:authToken|auth|password)", r"\n"),
    Command(
        "vault",
        (Rule("", r"[^-=\n][^=\n]*", then="$"),),
        after=(r"(?:-.*\n)*login\n(?:-.*\n)*", ""),
        hint=r"\blogin\b",
        first=True,
    ),
    _option("twine cqlsh rdesktop", "-p"),
    _option("mosquitto_pub mosquitto_sub mosquitto_rr", "-P"),
    _option("ldappasswd", "-[as]"),
    _option(
        "sqlcmd bcp osql zip unzip ipmitool ipmi-chassis ipmi-config ipmi-console ipmi-dcmi ipmi-fru"
        " ipmi-oem ipmi-raw ipmi-sel ipmi-sensors",
        "-P",
    ),
    _option(_each("ldap", "add compare delete exop modify modrdn passwd search whoami"), "-w"),
    _option("7z 7za 7zr 7zz rar unrar", "-h?p", ""),
    _option("plink pscp psftp putty", "-pw", r"\n"),
    _option("xfreerdp xfreerdp3 wlfreerdp sdl-freerdp", "/p:", ""),
    Command(
        "openssl",
        (Rule(r"^(?-i:-[kK])\n"), Rule(r"^-pass(?:in|out)?[\n=]pass:")),
        (in_text(r"[\s\0](?-i:-[kK])[ \t]+"), in_text(r"[\s\0]-pass(?:in|out)?[ \t=]+pass:")),
    ),
    Command("openssl", (Rule("^", r"[^-\n].*"),), after=(r"passwd\n", "")),
    _option("nmcli", r"password|[\w.-]*\.psk", r"\n"),
    _option("docker podman nerdctl buildah skopeo helm oc az", "-p", after=_LOGIN, hint=r"\blogin\b"),
    _option(_each("snmp", "bulkget bulkwalk get getnext set status table walk"), "-[AXc]", r"\n"),
    _pair("curl", r"-[#GILNSfgijknsv]*[uU]|--user|--proxy-user", also=(_COOKIE, _AT_HOST)),
    Command("mysqlsh", (_AT_HOST,)),
    Command("sqlplus sqlldr expdp impdp rman", (Rule(r"^(?:userid=)?[\w.$#]+/", r"[^@\n]+"),)),
    _pair("http https xh ncat", r"-a|--auth|--proxy-auth"),
    _pair("smbclient rpcclient net smbget smbmap wmic", r"-U|--user", "%"),
    _pair("lftp", r"-u|--user", ","),
    # only the option right behind the name: sshpass -p secret ssh -p 22
    Command(
        "sshpass",
        (Rule(r"(?:-v\n|-P\n?.+\n)*-p\n?"),),
        (in_text(r"(?:[ \t]+-v|[ \t]+-P[ \t]*[^\s\0]+)*[ \t]+-p[ \t]*"),),
        first=True,
    ),
    Command("wpa_passphrase", (Rule(r".*\n"),), first=True),
    Command("htpasswd", (Rule(r"(?:-.*\n)*?-\w*b\w*\n(?s:.*\n)?", begin="."),), first=True),
)
