# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon: its parts together in one event loop, and who is told what they do."""

import asyncio
import logging
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path

from execwatchd.bus.service import BusService
from execwatchd.kernel import options as kernel_options
from execwatchd.kernel.generation import Generation
from execwatchd.kernel.options import Options
from execwatchd.kernel.takeover import Generations
from execwatchd.metrics import MetricsFile, render
from execwatchd.policy import last_good
from execwatchd.policy.configuration import Config
from execwatchd.policy.in_effect import InEffect
from execwatchd.policy.last_good import Chosen, StartFiles
from execwatchd.policy.settings import Settings
from execwatchd.policy.state import StateStore
from execwatchd.policy.table import RuleTable
from execwatchd.redaction.redactor import ALL, Redactor
from execwatchd.redaction.tables import merged
from execwatchd.service_manager import ServiceManager
from execwatchd.shared.errors import EXIT_FAILURE, ChangeError, ConfigError, Failure
from execwatchd.shared.forked import Helper
from execwatchd.shared.guard import Guard
from execwatchd.shared.message_ids import MessageId, log_fields
from execwatchd.stream import end_entry
from execwatchd.stream import exec_entry as journal_entry
from execwatchd.stream.decode import Record
from execwatchd.stream.drain import Drain
from execwatchd.stream.journal_socket import Journal
from execwatchd.stream.losses import Losses
from execwatchd.stream.outbox import Outbox
from execwatchd.stream.parents import NoParents, Parents
from execwatchd.stream.storms import Storms
from execwatchd.stream.writable import Writable

log = logging.getLogger(__name__)

READER = Helper("reads the configuration", "40 MB")

_STALL_RATE = 2500  # execs per second and core: what the log's estimate of the ring assumes
_RECORD = 512  # bytes of an ordinary one
_ALONE = 0.55  # of the ring: the share of a user who has no other beside, see bpf/shares.h
_STATUS_INTERVAL = 10.0  # s
_RETRY = 1.0  # s


