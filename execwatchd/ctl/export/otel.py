# SPDX-License-Identifier: GPL-2.0-or-later
"""An event as a log record of OpenTelemetry.

Its members are those of https://opentelemetry.io/docs/specs/otel/logs/data-model/. Times are decimal strings,
as in the examples there: many readers of JSON round numbers of this size.
"""

from typing import Any

from execwatchd.ctl.export.attributes import Attributes, facts
from execwatchd.ctl.export.fields import OURS, otel_names
from execwatchd.ctl.journal.events import Event, Fact

_INFO, _WARNING = ("info", 9), ("warning", 13)  # severities of syslog, with their SeverityNumber


def record(event: Event, *, local: bool) -> dict[str, Any]:
    """The record. `local`: the event is of this host, whose database names its users."""
    severity, number = _WARNING if event.is_missing else _INFO
    made = Attributes()
    made.put("Body", event.text)
    made.put(OURS + "boot_id", event.boot)
    for field, fact in facts(event).items():
        for name in otel_names(field):
            _put(made, name, fact)
            if local:
                made.put_account(field, name, fact)
    made.put_escaped()
    return {
        "Timestamp": str(event.micros * 1000),
        "ObservedTimestamp": str(event.received * 1000),
        "SeverityText": severity,
        "SeverityNumber": number,
        "EventName": OURS + event.kind,
        "Body": made.values.pop("Body"),
        "Resource": _resource(event),
        "InstrumentationScope": {"Name": "execwatchd"},
        "Attributes": made.values,
    }


def _put(made: Attributes, name: str, fact: Fact) -> None:
    # all other ids of users are numbers here
    made.put(name, str(fact) if isinstance(fact, int) and name == "user.id" else fact)
    if name == "process.command_args" and isinstance(fact, tuple) and fact:
        made.put("process.command", fact[0])
    if name == "process.executable.path" and isinstance(fact, bytes):
        made.put("process.executable.name", fact.rpartition(b"/")[2])


def _resource(event: Event) -> dict[str, Any]:
    made = Attributes()
    made.put("service.name", "execwatchd")
    if event.host:
        made.put("host.name", event.host)
    if event.machine:
        made.put("host.id", event.machine)
    made.put_escaped()
    return made.values
