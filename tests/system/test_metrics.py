# SPDX-License-Identifier: GPL-2.0-or-later
"""The file for a node exporter, under the unit's sandbox and umask."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.system.harness import Boot, Box, wait_until

UNIT = "execwatchd.service"
FILE = "/run/execwatchd-metrics/execwatchd.prom"
CONFIG = "/etc/execwatchd/execwatchd.toml"
NOBODY = 65534


def numbers(host: Box) -> dict[str, float]:
    """The samples that have no label, as another user reads them."""
    text = host.run("cat", FILE, uid=NOBODY).stdout
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name.removeprefix("execwatchd_"): sample.value for sample in samples}


@pytest.fixture(scope="module")
def watched(boot: Boot) -> Box:
    host = boot(f"echo 'metrics_file = \"{FILE}\"' >$R{CONFIG}")
    host.systemctl("start", UNIT)
    return host


def test_the_counters_are_those_of_the_bus_and_are_kept_up(watched: Box) -> None:
    wait_until(lambda: watched.path(FILE).exists(), "the file")
    before = numbers(watched)
    assert before["hook_attached"] == before["bus_connected"] == 1
    assert before["journal_stalled"] == before["execs_lost_total"] == 0
    for _ in range(5):
        watched.run("true", uid=NOBODY)

    def after() -> dict[str, float] | None:
        found = numbers(watched)
        return found if found["execs_seen_total"] >= before["execs_seen_total"] + 5 else None

    found = wait_until(after, "the five execs", seconds=40)
    assert found["counting_since_seconds"] == before["counting_since_seconds"]
    shown = watched.busctl(
        "get-property", "org.execwatch1", "/org/execwatch1", "org.execwatch1.Manager", "Since", "Seen"
    ).stdout.split()
    assert found["counting_since_seconds"] == int(shown[1]) / 1e6
    assert found["execs_seen_total"] <= int(shown[3])


def test_a_restart_keeps_the_file_and_the_counters(watched: Box) -> None:
    before = numbers(watched)
    watched.systemctl("restart", UNIT)

    def restarted() -> dict[str, float] | None:
        found = numbers(watched)  # fails if there is no file at any moment
        return found if found["start_time_seconds"] > before["start_time_seconds"] else None

    after = wait_until(restarted, "the successor's numbers")
    assert after["counting_since_seconds"] == before["counting_since_seconds"]
    assert after["execs_seen_total"] > before["execs_seen_total"]


def test_another_path_needs_a_reload_and_one_that_cannot_be_written_is_told(watched: Box) -> None:
    watched.shell(f"echo 'metrics_file = \"/var/lib/x.prom\"' >{CONFIG}")
    watched.systemctl("reload", UNIT)
    said = "the metrics cannot be written to /var/lib/x.prom: Read-only file system"
    found = wait_until(
        lambda: [e for e in watched.journal("-u", UNIT, "PRIORITY=4") if e["MESSAGE"].startswith(said)],
        "the warning",
    )
    assert len(found) == 1
    assert not watched.path(FILE).exists()
    watched.shell(f"echo 'metrics_file = \"{FILE}\"' >{CONFIG}")
    watched.systemctl("reload", UNIT)
    wait_until(lambda: watched.path(FILE).exists(), "the file")


def test_a_drop_in_lets_it_write_elsewhere_and_a_stop_removes_it(watched: Box) -> None:
    directory = "/var/lib/prometheus/node-exporter"
    drop_in = f"/etc/systemd/system/{UNIT}.d/metrics.conf"
    watched.shell(
        f"mkdir -p {directory} /etc/systemd/system/{UNIT}.d && chown execwatchd {directory} &&"
        f"printf '[Service]\\nReadWritePaths={directory}\\n' >{drop_in} && systemctl daemon-reload &&"
        f"echo 'metrics_file = \"{directory}/execwatchd.prom\"' >{CONFIG}"
    )
    watched.systemctl("restart", UNIT)
    wait_until(lambda: watched.path(f"{directory}/execwatchd.prom").exists(), "the file")
    assert not watched.path(FILE).exists()  # nobody keeps it up any more
    watched.systemctl("stop", UNIT)
    assert watched.run("ls", "-A", directory).stdout == ""
    assert not watched.path("/run/execwatchd-metrics").exists()
