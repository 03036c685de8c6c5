# SPDX-License-Identifier: GPL-2.0-or-later
"""Arguments → configuration → run → exit code; the one place that turns a failure into a line and a code."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from execwatchd.arguments import parser
from execwatchd.policy import configuration
from execwatchd.shared.errors import EXIT_FAILURE, Failure

# The unit restarts at once, for after a crash every moment fills the ring; but what can't start would keep
# a processor busy compiling.
_RESTART_DELAY = 2.0  # s
_STATE_DIRECTORY = "/var/lib/execwatchd"  # the unit's


def main() -> int:
    """Runs execwatchd; the exit code."""
    arguments = parser().parse_args()
    try:
        if arguments.check_config:
            print(*_check(), sep="\n")
            return 0
        if arguments.print_config:
            print(configuration.render(_read_configuration()), end="")
            return 0
        from execwatchd import start  # noqa: PLC0415  needs systemd and libbpf, which the above does not

        return start.run(foreground=arguments.foreground)
    except Failure as failure:
        # As a command of the unit: journald takes the number for the priority, sd-daemon(3).
        error = "<3>" if "JOURNAL_STREAM" in os.environ else ""
        lines = (f"{error}execwatchd: {line}" for line in str(failure).splitlines())
        print(*lines, sep="\n", file=sys.stderr)
        if failure.code == EXIT_FAILURE and "NOTIFY_SOCKET" in os.environ:
            time.sleep(_RESTART_DELAY)
        return failure.code
    except KeyboardInterrupt:
        return 130


def _check() -> Iterator[str]:
    """What a check without an error prints."""
    from execwatchd.policy import reader  # noqa: PLC0415  see below

    state_file = Path(os.environ.get("STATE_DIRECTORY", _STATE_DIRECTORY), "state.json")
    config, uncounted = reader.checked(state_file)
    count = len(config.files)
    names = ", ".join(map(configuration.printable, config.files))
    yield f"{count} configuration file{'s' * (count != 1)}, no error{': ' * bool(names)}{names}"
    if uncounted:
        yield f"the UIDs in {state_file} are not counted with those in the files: {uncounted}"


def _read_configuration() -> configuration.Config:
    from execwatchd.policy import reader  # noqa: PLC0415  it brings pydantic, which the daemon does without

    return reader.configuration()


if __name__ == "__main__":
    sys.exit(main())
