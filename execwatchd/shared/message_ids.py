# SPDX-License-Identifier: GPL-2.0-or-later
"""The MESSAGE_ID of each kind of journal entry; contrib/systemd/execwatchd.catalog explains each."""

from collections.abc import Mapping
from enum import Enum

Fields = Mapping[str, str | int]


class MessageId(Enum):
    """128 random bits in lower-case hexadecimal, as journald's own."""

    EXEC = "818fcaf2384c45788aaa2a2b8e5c1f26"
    EXEC_FAILED = "7d7e6579224d4d069ca1b57e6649845d"
    EXITED = "bf233ffb991cf17192ad0ad1ba230461"
    EVENTS_LOST = "9e9fc0cc780c4feb93476a5075a34496"
    ATTACHED = "fbdc5e5aaced474a8387955fd364f245"
    DETACHED = "64b5859ba00e4979acca6ed41c3e89b1"
    LAYOUT_CHANGED = "cfb27839938a43a79fa0aa17b0ee6fb8"
    MESSAGE_CHANGED = "ac4e350d14ff4d8c94a1702a4cffba0b"
    CONFIG_REJECTED = "3583d383513d4d868aab37419acd0e32"
    OPTION_LEFT_OUT = "34d8240e754772ba1979600a5ffde3e2"
    STATE_REJECTED = "baeb8db566a44562ad60f93976f887ae"
    STORE_INCOMPLETE = "616485c42e8a43178554001e29690cf4"
    STORE_FULL = "52507e8352e94f66a30835ea6064bed8"
    STORM_STARTED = "04496b45c115f9f569bef7b76f3b0a3a"
    STORM_CONTINUES = "a886b5596211af5fddd717649dd56d04"
    STORM_ENDED = "af5f899df2dd80d8abac1a41194c4c1a"


def log_fields(message_id: MessageId, **fields: str | int) -> dict[str, Fields]:
    """The `extra=` of a logging call: it gives the line's journal entry this id and these fields."""
    return {"journal": {"MESSAGE_ID": message_id.value, **fields}}
