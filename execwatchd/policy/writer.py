# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes to the kernel's map of UIDs: only differences are written, and a change that fails is undone."""

import logging
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from execwatchd.shared.errors import ChangeError, NotChanged
from execwatchd.shared.rules import Action

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """What the kernel holds for a UID: the message as UTF-8 without a NUL, the action, and the limit in
    execs a second (0: none).
    """

    message: bytes
    action: Action
    limit: int = 0


class ConfigMap(Protocol):
    """The kernel's hash map from UID to entry, and its entry for every other UID.

    Any of these may raise OSError; a failed call has changed nothing.
    """

    @property
    def capacity(self) -> int:
        """How many UIDs fit."""

    def users(self) -> dict[int, tuple[bytes, Action, int]]:
        """What the map holds now, message, action and limit by UID."""

    def set_user(self, uid: int, message: bytes, action: Action, limit: int = 0) -> None:
        """Adds or replaces a UID's entry; raises TableFull."""

    def remove_user(self, uid: int) -> None:
        """Removes a UID's entry, which exists."""

    def default(self) -> tuple[bytes, Action, int]:
        """The entry of every UID that the map doesn't hold."""

    def set_default(self, message: bytes, action: Action, limit: int = 0) -> None:
        """Replaces that entry."""


class MapWriter:
    """The one that writes the map; it knows its content, so that it reads it only once."""

    def __init__(self, kernel: ConfigMap) -> None:
        self._kernel = kernel
        self._users = {uid: Entry(*value) for uid, value in kernel.users().items()}
        self._default = Entry(*kernel.default())

    @property
    def uids(self) -> Iterable[int]:
        """The UIDs that the map holds."""
        return self._users.keys()

    @property
    def capacity(self) -> int:
        """How many UIDs fit."""
        return self._kernel.capacity

    def write(self, users: Mapping[int, Entry | None], default: Entry) -> None:
        """Gives each UID its entry (None: no entry) and sets the default.

        Raises TableFull or NotChanged, and then the map is as it was.
        """
        saved = {uid: self._users.get(uid) for uid in users}
        saved_default = self._default
        try:
            self._write(users, default)
        except (ChangeError, OSError) as error:
            self._undo(saved, saved_default)
            if isinstance(error, ChangeError):
                raise
            log.error("The kernel's map refused a change: %s", error)  # noqa: TRY400  the errno says it all
            raise NotChanged(f"the kernel refused the change, so it was not made: {error.strerror}") from None

    def _write(self, users: Mapping[int, Entry | None], default: Entry) -> None:
        # In this order no UID has another message than its old or its new one at any moment: a UID that
        # leaves the map falls back to the default, so the default changes first, and before it come those
        # who must not see that change.
        leaving = [uid for uid, entry in users.items() if entry is None and uid in self._users]
        for uid in sorted(users, key=self._is_new):
            entry = users[uid]
            if entry is None or entry == self._users.get(uid):
                continue
            if leaving and self._is_new(uid) and len(self._users) >= self.capacity:
                self._remove(leaving.pop())
            self._set(uid, entry)
        self._set_default(default)
        for uid in leaving:
            self._remove(uid)

    def _is_new(self, uid: int) -> bool:
        return uid not in self._users

    def _set(self, uid: int, entry: Entry) -> None:
        self._kernel.set_user(uid, *entry)
        self._users[uid] = entry

    def _remove(self, uid: int) -> None:
        self._kernel.remove_user(uid)
        del self._users[uid]

    def _set_default(self, default: Entry) -> None:
        if default != self._default:
            self._kernel.set_default(*default)
            self._default = default

    def _undo(self, users: Mapping[int, Entry | None], default: Entry) -> None:
        try:
            for uid in [uid for uid, entry in users.items() if entry is None and uid in self._users]:
                self._remove(uid)
            self._write(users, default)
        except (ChangeError, OSError) as error:
            log.critical("The kernel's map refused a change and its undoing; restart the daemon: %s", error)
