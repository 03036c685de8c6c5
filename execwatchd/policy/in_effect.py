# SPDX-License-Identifier: GPL-2.0-or-later
"""What the configuration asks for and isn't done, or wouldn't be after a restart, as lines for people."""

import logging
from collections.abc import Callable, Mapping, Sequence

from execwatchd.shared.errors import ConfigError
from execwatchd.shared.message_ids import MessageId, log_fields

log = logging.getLogger(__name__)

Options = Mapping[str, object]  # what the program in the kernel is compiled for, by name

_LONGEST = 300  # characters of a reason: a compiler or a verifier has more to say, and the log has it all


class InEffect:
    """Whether the configuration files are in effect; `lines` says what of them is not.

    Everybody may read the lines, but not every configuration file. So they name files, and no value of one.
    """

    def __init__(self) -> None:
        self.on_change: Callable[[Sequence[str]], None] = lambda _lines: None
        self._rejected = ""
        self._older_program = ""
        self._store_problem = ""
        self.state_problem = ""  # why the state is not in effect; until the next start
        self._left_out: Mapping[str, str] = {}
        self._running: Options = {}
        self._at_start: Options = {}
        self._wanted: Options = {}

    @property
    def lines(self) -> list[str]:
        """Empty: all is in effect."""
        lines = [f"running an older configuration: {self._rejected}"] * bool(self._rejected)
        if changed := self._changed():
            lines.append(f"restart needed for: {', '.join(changed)}")
        lines += [
            f"{name} left out: {_short(reason)}"
            for name, reason in self._left_out.items()
            if self._is_left_out(name)
        ]
        if self._older_program:
            lines.append(f"running an older program: {_short(self._older_program)}")
        return lines + [problem for problem in (self.state_problem, self._store_problem) if problem]

    def started(
        self, wanted: Options, running: Options, left_out: Mapping[str, str], older_program: str
    ) -> None:
        """With a program for these options. `left_out`: wanted, and the reason why this host can't give it.

        `older_program`: why another program goes on that the one for these options.
        """
        self._at_start = self._wanted = wanted
        self._running, self._left_out, self._older_program = running, left_out, older_program
        for name, reason in left_out.items():
            log.warning(
                "%s left out: %s", name, reason,
                extra=log_fields(MessageId.OPTION_LEFT_OUT, EXECWATCH_OPTION=name, EXECWATCH_REASON=reason),
            )  # fmt: skip

    def rejected(self, reason: Exception | str) -> None:
        """The files are not taken up; what was in effect stays."""
        before = self.lines
        self._rejected = _public(reason)
        self._announce(before)

    def accepted(self, wanted: Options) -> None:
        """The files are in effect, but for options of the program."""
        before = self.lines
        self._rejected, self._wanted = "", wanted
        changed = self._changed()
        if changed:
            log.warning("a change of %s takes effect at a restart: systemctl restart", ", ".join(changed))
        self._announce(before)

    def store(self, problem: str) -> None:
        """What systemd's descriptor store lacks, and the remedy; empty: nothing."""
        before = self.lines
        self._store_problem = problem
        self._announce(before)

    def _announce(self, before: Sequence[str]) -> None:
        if self.lines != before:
            self.on_change(self.lines)

    def _changed(self) -> list[str]:
        return [
            name
            for name, value in self._wanted.items()
            if value != self._running[name] and not self._is_left_out(name)
        ]

    def _is_left_out(self, name: str) -> bool:
        return name in self._left_out and self._wanted[name] == self._at_start[name]


def _public(reason: Exception | str) -> str:
    if not isinstance(reason, ConfigError):
        return _short(str(reason))
    unreadable = [problem for problem in reason.problems if ": cannot be read: " in problem]
    if unreadable:  # --check-config by root would find nothing
        return _short(f"{'; '.join(unreadable)} (the user execwatchd must be able to read it)")
    files = ", ".join(dict.fromkeys(problem.partition(": ")[0] for problem in reason.problems))
    return _short(f"error in {files}; execwatchd --check-config shows it")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
