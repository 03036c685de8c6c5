# SPDX-License-Identifier: GPL-2.0-or-later
"""An event as a document of the Elastic Common Schema.

https://www.elastic.co/guide/en/ecs/current/ecs-field-reference.html
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from execwatchd.ctl.export.attributes import Attributes, Value, facts
from execwatchd.ctl.export.fields import ECS_VERSION, OURS, ecs_names
from execwatchd.ctl.journal.events import Event, Fact

_CLASSES = {  # event.type and event.action
    "exec": ("start", "exec"),
    "failed": ("start", "exec"),
    "ended": ("end", "end"),
    "lost": ("info", "execs-lost"),
    "suppressed": ("info", "execs-suppressed"),
}
_EPOCH = datetime.fromtimestamp(0, UTC)


def document(event: Event, *, local: bool) -> dict[str, Any]:
    """The document. `local`: the event is of this host, whose database names its users and groups."""
    made = Attributes()
    made.values |= _base(event) | _class(event) | _host(event)
    for name, text in (("message", event.text), ("host.name", event.host), ("host.hostname", event.host)):
        if text:
            made.put(name, text)
    for field, fact in facts(event).items():
        for name in ecs_names(field):
            _put(made, name, fact)
            if local:
                made.put_account(field, name, fact)
    made.put_escaped()
    return _nested(made.values)


def _put(made: Attributes, name: str, fact: Fact) -> None:
    if isinstance(fact, int) and name.endswith(".id"):  # a keyword, whatever it is the id of
        made.put(name, str(fact))
    elif isinstance(fact, int) and name == "event.duration":
        made.put(name, fact * 1000)
    else:
        made.put(name, fact)
    if name == "process.args" and isinstance(fact, tuple):
        # as detection rules and Elastic's own agents have it, with nothing quoted
        made.put("process.command_line", b" ".join(fact))


def _base(event: Event) -> dict[str, Value]:
    base: dict[str, Value] = {
        "@timestamp": _date(event.micros),
        "ecs.version": ECS_VERSION,
        "event.created": _date(event.received),
        "log.level": "warning" if event.is_missing else "info",
        OURS + "kind": event.kind,
    }
    if event.kind == "ended":
        base["process.end"] = _date(event.micros)
    for process, name in ((event.process, "process"), (event.parent, "process.parent")):
        if process:
            base[f"{name}.entity_id"] = f"{event.boot}-{process.decode(errors='backslashreplace')}"
    return base


def _class(event: Event) -> dict[str, Value]:
    """The fields by which ECS sorts events; what has no entry has no outcome."""
    kind, action = _CLASSES[event.kind]
    sorted_by: dict[str, Value] = {
        "event.kind": "event",
        "event.category": ["process"],
        "event.type": [kind],
        "event.action": action,
        "event.module": "execwatchd",
        "event.dataset": "execwatchd.events",
    }
    if not event.is_missing:
        failed = event.kind == "failed" or event.raw("EXIT_RESULT") not in {b"", b"success"}
        sorted_by["event.outcome"] = "failure" if failed else "success"
    return sorted_by


def _host(event: Event) -> dict[str, Value]:
    host: dict[str, Value] = {"host.id": event.machine} if event.machine else {}
    try:  # as /proc/sys/kernel/random/boot_id has it
        return host | {"host.boot.id": str(UUID(event.boot))}
    except ValueError:
        return host


def _date(micros: int) -> str:
    moment = _EPOCH + timedelta(microseconds=micros)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _nested(values: dict[str, Value]) -> dict[str, Any]:
    """Objects in objects, as ECS has its documents: the dots of a name part its levels."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *levels, last = name.split(".")
        place = nested
        for level in levels:
            place = place.setdefault(level, {})
        place[last] = value
    return nested
