# SPDX-License-Identifier: GPL-2.0-or-later
import logging
from typing import TYPE_CHECKING

import pytest

from execwatchd.policy.in_effect import InEffect
from execwatchd.shared.errors import ConfigError, Failure
from execwatchd.shared.message_ids import MessageId

if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONS = {"failures": True, "cwd": True, "ring_size": 4096}
RUNNING = {**OPTIONS, "failures": False}
LEFT_OUT = {"failures": "no drop-in"}


def started(
    wanted: dict[str, object] | None = None, left_out: dict[str, str] | None = None, older: str = ""
) -> InEffect:
    in_effect = InEffect()
    options = wanted or {**OPTIONS}
    in_effect.started(options, options | dict.fromkeys(left_out or {}, False), left_out or {}, older)
    return in_effect


def test_all_is_in_effect() -> None:
    assert started().lines == []
    assert InEffect().lines == []


def test_a_rejected_file_is_named_without_what_it_says() -> None:
    """Everybody may read the line, but not every configuration file."""
    in_effect = started()
    in_effect.rejected(ConfigError(["/etc/a.toml: messages.7: 'secret' is too long", "/etc/a.toml: x: y"]))
    assert in_effect.lines == [
        "running an older configuration: error in /etc/a.toml; execwatchd --check-config shows it"
    ]
    in_effect.rejected(ConfigError(["/etc/a.toml: x", "/etc/b.toml: y"]))
    assert "error in /etc/a.toml, /etc/b.toml; " in in_effect.lines[0]
    in_effect.accepted(OPTIONS)
    assert in_effect.lines == []


def test_another_reason_is_shown_as_it_is() -> None:
    in_effect = started()
    in_effect.rejected(Failure("the helper has no answer", "try again"))
    assert in_effect.lines == ["running an older configuration: the helper has no answer (try again)"]


def test_options_that_the_program_was_not_made_for_need_a_restart(caplog: pytest.LogCaptureFixture) -> None:
    in_effect = started()
    in_effect.accepted({**OPTIONS, "cwd": False, "ring_size": 8192})
    assert in_effect.lines == ["restart needed for: cwd, ring_size"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "a change of cwd, ring_size takes effect at a restart: systemctl restart"
    in_effect.accepted(OPTIONS)
    assert in_effect.lines == []


def test_what_was_left_out_is_said_until_it_is_not_wanted_any_more(caplog: pytest.LogCaptureFixture) -> None:
    in_effect = started(left_out=LEFT_OUT)
    (record,) = caplog.records
    assert record.getMessage() == "failures left out: no drop-in"
    assert record.__dict__["journal"] == {
        "MESSAGE_ID": MessageId.OPTION_LEFT_OUT.value,
        "EXECWATCH_OPTION": "failures",
        "EXECWATCH_REASON": "no drop-in",
    }
    assert in_effect.lines == ["failures left out: no drop-in"]
    in_effect.accepted({**OPTIONS, "cwd": False})
    assert in_effect.lines == ["restart needed for: cwd", "failures left out: no drop-in"]
    in_effect.accepted({**OPTIONS, "failures": False})
    assert in_effect.lines == []


def test_an_older_program_is_said_on_one_short_line() -> None:
    in_effect = started(older="could not be compiled:\n" + "x" * 3000)
    (line,) = in_effect.lines
    assert line.startswith("running an older program: could not be compiled: xxx")
    assert line.endswith("x…")
    assert len(line) < 400


def test_a_listener_hears_each_change_once() -> None:
    heard: list[object] = []
    in_effect = started()
    in_effect.on_change = heard.append
    in_effect.accepted(OPTIONS)
    assert heard == []
    for _ in range(2):
        in_effect.rejected("broken")
    for _ in range(2):
        in_effect.accepted(OPTIONS)
    assert heard == [["running an older configuration: broken"], []]


def test_a_store_without_room_is_a_line_until_it_has_some() -> None:
    in_effect = InEffect()
    heard: list[Sequence[str]] = []
    in_effect.on_change = heard.append
    for problem in ("no room", "no room", ""):
        in_effect.store(problem)
    assert heard == [["no room"], []]
    assert in_effect.lines == []


def test_a_file_that_the_daemon_may_not_read_is_named_with_the_remedy() -> None:
    """root's --check-config would find no error in it."""
    in_effect = InEffect()
    in_effect.rejected(ConfigError(["/etc/x.toml: cannot be read: Permission denied", "/etc/y.toml: a: b"]))
    assert in_effect.lines == [
        "running an older configuration: /etc/x.toml: cannot be read: Permission denied"
        " (the user execwatchd must be able to read it)"
    ]


def test_a_state_that_was_set_aside_is_a_line() -> None:
    in_effect = InEffect()
    in_effect.state_problem = "what was set over D-Bus before this start is not in effect: …"
    assert in_effect.lines == [in_effect.state_problem]
