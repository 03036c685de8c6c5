# SPDX-License-Identifier: GPL-2.0-or-later
"""execwatchctl: parses the arguments, runs the command, and prints its failure."""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager

from execwatchd.ctl.cli import parse
from execwatchd.ctl.ports import EXIT_INTERRUPTED, Journal, Manager, Source, Tools
from execwatchd.ctl.view.terminal import console, printable
from execwatchd.shared.errors import EXIT_FAILURE, Failure


def main(arguments: Sequence[str] | None = None, tools: Tools | None = None) -> int:
    """Run a command. Returns its exit status."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments, tools)
    except Failure as failure:
        print(f"execwatchctl: {printable(str(failure))}", file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # As in `log | head`. The interpreter flushes stdout again at exit, and must not do so into the pipe.
        _print_no_more()
        return 0
    except OSError as error:
        _print_no_more()
        print(f"execwatchctl: cannot print: {error.strerror}", file=sys.stderr)
        return EXIT_FAILURE


def _print_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Sequence[str], tools: Tools | None) -> int:
    try:
        options = parse(arguments)
        status: int = options.run(options, tools or _tools())
    except SystemExit as end:  # --help and --version
        status = int(end.code or 0)
    sys.stdout.flush()
    return status


def _tools() -> Tools:
    return Tools(console(sys.stdout), _manager, _journal)


# A command needs the bus or the journal. Importing either takes as long as a command takes to run.


def _manager() -> AbstractContextManager[Manager]:
    from execwatchd.ctl.daemon.client import connect  # noqa: PLC0415

    return connect()


def _journal(source: Source) -> AbstractContextManager[Journal]:
    from execwatchd.ctl.journal.systemd_journal import open_journal  # noqa: PLC0415

    return open_journal(source, hangup=sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
