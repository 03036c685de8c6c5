# SPDX-License-Identifier: GPL-2.0-or-later
"""Arguments → configuration → run → exit code; the one place that turns a failure into a line and a code."""

import os
import sys
import time

from execwatchd.arguments import parser
from execwatchd.policy import configuration
from execwatchd.shared.errors import EXIT_FAILURE, Failure

# The unit restarts at once, for after a crash every moment fills the ring; but what can't start would keep
# a processor busy compiling.
_RESTART_DELAY = 2.0  # s


def main() -> int:
    """Runs execwatchd; the exit code."""
    arguments = parser().parse_args()
    try:
        if arguments.check_config:
            files = _read_configuration().files
            print(f"{len(files)} configuration files, no error")
            return 0
        if arguments.print_config:
            print(configuration.render(_read_configuration()), end="")
            return 0
        from execwatchd import start  # noqa: PLC0415  needs systemd and libbpf, which the above does not

        return start.run(foreground=arguments.foreground)
    except Failure as failure:
        print(*(f"execwatchd: {line}" for line in str(failure).splitlines()), sep="\n", file=sys.stderr)
        if failure.code == EXIT_FAILURE and "NOTIFY_SOCKET" in os.environ:
            time.sleep(_RESTART_DELAY)
        return failure.code
    except KeyboardInterrupt:
        return 130


def _read_configuration() -> configuration.Config:
    from execwatchd.policy import reader  # noqa: PLC0415  it brings pydantic, which the daemon does without

    return reader.configuration()


if __name__ == "__main__":
    sys.exit(main())
