# SPDX-License-Identifier: GPL-2.0-or-later
import time
from pathlib import Path

import pytest

from execwatchd import start
from execwatchd.policy import last_good, reader
from execwatchd.policy.configuration import Config
from execwatchd.policy.last_good import Chosen, StartFiles
from execwatchd.policy.layer import Layer
from execwatchd.policy.settings import Settings
from execwatchd.policy.state import Loaded
from execwatchd.shared import forked
from execwatchd.shared.errors import EXIT_CONFIG, ConfigError, Failure
from execwatchd.shared.rules import BUILT_IN, MAX_UIDS, Rule

PROBLEM = ConfigError(["/etc/x.toml: broken"])


def config(*uids: int) -> Config:
    return Config(Settings(Layer(BUILT_IN, {uid: Rule("x") for uid in uids})))


def state(*uids: int) -> Loaded:
    return Loaded(Layer(rules={uid: Rule("y") for uid in uids}))


FILES, LAST, EMPTY = config(1), config(2), Loaded()
FULL = config(*range(MAX_UIDS))
BEYOND = state(MAX_UIDS)


@pytest.mark.parametrize("taking_over", [False, True])
def test_a_valid_configuration_is_chosen(taking_over: bool) -> None:
    chosen = StartFiles(FILES, None, LAST, EMPTY).choose(taking_over=taking_over)
    assert chosen == Chosen(FILES)


@pytest.mark.parametrize("taking_over", [False, True])
def test_with_an_invalid_one_the_last_accepted_applies(taking_over: bool) -> None:
    chosen = StartFiles(None, PROBLEM, LAST, EMPTY).choose(taking_over=taking_over)
    assert chosen == Chosen(LAST, PROBLEM, "the one accepted last applies")


def test_a_first_start_with_an_invalid_one_fails_and_a_take_over_never() -> None:
    files = StartFiles(None, PROBLEM, None, EMPTY)
    with pytest.raises(ConfigError) as error:
        files.choose(taking_over=False)
    assert error.value is PROBLEM
    assert files.choose(taking_over=True) == Chosen(Config(), PROBLEM, "the defaults apply")


@pytest.mark.parametrize("taking_over", [False, True])
def test_what_does_not_fit_together_with_the_state_is_not_chosen(taking_over: bool) -> None:
    def choose(files: Config | None, last: Config | None) -> tuple[Config, str]:
        chosen = StartFiles(files, None if files else PROBLEM, last, BEYOND).choose(taking_over=taking_over)
        assert chosen.rejected
        return chosen.config, chosen.which

    last, defaults = "the one accepted last applies", "the defaults apply"
    assert choose(FULL, LAST) == (LAST, last)
    assert choose(FULL, FULL) == (Config(), defaults)
    assert choose(FULL, None) == (Config(), defaults)  # the check may not have seen the state
    assert choose(None, FULL) == (Config(), defaults)


def test_as_many_uids_as_the_table_holds_fit() -> None:
    full = StartFiles(FULL, None, None, state(*range(MAX_UIDS)))
    assert full.choose(taking_over=False) == Chosen(FULL)
    problem = last_good.too_many_uids(FULL, BEYOND.state)
    assert problem
    assert problem.code == EXIT_CONFIG
    assert f"{MAX_UIDS + 1} UIDs together, and the table holds {MAX_UIDS}" in str(problem)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """What a state directory has: LAST."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    last_good.keep(tmp_path / "configuration.json", LAST)
    return LAST


def test_files_that_cannot_be_read_at_all_leave_what_is_kept(
    kept: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forked, "_PATIENCE", 3.0)
    monkeypatch.setattr(reader, "configuration", lambda: time.sleep(600))
    files = start._files()
    assert (files.config, files.last) == (None, kept)
    assert "the helper that reads the configuration has no answer after 3 s" in str(files.problems)
    assert files.choose(taking_over=False).config == kept


def test_without_the_files_there_are_still_state_and_last_accepted(kept: Config) -> None:
    problem = Failure("it hangs")
    files = start._read_kept(problem)
    assert (files.config, files.problems, files.last, files.state) == (None, problem, kept, EMPTY)