class Daemon:
    """Everything that lives as long as the process."""

    def __init__(
        self,
        manager: ServiceManager,
        journal: Journal,
        outbox: Outbox,
        chosen: Chosen,
        files: StartFiles,
        *,
        foreground: bool,
    ) -> None:
        """`chosen`: of `files`."""
        self._manager = manager
        self._writable = Writable(journal)
        self._outbox = outbox
        self._config = chosen.config
        self._chosen = chosen
        self._in_effect = InEffect()
        self._foreground = foreground
        self._state = StateStore(state_file("state.json"), files.state)
        self._in_effect.state_problem = self._state.problem
        self._table: RuleTable
        self.generations = Generations(manager)
        self._ended = asyncio.Event()
        self._reload_wanted = asyncio.Event()
        self._redacted: tuple[object, ...] = ()  # what the redactor in use is made of
        self._remembers_parents = False
        self._passes = -1
        self._sent_status = ""
        self._telling = Guard("telling systemd of the reload")
        self._started = time.time()
        self._metrics = MetricsFile(self._numbers)
        self._metrics.inherit(files.last.settings.metrics_file if files.last else "")

    def attach(self, stored: dict[str, int], directory: Path) -> None:
        """Take over, or load and attach, while the capabilities for it are there. Raises Failure."""
        options, generations = _options(self._config.settings), self.generations
        generations.start(stored, directory, options, self._fill)
        self._in_effect.started(
            asdict(options), asdict(generations.options), generations.left_out, generations.older_program
        )
        if self._chosen.rejected:
            last_good.reject(self._chosen.rejected, self._chosen.which)
            self._in_effect.rejected(self._chosen.rejected)
        else:
            last_good.keep(state_file("configuration.json"), self._config)
        per_second = _STALL_RATE * (os.cpu_count() or 1) * _RECORD
        log.info(
            "the ring of %d KiB holds %.1f s of a user's execs, %d a second on each of %d CPUs",
            self.generations.ring_size >> 10,
            _ALONE * self.generations.ring_size / per_second,
            _STALL_RATE,
            os.cpu_count() or 1,
        )

    def _fill(self, generation: Generation) -> None:
        self._table = RuleTable(generation.rules, self._state)
        try:
            self._table.apply_settings(self._config)
        except ChangeError as error:
            raise Failure(f"the rules can't be written into the kernel's table: {error}") from None

    def check_access(self) -> None:
        """Raises Failure, with nothing left attached, if the kernel lets nobody unprivileged read on."""
        try:
            self.generations.current.check_access()
        except Failure:
            self.generations.current.discard(self._manager)
            raise

    async def serve(self, *, has_journal: bool) -> int:
        """Read the ring, answer the bus, until told to end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        loop.add_signal_handler(signal.SIGHUP, self._want_reload)
        self._outbox.on_stall = lambda: self._writable.wait(self._flush)
        self._bus = BusService(self._table, self.generations, self._in_effect)
        self._losses = Losses(
            self.generations, self.generations.current.buckets, self._outbox, self._bus.events_lost
        )
        self._storms = Storms(self.generations, self._outbox)
        self._drain = Drain(
            self.generations,
            self._outbox,
            self._writable.wait,
            self._on_empty,
            self._print if self._foreground else None,
        )
        self._redact(self._config)
        self._remember_parents(self._config)
        if not self._foreground:
            self._drain.start()  # the bus may take its time, and the ring fills
        has_bus = await self._bus.start()
        if self._foreground:
            self._drain.start()  # only now: a second instance ends here, and has recorded nothing
            log.info(
                "journal: %s; system bus: %s", *("yes" if has else "none" for has in (has_journal, has_bus))
            )
        bus = asyncio.create_task(self._bus.run(), name="the bus service")
        self._look_at_store()
        self._manager.ready(self._status())
        self._metrics.use(self._config.settings.metrics_file)
        housekeeping = asyncio.create_task(self._keep_house(), name="the housekeeping")
        reloads = asyncio.create_task(self._reload(), name="reloading")
        code = await self._until_ended(bus, housekeeping, reloads)
        reloads.cancel()
        for_good = self._foreground or await self._bus.is_unit_stopping()
        with Guard("telling systemd of the stop").step():
            self._manager.stopping("stopping")
        for task in (housekeeping, bus):
            task.cancel()
        await asyncio.gather(housekeeping, reloads, bus, return_exceptions=True)
        await self._bus.stop()
        if for_good:
            await self._detach()
            self._metrics.remove()
        self._drain.stop()
        await self._writable.all_read()
        with Guard("telling systemd the last status").step():
            self._manager.status(self._status())
        return code

    async def _until_ended(self, *tasks: asyncio.Task[None]) -> int:
        """Until a signal; the exit code. A task that ends by itself is a fault: a restart takes over."""
        ended = asyncio.create_task(self._ended.wait())
        await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            return 0
        ended.cancel()
        for task in tasks:
            if task.done():
                error = None if task.cancelled() else task.exception()
                log.critical("%s ended, so the daemon does: %r", task.get_name(), error, exc_info=error)
        return EXIT_FAILURE

    async def _detach(self) -> None:
        """Without a successor what is in the ring must be read now."""
        self.generations.detach()
        if not await self._drain.finish():
            log.warning("the journal takes no entries: what waits in the ring is given up")
        self._losses.report()  # the ring may be empty already, and then no pass reports them
        self._storms.finish()
        counted = self.generations.counters()
        log.info(
            "detached: %d execs seen, %d lost",
            counted.seen,
            counted.lost,
            extra=log_fields(MessageId.DETACHED),
        )

    def _on_empty(self) -> None:
        self._losses.report()
        self._storms.look()

    def _status(self) -> str:
        """The one line of `systemctl status`."""
        counted = self.generations.counters()
        parts = [f"watching {', '.join(self.generations.attached)}"]
        if not self._bus.connected:
            parts.append("no system bus")
        if self._drain.stalled:
            parts.append("the journal takes no entries")
        parts += self._in_effect.lines
        parts.append(
            f"{counted.seen} execs seen, {counted.forwarded} in the journal,"
            f" {counted.ignored} ignored, {counted.lost} lost"
        )
        return "; ".join(parts)

    def _numbers(self) -> str:
        return render(
            self.generations,
            started=self._started,
            suppressed=self.generations.current.suppressed(),
            unended=self.generations.unended(),
            refused=self._bus.refused,
            stalled=self._drain.stalled,
            on_bus=self._bus.connected,
            in_effect=not self._in_effect.lines,
        )

    async def _keep_house(self) -> None:
        """Status and watchdog. A loop that doesn't read although it could is as dead as one that hangs."""
        interval = min(self._manager.watchdog / 3 or _STATUS_INTERVAL, _STATUS_INTERVAL)
        chores = {
            Guard("looking at the descriptor store"): self._look_at_store,
            Guard("reporting losses"): self._losses.report_if_late,
            Guard("reporting storms"): self._storms.report,
            Guard("writing the metrics"): self._metrics.write_if_due,
            Guard("feeding the watchdog"): self._feed_watchdog,
            Guard("telling systemd the status"): self._send_status,
        }
        while True:
            await asyncio.sleep(interval)
            for guard, chore in chores.items():  # one that fails must not keep the others from being done
                with guard.step():
                    chore()

    def _look_at_store(self) -> None:
        self.generations.look_at_store()
        self._in_effect.store(self.generations.store_problem)

    def _feed_watchdog(self) -> None:
        is_reading = self._drain.passes != self._passes or not self.generations.current.ring_fill()
        if self._drain.stalled or is_reading:
            self._manager.alive()
        self._passes = self._drain.passes

    def _send_status(self) -> None:
        status = self._status()
        if status != self._sent_status:
            self._manager.status(status)
        self._sent_status = status

    def _want_reload(self) -> None:
        self._reload_wanted.set()  # first: it is done also if systemd can't be told
        with self._telling.step():
            self._manager.reloading()  # at once: systemd waits only for the end of what it was told in time

    async def _reload(self) -> None:
        """Whenever it is wanted; the ring is read meanwhile."""
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            try:
                self._adopt(await READER.wait(_read_configuration))
                log.info("configuration reloaded")
            except (ConfigError, ChangeError) as error:
                last_good.reject(error)
                self._in_effect.rejected(error)
            except Failure as failure:
                log.error("configuration not reloaded, the old one stays: %s", failure)  # noqa: TRY400
                self._in_effect.rejected(failure)
            except Exception:  # it must not be the last reload
                log.exception("the new configuration could not be taken up whole")
                self._in_effect.rejected("the new one could not be taken up whole; the log says why")
            await self._reloaded()

    async def _reloaded(self) -> None:
        """Until systemd knows: it waits for this."""
        while True:
            with self._telling.step():
                self._manager.ready(self._status())
                return
            await asyncio.sleep(_RETRY)

    def _adopt(self, config: Config) -> None:
        self._table.apply_settings(config)
        self._redact(config)
        self._remember_parents(config)
        self._in_effect.accepted(asdict(_options(config.settings)))
        last_good.keep(state_file("configuration.json"), config)
        self._config = config
        self._metrics.use(config.settings.metrics_file)

    def _redact(self, config: Config) -> None:
        """A redactor goes on if its configuration does: it remembers, and is dear to make."""
        wanted, arguments = config.settings.redact, config.settings.arguments
        made_of = wanted, arguments, config.secrets
        if made_of != self._redacted:
            is_needed = wanted or arguments != ALL
            self._drain.redact_with(
                Redactor(wanted, merged(config.secrets), arguments) if is_needed else None
            )
            self._redacted = made_of

    def _remember_parents(self, config: Config) -> None:
        """What is remembered stays as long as it may be."""
        wanted = config.settings.parent_cmdline
        if wanted != self._remembers_parents:
            self._drain.remember_in(Parents() if wanted else NoParents())
            self._remembers_parents = wanted

    def _print(self, record: Record) -> None:
        try:
            print((end_entry if record.end else journal_entry).message(record), flush=True)
        except OSError:  # whoever read it has gone
            self._ended.set()

    def _flush(self) -> None:
        if not self._outbox.flush():
            self._writable.wait(self._flush)


def _options(settings: Settings) -> Options:
    return Options(
        ring_size=settings.ring_size or kernel_options.default_ring_size(),
        argv_bytes=settings.argv_bytes,
        failures=settings.failures,
        cwd=settings.cwd,
        ancestors=settings.ancestors,
        interactive=settings.interactive,
        exits=settings.exits,
    )


def _read_configuration() -> Config:
    from execwatchd.policy import reader  # noqa: PLC0415  it brings pydantic, which ends with the process

    return reader.configuration()


def state_file(name: str) -> Path | None:
    """In the unit's state directory; None where there is none, and then nothing is kept."""
    directory = os.environ.get("STATE_DIRECTORY")
    return Path(directory, name) if directory else None
