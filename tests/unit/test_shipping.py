# SPDX-License-Identifier: GPL-2.0-or-later
"""The recipe for rsyslog knows each field that may be no text."""

import re

from execwatchd.kernel.layout import Flag
from execwatchd.stream.encoder import Encoder
from tests.fakes.native import fields
from tests.fakes.records import ORDINARY, pack, values
from tests.unit.test_stage import REPOSITORY

RECIPE = (REPOSITORY / "contrib/shipping/rsyslog.conf").read_text()
ALL = int(Flag.HAS_COMM | Flag.HAS_CGROUP | Flag.HAS_CWD)


def is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_each_field_that_may_be_bytes_is_left_out_where_it_is() -> None:
    strings = dict.fromkeys(("comm", "new_comm", "parent_comm", "tty", "message"), b"\xff")
    parts = dict.fromkeys(("filename", "interp", "argv", "cwd", "cgroup"), b"\xff.service\0")
    assert {*strings, *parts} <= ORDINARY.keys()
    entry = fields(Encoder()(pack(values(**strings, **parts, flags=ALL))))
    may_be_bytes = {name for name, value in entry.items() if not is_text(value)}
    assert len(may_be_bytes) == len(strings) + len(parts)
    assert may_be_bytes <= set(re.findall(r"unset \$!(\w+);", RECIPE))
    for name in may_be_bytes:
        assert f' {name.removeprefix("EXECWATCH_").lower()}"' in RECIPE
