# SPDX-License-Identifier: GPL-2.0-or-later
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.kernel import layout
from execwatchd.stream.decode import Decoder, MalformedError, Record
from tests.fakes.records import ORDINARY, PARTS, pack, values

CODES = dict(field.partition(":")[::2] for field in layout.SCHEMA.split())
FIXED = [name for name in CODES if not name.endswith("_len")]
U32, S32 = st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1)
U64, S64 = st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1)


def member(code: str) -> st.SearchStrategy[int | bytes]:
    if code.endswith("s"):
        size = int(code[:-1])
        return st.binary(min_size=size, max_size=size)
    return {"I": U32, "i": S32, "Q": U64, "q": S64}[code]


RECORDS = st.fixed_dictionaries(
    {
        **{name: member(CODES[name]) for name in FIXED},
        **{part: st.binary(max_size=300) for part in PARTS},
    }
)


def decoded(data: bytes, schema: str = layout.SCHEMA) -> dict[str, int | bytes]:
    return Decoder(schema)(data)._asdict()


def padded(record: dict[str, int | bytes]) -> dict[str, int | bytes]:
    """As the decoder gives a record: strings of a fixed size keep their NULs."""
    sizes = {name: int(code[:-1]) for name, code in CODES.items() if code.endswith("s")}
    return {
        name: value.ljust(sizes[name], b"\0") if isinstance(value, bytes) and name in sizes else value
        for name, value in record.items()
    }


def test_every_member_has_its_name() -> None:
    assert set(Record._fields) == {*FIXED, *PARTS} == set(ORDINARY)


@given(RECORDS)
def test_round_trip(record: dict[str, int | bytes]) -> None:
    assert decoded(pack(record)) == record


@given(RECORDS, st.binary(max_size=50))
def test_bytes_behind_a_record_are_none_of_it(record: dict[str, int | bytes], behind: bytes) -> None:
    """The ring's records are rounded up, and a held one may be followed by an older one's rest."""
    assert decoded(pack(record) + behind) == record


@given(RECORDS, st.randoms(use_true_random=False), st.sets(st.sampled_from(FIXED)))
def test_a_schema_of_other_order_with_members_more_and_less(
    record: dict[str, int | bytes], chance: random.Random, removed: set[str]
) -> None:
    removed -= {"pid"}
    fields = [field for field in layout.SCHEMA.split() if field.partition(":")[0] not in removed]
    fields += ["novel:Q", "later:7s", "novelty_len:I"]
    chance.shuffle(fields)
    schema = " ".join(fields)
    foreign = {**record, "novel": 2**64 - 1, "later": b"later..", "novelty": b"\0new\0"}
    found = decoded(pack(foreign, schema), schema)
    kept = {name: value for name, value in record.items() if name not in removed}
    assert {name: found[name] for name in kept} == kept
    assert {name: found[name] for name in removed} == {name: absent(name) for name in removed}


def absent(name: str) -> int | bytes:
    if name in ("loginuid", "session"):
        return layout.NO_ID
    if name in ("exec_id", "parent_id"):
        return layout.NO_EXEC
    return b"\0" if CODES[name].endswith("s") else 0


@pytest.mark.parametrize("part", ["exe", "parent_exe", "end", "interp", "cgroup", "cwd", "ancestors"])
def test_a_schema_without_a_part(part: str) -> None:
    schema = " ".join(f for f in layout.SCHEMA.split() if not f.startswith(f"{part}_len:"))
    assert decoded(pack(ORDINARY, schema), schema) == padded(values(**{part: b""}))


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "pid:I",
        "filename_len:I",
        "pid:I filename_len:I",
        "pid:I filename_len:?!",
        "pid filename_len",
        "x:Q y:I",
        "\ufffd" * 9,
    ],
)
def test_what_is_no_schema_of_a_record(schema: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Decoder(schema)


def test_every_truncation_is_malformed() -> None:
    data = pack(ORDINARY)
    decode = Decoder()
    for size in range(len(data)):
        with pytest.raises(MalformedError):
            decode(data[:size])


@given(st.binary(max_size=2000))
def test_random_bytes_are_a_record_or_malformed(data: bytes) -> None:
    try:
        record = Decoder()(data)
    except MalformedError:
        return
    assert sum(len(getattr(record, part)) for part in PARTS) <= len(data)


@given(st.binary(max_size=40), st.integers(0, 400))
def test_damage_to_a_record_is_a_record_or_malformed(damage: bytes, at: int) -> None:
    data = pack(ORDINARY)
    data = data[:at] + damage + data[at + len(damage) :]
    try:
        Decoder()(data)
    except MalformedError:
        return
