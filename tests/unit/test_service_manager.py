# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd keeps or refuses, on a socket that stands for it."""

import array
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from execwatchd.service_manager import ServiceManager


class Systemd:
    """Takes the notifications, and has room for some descriptors."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.kept: dict[str, int] = {}
        self.room = 512

    def work(self) -> None:
        """Does what it was told."""
        while True:
            try:
                text, ancillary, _flags, _address = self._socket.recvmsg(
                    4096, socket.CMSG_SPACE(64), socket.MSG_DONTWAIT
                )
            except BlockingIOError:
                return
            fds = array.array("i")
            for _level, _kind, data in ancillary:
                fds.frombytes(data)
            lines = dict(line.partition("=")[::2] for line in text.decode().splitlines())
            self._obey(lines, list(fds))

    def _obey(self, lines: dict[str, str], fds: list[int]) -> None:
        if "FDSTORE" in lines and len(self.kept) < self.room:
            (self.kept[lines["FDNAME"]],) = fds
            assert lines["FDPOLL"] == "0"
        else:
            for fd in fds:
                os.close(fd)
        if "FDSTOREREMOVE" in lines and lines["FDNAME"] in self.kept:
            os.close(self.kept.pop(lines["FDNAME"]))

    def close(self) -> None:
        self._socket.close()
        for fd in self.kept.values():
            os.close(fd)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    made = Systemd(tmp_path / "notify")
    yield made
    made.close()


@pytest.mark.parametrize(("room", "has_room"), [(0, False), (1, False), (2, True), (512, True)])
def test_a_store_that_has_room_or_has_none(room: int, has_room: bool, systemd: Systemd) -> None:
    systemd.room = room
    manager = ServiceManager()
    manager.put("1.map.ledger", 0)
    answer = manager.has_room()
    assert answer() is None
    systemd.work()
    assert answer() is has_room
    assert answer() is has_room
    systemd.work()
    assert list(systemd.kept) == ["1.map.ledger"][:room]


def test_the_question_is_open_until_systemd_has_come_to_it(systemd: Systemd) -> None:
    """What comes out of a store in which the question stands is only a pipe."""
    answer = ServiceManager().has_room()
    assert (answer(), answer()) == (None, None)
    systemd.work()
    assert list(systemd.kept) == ["room"]
    assert answer()
    systemd.work()
    assert systemd.kept == {}


def test_the_barrier(systemd: Systemd) -> None:
    has_come_to = ServiceManager().barrier()
    assert not has_come_to()
    systemd.work()
    assert has_come_to()
    assert has_come_to()


def test_without_a_service_manager_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert ServiceManager().has_room()() is True


def test_without_a_free_descriptor_it_gives_up_a_spare_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message needs a socket: without this, the watchdog would end a daemon that works."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    manager, sent = ServiceManager(), []
    free = [0]

    def notify(text: str, fds: list[int]) -> None:
        if len(os.listdir("/proc/self/fd")) > free[0]:
            raise OSError(errno.EMFILE, "Too many open files")
        sent.append(text)

    monkeypatch.setattr("execwatchd.service_manager.daemon.notify", notify)
    free[0] = len(os.listdir("/proc/self/fd")) - 1
    for _ in range(3):
        manager.alive()
    assert sent == ["WATCHDOG=1"] * 3
    assert len(os.listdir("/proc/self/fd")) - 1 == free[0]
    free[0] -= 1
    with pytest.raises(OSError, match="Too many open files"):
        manager.alive()
    os.close(manager._spare)
