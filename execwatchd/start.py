# SPDX-License-Identifier: GPL-2.0-or-later
"""From a new process to a daemon without privileges: everything before the event loop."""

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import sys

from execwatchd import privileges
from execwatchd.daemon import READER, Daemon, state_file
from execwatchd.kernel import c_source
from execwatchd.policy.last_good import StartFiles
from execwatchd.service_manager import ServiceManager
from execwatchd.shared.errors import Failure
from execwatchd.stream.journal_socket import Journal
from execwatchd.stream.outbox import LogHandler, Outbox

log = logging.getLogger(__name__)


class _Nowhere:
    """A machine without a journal: a foreground run prints, and that is all."""

    def send(self, _datagram: bytes) -> bool:
        return True


def run(*, foreground: bool) -> int:
    """Runs until it is told to end; the exit code. Raises Failure."""
    manager = ServiceManager()
    journal = Journal()
    has_journal = journal.open() or manager.present
    outbox = Outbox(journal if has_journal else _Nowhere())
    _log_to(outbox, foreground=foreground)
    stored = manager.stored()
    if foreground:  # the user that we become may not read a checkout of root's later
        importlib.import_module("execwatchd.policy.reader")
    files = READER.call(_read_files)
    config = files.choose(taking_over=bool(stored))
    as_root = foreground and os.geteuid() == 0
    # the user that we become may not read a checkout of root's
    sources = c_source.read(c_source.directory()) if as_root else {}
    if as_root:
        log.info("running as user %s", privileges.become_user())
    with c_source.unpacked(sources) if as_root else contextlib.nullcontext(c_source.directory()) as directory:
        if not stored and not privileges.have_both():
            raise Failure(
                "not permitted to load BPF programs", "run it as root, or with CAP_BPF and CAP_PERFMON"
            )
        daemon = Daemon(manager, journal, outbox, config, files, foreground=foreground)
        daemon.attach(stored, directory)
    privileges.drop()
    daemon.check_access()
    gc.collect()
    gc.freeze()  # what is there now stays: no later collection needs to look at it
    return asyncio.run(daemon.serve(has_journal=has_journal))


def _read_files() -> StartFiles:
    from execwatchd.policy import reader  # noqa: PLC0415  it brings pydantic, which ends with the process

    return reader.at_start(state_file("configuration.json"), state_file("state.json"))


def _log_to(outbox: Outbox, *, foreground: bool) -> None:
    handlers: list[logging.Handler] = [LogHandler(outbox)]
    if foreground:
        terminal = logging.StreamHandler(sys.stderr)
        terminal.setFormatter(logging.Formatter("execwatchd: %(message)s"))
        handlers.append(terminal)
    logging.basicConfig(level=logging.INFO, handlers=handlers, format="%(message)s", force=True)
