# SPDX-License-Identifier: GPL-2.0-or-later
"""No secret survives in any field: whatever it is, in each form and command line, wherever argv is cut."""

import shlex

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from execwatchd.kernel.layout import Flag
from execwatchd.redaction.redactor import Redactor
from execwatchd.stream.encoder import Encoder
from tests.fakes.records import pack, values
from tests.unit.test_encoder import by_parts

REDACTOR = Redactor(["default"])
HAS = int(Flag.HAS_COMM | Flag.HAS_CGROUP)
# Words of a command, in which @ is the secret. What says so stands before it, so that no cut takes it away.
FORMS = [
    ["tool", "--password", "@"],
    ["tool", "--password=@"],
    ["tool", "--db-passphrase", "@"],
    ["tool", "-storePassword", "@"],
    ["tool", "--set", "x=1,password=@"],
    ["tool", "--conn", "Server=h;User Id=me;Password=@"],
    ["env", "API_TOKEN=@", "tool"],
    ["env", "dbPass=@", "tool"],
    ["docker", "run", "-e", "DB_PASSWORD=@", "image"],
    ["docker", "login", "-u", "me", "-p", "@", "host"],
    ["docker", "login", "-u", "me", "--passw=@", "host"],
    ["kubectl", "create", "secret", "generic", "s", "--from-literal=key=@"],
    ["mysql", "-u", "root", "-p@", "db"],
    ["mysql", "-sNp@"],
    ["mysqldump", "--password=@", "db"],
    ["mysqladmin", "password", "@"],
    ["redis-cli", "-xa", "@", "set", "k"],
    ["redis-cli", "auth", "@"],
    ["ldapsearch", "-xw", "@", "-b", "d"],
    ["snmpwalk", "-v3", "-A", "@", "host"],
    ["ipmitool", "-H", "h", "user", "set", "password", "2", "@"],
    ["nmcli", "con", "mod", "C", "wifi-sec.psk", "@"],
    ["openssl", "rsa", "-passin", "pass:@"],
    ["zip", "-rP", "@", "a.zip", "f"],
    ["7z", "a", "-p@", "a.7z"],
    ["curl", "-u", "me:@", "https://host/"],
    ["curl", "-sOu", "me:@", "https://host/"],
    ["curl", "-H", "Authorization: Bearer @", "https://host/"],
    ["curl", "-HX-Auth-Token: @", "https://host/"],
    ["curl", "-H", "Cookie: a=1; sid=@", "https://host/"],
    ["curl", "-b", "sid=@", "https://host/"],
    ["curl", "-d", '{"user": "me", "password": "@"}', "https://host/"],
    ["curl", "-d", "user=me&password=@", "https://host/"],
    ["curl", "https://host/?a=1&access_token=@"],
    ["git", "clone", "https://me:@@host/r.git"],
    ["psql", "postgres://me:@@host:5432/db"],
    ["smbclient", "-U", "me%@", "//h/s"],
    ["lftp", "-u", "me,@", "host"],
    ["psql", "-c", "ALTER USER me PASSWORD '@'"],
    ["mysql", "-e", "CREATE USER me IDENTIFIED BY '@'"],
    ["python3", "-c", "d['password'] = '@'"],
    ["ruby", "-e", "f(password: '@')"],
    ["php", "-r", "f(['password' => '@'])"],
    ["sshpass", "-p", "@", "ssh", "host"],
]
# Command lines that lead to another one; * are its words, + a shell's command line.
WRAPPERS = [
    ["*"],
    ["sudo", "-u", "me", "*"],
    ["env", "A=b", "nice", "-n", "5", "*"],
    ["timeout", "-k", "5", "10", "*"],
    ["nsenter", "-t", "1", "-m", "*"],
    ["find", ".", "-name", "x", "-exec", "*", ";"],
    ["docker", "exec", "-it", "c", "*"],
    ["docker", "run", "--rm", "--name", "n", "image", "*"],
    ["ssh", "-p", "22", "host", "*"],
    ["xargs", "-n1", "*"],
    ["sh", "-c", "+"],
    ["bash", "-lc", "cd /tmp && +; true"],
    ["su", "me", "-c", "+"],
    ["ssh", "host", "+"],
    ["sh", "-c", "x=$(+)"],
    ["sh", "-c", 'echo "$(+)" | cat'],
    ["sh", "-c", "if true; then sudo +; fi"],
    ["sudo", "sh", "-c", "true | + > /dev/null"],
]
# None that a URL, a query or a string in quotes ends before, and no blank, which ends some of these values.
SECRET = st.text("QZXJ0123456789+~^_%.!", min_size=8, max_size=20).map(lambda text: f"Qz{text}")
QUOTES = st.sampled_from([shlex.quote, lambda word: '"' + word.replace('"', '\\"') + '"'])


def command_line(wrapper: list[str], words: list[str], quote: object) -> bytes:
    assert callable(quote)
    line = " ".join(word if word.isalnum() else quote(word) for word in words)
    found = []
    for word in wrapper:
        found += words if word == "*" else [word.replace("+", line)]
    return "\0".join([*found, ""]).encode()


def entries(argv: bytes, flags: int) -> list[bytes]:
    """By the encoder, the first time and once it was seen, and by parts."""
    encode = Encoder()
    encode.redact_with(REDACTOR)
    data = pack(values(argv=argv, argc=argv.count(b"\0"), flags=flags))
    return [encode(data), encode(data), by_parts(data, REDACTOR)]


@given(SECRET, st.sampled_from(FORMS), st.sampled_from(WRAPPERS), QUOTES, st.data())
@example("Qz00000000", ["git", "clone", "https://me:@@host/r.git"], ["sh", "-c", "+"], shlex.quote, None)
@settings(max_examples=300)
def test_no_secret_survives(
    secret: str, form: list[str], wrapper: list[str], quote: object, data: st.DataObject | None
) -> None:
    words = [word.replace("@", secret, 1) for word in form]
    argv = command_line(wrapper, words, quote)
    for entry in entries(argv, HAS):
        assert secret.encode() not in entry
        assert secret[:4].encode() not in entry
        assert entry == entries(argv, HAS)[0]
    place = argv.index(secret.encode())
    cut = data.draw(st.integers(place + 4, len(argv))) if data else place + 6
    for entry in entries(argv[:cut], HAS | int(Flag.TRUNCATED_ARGV)):
        assert secret[:4].encode() not in entry


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
@pytest.mark.parametrize("wrapper", WRAPPERS, ids=" ".join)
def test_each_form_in_each_command_line(form: list[str], wrapper: list[str]) -> None:
    words = [word.replace("@", "Qz7+x_Y9%21", 1) for word in form]
    argv = command_line(wrapper, words, shlex.quote)
    for end in range(argv.index(b"Qz7") + 4, len(argv) + 1):
        assert b"Qz7+" not in REDACTOR.clean(argv[:end]), argv[:end]
    assert b"***" in REDACTOR.clean(argv)
