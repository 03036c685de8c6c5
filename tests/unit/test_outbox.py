# SPDX-License-Identifier: GPL-2.0-or-later
import logging

import pytest

from execwatchd.shared.message_ids import MessageId, log_fields
from execwatchd.stream.outbox import LogHandler, Outbox
from tests.fakes.kernel import FakeJournal
from tests.fakes.native import fields


def test_an_event_goes_at_once_or_stays_the_callers() -> None:
    journal = FakeJournal(room=1)
    outbox = Outbox(journal)
    assert outbox.send(b"one")
    assert not outbox.send(b"two")
    journal.room = 9
    assert outbox.send(b"two")
    assert journal.entries == [b"one", b"two"]


def test_what_waits_goes_first() -> None:
    journal = FakeJournal(room=0)
    outbox = Outbox(journal)
    outbox.post(b"log 1")
    outbox.post(b"log 2")
    assert not outbox.send(b"event")
    journal.room = 1
    assert not outbox.send(b"event")
    assert not outbox.flush()
    journal.room = 9
    assert outbox.send(b"event")
    assert outbox.flush()
    assert journal.entries == [b"log 1", b"log 2", b"event"]


def test_a_stall_is_told_once_per_entry_that_waits() -> None:
    journal = FakeJournal(room=1)
    outbox = Outbox(journal)
    stalls: list[None] = []
    outbox.on_stall = lambda: stalls.append(None)
    outbox.post(b"1")
    assert not stalls
    outbox.post(b"2")
    assert stalls


def test_a_long_stall_drops_the_oldest_and_says_how_many() -> None:
    journal = FakeJournal(room=0)
    outbox = Outbox(journal)
    for i in range(1007):
        outbox.post(b"%d" % i)
    journal.room = 5000
    assert outbox.flush()
    *kept, last = journal.entries
    assert kept == [b"%d" % i for i in range(7, 1007)]
    assert fields(last)["MESSAGE"] == b"7 log lines dropped while the journal stalled"
    assert outbox.send(b"event")
    assert len(journal.entries) == 1002


def test_a_stall_while_it_says_what_it_dropped() -> None:
    journal = FakeJournal(room=0)
    outbox = Outbox(journal)
    for i in range(1001):
        outbox.post(b"%d" % i)
    journal.room = 1000
    assert not outbox.send(b"event")
    journal.room = 9
    assert outbox.send(b"event")
    assert [fields(journal.entries[1000])["MESSAGE"], journal.entries[1001]] == [
        b"1 log line dropped while the journal stalled",
        b"event",
    ]


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.CRITICAL, b"3"),
        (logging.ERROR, b"3"),
        (logging.WARNING, b"4"),
        (logging.INFO, b"6"),
        (10, b"7"),
    ],
)
def test_the_daemons_log(level: int, priority: bytes) -> None:
    journal = FakeJournal()
    logger = logging.getLogger("execwatchd.test")
    logger.setLevel(1)
    handler = LogHandler(Outbox(journal))
    logger.addHandler(handler)
    logger.log(level, "%d of %s", 7, "x\ny", extra=log_fields(MessageId.EVENTS_LOST, EXECWATCH_LOST=7))
    logger.removeHandler(handler)
    (found,) = map(fields, journal.entries)
    assert found["MESSAGE"] == b"7 of x\ny"
    assert found["PRIORITY"] == priority
    assert found["MESSAGE_ID"] == MessageId.EVENTS_LOST.value.encode()
    assert found["EXECWATCH_LOST"] == b"7"
    assert found["LOGGER"] == b"execwatchd.test"
