# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon pays for an exec by itself: making its entry, and `redact`."""

import random
import time
from collections.abc import Callable, Iterator
from itertools import cycle

from execwatchd.redaction.redactor import Redactor
from execwatchd.stream.decode import Decoder
from execwatchd.stream.encoder import Encoder, redacted
from tests.bench.figures import Figure
from tests.fakes.records import pack, values

ROUNDS = 9
TIMES = 2000
_KINDS = (
    b"mysql docker login curl http smbclient lftp snmpget plink openssl nmcli redis-cli zip ldapadd 7z "
    b"xfreerdp mongo "
)
COMMANDS = {
    "ls -la": b"ls\0-la\0",
    "1200 bytes": b"cc1\0-quiet\0-imultiarch\0x86_64-linux-gnu\0" * 30,
    "curl URL": b"curl\0-s\0https://host/\0",
    "curl -u": b"curl\0-u\0me:x\0https://host/\0",
    "4 KiB, one name": (b"mysql " * 700)[:4096],
    "4 KiB, all kinds": (b"true\0-c\0" + _KINDS * 40)[:4096],
    "4 KiB, the worst": b"password=xy\0" * 340,
    "4 KiB of quotes": b"'\0" * 2048,
}
PATTERNS = {"true": ["default"], "own": [r"^--pin[=\n]([0-9]+)$"]}


def at_random() -> Iterator[bytes]:
    """4 KiB each, of which RE2 can't know the states beforehand."""
    known = [
        *_KINDS.split(),
        b"password",
        b"--token",
        b"authorization:",
        b"cookie:",
        b"://a:",
        b"eyJ",
        b"ghp_",
    ]
    pieces = [*known, *(bytes([byte]) for byte in b" \0;\"'=:|-_./@,\n1a$")]
    choose = random.Random(1)
    return (b"".join(choose.choices(pieces, k=4096))[:4096] for _ in range(TIMES))


def per_call(call: Callable[[], object]) -> float:
    """µs."""
    start = time.perf_counter_ns()
    for _ in range(TIMES):
        call()
    return (time.perf_counter_ns() - start) / TIMES / 1000


def run() -> list[Figure]:
    """By command line."""
    decode, encode = Decoder(), Encoder()
    redactors = {name: Redactor(wanted) for name, wanted in PATTERNS.items()}
    figures = []
    for name, argv in COMMANDS.items():
        data = pack(values(argv=argv))
        record = decode(data)
        others = [pack(values(argv=b"%b%d\0" % (argv, i))) for i in range(TIMES)]
        for key, datas in (("entry, arguments known", cycle([data])), ("entry", cycle(others))):
            taken = [per_call(lambda: encode(next(datas))) for _ in range(ROUNDS)]  # noqa: B023
            figures.append(Figure(f"{name}: {key}", taken, "µs"))
        for key, redact in redactors.items():
            taken = [per_call(lambda: redacted(record, redact)) for _ in range(ROUNDS)]  # noqa: B023
            figures.append(Figure(f"{name}: redact = {key}", taken, "µs"))
    records = cycle([decode(pack(values(argv=argv))) for argv in at_random()])
    taken = [per_call(lambda: redacted(next(records), redactors["true"])) for _ in range(ROUNDS)]
    return [*figures, Figure("4 KiB, at random: redact = true", taken, "µs")]
