# SPDX-License-Identifier: GPL-2.0-or-later
"""A kill between any two stores leaves books that are either from before a change or from after it."""

import itertools
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.kernel import layout, ledger
from execwatchd.kernel.ledger import Ledger, Page, Shown

ROOM = 200
SIZE = layout.LEDGER_SIZE + ROOM + layout.LEDGER_SHOWN.size
DIGEST = "ab" * 32
U64 = st.integers(0, 2**64 - 1)
PAGES = st.builds(Page, *[U64 for _ in Page._fields]).map(lambda page: page._replace(held=0))

Books = tuple[Page, bytes]


def begun(page: Page | None = None) -> bytearray:
    memory = bytearray(SIZE)
    Ledger(memory).initialise(DIGEST, page or Page())
    return memory


def books(memory: bytes | bytearray) -> Books:
    """What a process that maps this memory now reads in it."""
    read = Ledger(bytearray(memory))
    return read.page, read.held()


def after_each_line(memory: bytearray, action: Callable[[], None]) -> list[bytes]:
    """The memory before the action, after each line of ledger.py that it runs, and at its end."""
    seen = [bytes(memory)]

    def trace(frame: FrameType, _event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename != ledger.__file__:
            return None
        seen.append(bytes(memory))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return [*seen, bytes(memory)]


def torn(before: bytes, after: bytes) -> Iterator[bytes]:
    """What may be in memory while one line stores: each number of its bytes, upwards or first all cleared."""
    changed = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    cleared = bytearray(before)
    for i in changed:
        cleared[i] = 0
    for memory in (bytearray(before), cleared):
        yield bytes(memory)
        for i in changed:
            memory[i] = after[i]
            yield bytes(memory)


def states(memory: bytearray, action: Callable[[], None]) -> Iterator[bytes]:
    """All that a kill during the action may leave."""
    seen = after_each_line(memory, action)
    for before, after in itertools.pairwise(seen):
        if before != after:
            yield from torn(before, after)


@given(PAGES, PAGES, PAGES)
def test_a_commit_is_all_or_nothing(first: Page, second: Page, third: Page) -> None:
    memory = begun(first)
    one = Ledger(memory)
    for old, new in ((first, second), (second, third)):
        found = {books(state) for state in states(memory, lambda page=new: one.commit(page))}  # type: ignore[misc]
        assert found <= {(old, b""), (new, b"")}
        assert books(memory) == (new, b"") == (one.page, one.held())


@given(PAGES, st.binary(min_size=1, max_size=ROOM), st.binary(min_size=1, max_size=ROOM), U64)
def test_holding_a_record_is_all_or_nothing(page: Page, earlier: bytes, record: bytes, handled: int) -> None:
    memory = begun(page)
    one = Ledger(memory)
    one.hold(earlier, 1)
    let_go = page._replace(handled=2)
    found = {books(state) for state in states(memory, lambda: one.commit(let_go))}
    assert found == {(page._replace(held=len(earlier), handled=1), earlier), (let_go, b"")}
    found = {books(state) for state in states(memory, lambda: one.hold(record, handled))}
    assert found <= {(let_go, b""), (let_go._replace(held=len(record), handled=handled), record)}
    assert books(memory)[1] == record


@given(PAGES, st.lists(st.integers(0, 2**32), min_size=1, max_size=3), PAGES)
def test_a_record_more_is_all_or_nothing(page: Page, positions: list[int], last: Page) -> None:
    """What is beside the count and the position stays, whichever page counts."""
    page = page._replace(forwarded=page.forwarded >> 1)
    memory = begun(page)
    one = Ledger(memory)
    for handled in positions:
        following = page._replace(forwarded=page.forwarded + 1, handled=handled)
        found = {books(state) for state in states(memory, lambda handled=handled: one.forwarded(handled))}  # type: ignore[misc]
        assert found == {(page, b""), (following, b"")}
        assert books(memory) == (following, b"") == (one.page, one.held())
        assert one.handled == handled
        page = following
    assert {books(state) for state in states(memory, lambda: one.commit(last))} <= {(page, b""), (last, b"")}
    assert books(memory) == (last, b"")


def test_a_record_more_is_no_longer_held() -> None:
    memory = begun(Page(forwarded=3))
    one = Ledger(memory)
    one.hold(b"x", 9)
    found = {books(state) for state in states(memory, lambda: one.forwarded(9))}
    assert found == {(Page(3, handled=9, held=1), b"x"), (Page(4, handled=9), b"")}


def test_what_a_kill_left_of_a_page_is_not_counted_later() -> None:
    """The page that doesn't count may have anything in it, of any version."""
    page = Page(*range(10, 10 + len(Page._fields)))._replace(held=0)
    memory = begun(page)
    one = Ledger(memory)
    for state in states(memory, lambda: one.commit(page._replace(reported=99, since=98))):
        found, _held = books(state)
        killed = bytearray(state)
        Ledger(killed).forwarded(7)
        assert books(killed)[0] == found._replace(forwarded=found.forwarded + 1, handled=7)


def test_a_kill_while_they_begin_leaves_books_without_a_count() -> None:
    memory = bytearray(SIZE)
    page = Page(since=1_700_000_000_000_000, settled=1)
    found = {books(state) for state in states(memory, lambda: Ledger(memory).initialise(DIGEST, page))}
    assert found == {(Page(), b""), (page, b"")}


def test_they_name_program_and_layout() -> None:
    read = Ledger(begun())
    assert (read.digest, read.schema, read.room) == (DIGEST, layout.SCHEMA, ROOM)


@given(PAGES, st.binary(min_size=ROOM, max_size=ROOM), st.builds(Shown, *[U64 for _ in Shown._fields]))
def test_what_was_shown_stands_beside_everything_else(page: Page, record: bytes, shown: Shown) -> None:
    memory = begun(page)
    one = Ledger(memory)
    assert one.shown == Shown()
    one.show(shown)
    one.hold(record, 9)
    read = Ledger(memory)
    assert (read.shown, read.held(), read.page) == (shown, record, page._replace(held=ROOM, handled=9))


@pytest.mark.parametrize("size", [0, 1, ROOM])
def test_a_record_that_fits_is_held(size: int) -> None:
    one = Ledger(begun())
    one.hold(b"x" * size, 9)
    assert (one.held(), one.page.handled) == (b"x" * size, 9)


def test_there_is_room_for_one_record_of_the_largest_size() -> None:
    one = Ledger(begun())
    with pytest.raises(ValueError, match="no room"):
        one.hold(bytes(ROOM + 1), 9)
    one.hold(b"x", 9)
    with pytest.raises(ValueError, match="no room"):
        one.hold(b"y", 10)
    assert one.held() == b"x"


def test_any_number_says_which_page_counts() -> None:
    """`current` may be anything in a ledger that another version wrote."""
    memory = begun(Page(forwarded=3))
    current = int.from_bytes(memory[:8], sys.byteorder)
    memory[:8] = (current + 2).to_bytes(8, sys.byteorder)
    assert Ledger(memory).page == Page(forwarded=3)
