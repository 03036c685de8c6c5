# SPDX-License-Identifier: GPL-2.0-or-later
"""The start, up to the event loop: from a new process to a daemon without privileges."""

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import sys

from execwatchd import privileges, seccomp
from execwatchd.daemon import READER, Daemon, state_file
from execwatchd.kernel import c_source
from execwatchd.policy.last_good import StartFiles
from execwatchd.service_manager import ServiceManager
from execwatchd.shared.errors import Failure
from execwatchd.stream.journal_socket import Journal
from execwatchd.stream.outbox import LogHandler, Outbox

log = logging.getLogger(__name__)


class _NoJournal:
    """Takes every entry and drops it. A foreground run on a machine without a journal only prints."""

    def send(self, _datagram: bytes) -> bool:
        return True


def run(*, foreground: bool) -> int:
    """Run until a signal ends it; the exit code. Raises Failure."""
    manager = ServiceManager()
    journal = Journal()
    has_journal = journal.open() or manager.present
    outbox = Outbox(journal if has_journal else _NoJournal())
    _log_to(outbox, foreground=foreground)
    stored = manager.stored()
    if foreground:  # later it may have become a user who can't read the checkout
        importlib.import_module("execwatchd.policy.reader")
    files = _files()
    chosen = files.choose(taking_over=bool(stored))
    as_root = foreground and os.geteuid() == 0
    # Read now, since the user that it becomes may not be able to read the checkout.
    sources = c_source.read(c_source.directory()) if as_root else {}
    if as_root:
        log.info("running as user %s", privileges.become_user())
    with c_source.unpacked(sources) if as_root else contextlib.nullcontext(c_source.directory()) as directory:
        if not stored and not privileges.have_both():
            raise Failure(
                "not permitted to load BPF programs", "run it as root, or with CAP_BPF and CAP_PERFMON"
            )
        daemon = Daemon(manager, journal, outbox, chosen, files, foreground=foreground)
        daemon.attach(stored, directory)
    privileges.drop()
    seccomp.forbid_exec()
    daemon.check_access()
    gc.collect()
    gc.freeze()  # what exists now stays, so that no collection needs to look at it again
    return asyncio.run(daemon.serve(has_journal=has_journal))


def _files() -> StartFiles:
    """All that a start reads. Where the configuration files can't even be read, as on a network file system
    that hangs, there is still the configuration that was accepted last, and the state. Raises Failure.
    """
    try:
        return READER.call(_read_files)
    except Failure as failure:
        problem = failure
    return READER.call(lambda: _read_kept(problem))


def _read_files() -> StartFiles:
    from execwatchd.policy import reader  # noqa: PLC0415  it brings pydantic, which ends with the process

    return reader.at_start(state_file("configuration.json"), state_file("state.json"))


def _read_kept(problem: Failure) -> StartFiles:
    from execwatchd.policy import reader  # noqa: PLC0415  as above

    return reader.without_files(problem, state_file("configuration.json"), state_file("state.json"))


def _log_to(outbox: Outbox, *, foreground: bool) -> None:
    handlers: list[logging.Handler] = [LogHandler(outbox)]
    if foreground:
        terminal = logging.StreamHandler(sys.stderr)
        terminal.setFormatter(logging.Formatter("execwatchd: %(message)s"))
        handlers.append(terminal)
    logging.basicConfig(level=logging.INFO, handlers=handlers, format="%(message)s", force=True)
