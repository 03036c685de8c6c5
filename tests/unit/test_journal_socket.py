# SPDX-License-Identifier: GPL-2.0-or-later
"""journald's socket, as a real datagram socket that this test holds the other end of."""

import asyncio
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from execwatchd.stream import writable
from execwatchd.stream.journal_fields import log_entry
from execwatchd.stream.journal_socket import Journal
from execwatchd.stream.writable import Writable
from tests.fakes.native import fields

_ALL_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Journald:
    """Listens on a path and reads entries, those in files too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))

    def receive(self) -> dict[str, bytes] | None:
        """The oldest entry; None: there is none."""
        try:
            data, fds, _flags, _address = socket.recv_fds(self._socket, 1 << 24, 4)
        except BlockingIOError:
            return None
        if not fds:
            return fields(data)
        assert (data, len(fds)) == (b"", 1)
        assert fcntl.fcntl(fds[0], fcntl.F_GET_SEALS) == _ALL_SEALS
        with open(fds[0], "rb") as file:
            file.seek(0)
            return fields(file.read())

    def close(self) -> None:
        self._socket.close()
        self.path.unlink()


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    listening = Journald(tmp_path / "socket")
    yield listening
    listening.close()


@pytest.fixture
def journal(journald: Journald) -> Iterator[Journal]:
    connected = Journal(journald.path)
    assert connected.open()
    yield connected
    connected.close()


def entry(text: str) -> bytes:
    return log_entry(6, text, {})


def test_an_entry_arrives(journald: Journald, journal: Journal) -> None:
    assert journal.send(entry("one"))
    assert journal.send(entry("two\nlines"))
    received = [journald.receive(), journald.receive(), journald.receive()]
    assert [one and one["MESSAGE"] for one in received] == [b"one", b"two\nlines", None]


@pytest.mark.parametrize("size", [100_000, 300_000, 10 << 20])
def test_a_long_entry_arrives(journald: Journald, journal: Journal, size: int) -> None:
    """What exceeds a datagram goes as a file; where that limit lies is the kernel's matter."""
    assert journal.send(entry("x" * size))
    received = journald.receive()
    assert received
    assert received["MESSAGE"] == b"x" * size


def test_a_long_entry_goes_as_a_sealed_file(journal: Journal, journald: Journald) -> None:
    before = open_files()
    assert journal.send(entry("x" * (10 << 20)))
    received, fds, *_ = socket.recv_fds(journald._socket, 100, 4)
    assert received == b""
    assert fcntl.fcntl(fds[0], fcntl.F_GET_SEALS) == _ALL_SEALS
    os.close(fds[0])
    assert open_files() == before


def test_a_full_socket_refuses_and_takes_the_same_entry_later(journald: Journald, journal: Journal) -> None:
    sent = 0
    while journal.send(entry(f"{sent}")):
        sent += 1
    assert not journal.send(entry("x" * (10 << 20)))
    assert journal.fileno() >= 0
    first = journald.receive()
    assert first
    assert first["MESSAGE"] == b"0"
    assert journal.send(entry(f"{sent}"))
    received = iter(journald.receive, None)
    assert [one["MESSAGE"] for one in received if one] == [b"%d" % i for i in range(1, sent + 1)]


def test_nobody_listens(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "none")
    assert not journal.open()
    assert (journal.fileno(), journal.send(entry("x"))) == (-1, False)
    (tmp_path / "none").touch()
    assert not journal.open()


def test_journald_goes_and_comes_again(tmp_path: Path) -> None:
    listening = Journald(tmp_path / "socket")
    journal = Journal(listening.path)
    assert journal.open()
    listening.close()
    assert not journal.send(entry("lost? no: refused"))
    assert journal.fileno() == -1
    assert not journal.open()
    listening = Journald(tmp_path / "socket")
    assert journal.open()
    assert journal.open()
    assert journal.send(entry("here"))
    received = listening.receive()
    assert received
    assert received["MESSAGE"] == b"here"
    journal.close()
    listening.close()


def test_journald_goes_while_an_entry_is_a_file(tmp_path: Path) -> None:
    listening = Journald(tmp_path / "socket")
    journal = Journal(listening.path)
    assert journal.open()
    before = open_files()
    listening.close()
    assert not journal.send(entry("x" * (10 << 20)))
    assert journal.fileno() == -1
    assert open_files() < before


def test_it_never_waits(journald: Journald, journal: Journal) -> None:
    """A stalled journal refuses at once: this would hang, not be slow."""
    assert not os.get_blocking(journal.fileno())
    while journal.send(entry("x" * 1000)):
        pass


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def no_descriptor(*_args: object) -> int:
    raise OSError(errno.EMFILE, "Too many open files")


def test_without_a_free_descriptor_it_is_not_open(
    journald: Journald, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(journald.path)
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", no_descriptor)
        assert not journal.open()
    assert journal.open()
    journal.close()


def test_without_a_free_descriptor_a_long_entry_waits(
    journald: Journald, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = entry("x" * (10 << 20))
    with monkeypatch.context() as patch:
        patch.setattr(os, "memfd_create", no_descriptor)
        assert not journal.send(long)
    assert journal.needs_pause  # the socket is writable: to wait for that alone would be to spin
    assert journal.send(long)


def test_a_long_entry_that_waits_is_tried_again_after_a_pause(
    journald: Journald, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writable, "_RETRY", 0.01)
    watches: list[bool] = []

    async def wait() -> None:
        journal.needs_pause = True
        done = asyncio.Event()
        waiting = Writable(journal)
        watch = waiting._watch

        def counted() -> None:
            watches.append(journal.needs_pause)
            watch()

        monkeypatch.setattr(waiting, "_watch", counted)
        waiting.wait(done.set)
        await asyncio.wait_for(done.wait(), 30)

    asyncio.run(wait())
    assert watches == [True, False]


def test_a_socket_that_is_closed_while_it_is_waited_for_is_replaced(tmp_path: Path) -> None:
    """A log line, say, finds that journald has ended, while a record waits for the same socket."""
    listening = Journald(tmp_path / "socket")
    journal = Journal(listening.path)
    assert journal.open()
    while journal.send(entry("x" * 1000)):
        pass

    async def wait() -> None:
        done = asyncio.Event()
        Writable(journal).wait(done.set)
        await asyncio.sleep(0.01)
        assert not done.is_set()
        listening.close()
        assert not journal.send(entry("refused"))
        assert journal.fileno() == -1
        again = Journald(tmp_path / "socket")
        await asyncio.wait_for(done.wait(), 30)
        assert journal.send(entry("here"))
        again.close()

    asyncio.run(wait())
    journal.close()
