# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths of cgroups with the unit and the user's unit that systemd 252 and later read from them."""

from typing import NamedTuple


class Said(NamedTuple):
    """Empty where the path names none."""

    unit: str = ""
    user_unit: str = ""


HEX = "0123456789abcdef" * 4
_USER = "/user.slice/user-1000.slice"
_MANAGER = "user@1000.service"

PATHS = {
    # the system's own
    "/": Said(),
    "/init.scope": Said("init.scope"),
    "/system.slice": Said(),
    "/system.slice/cron.service": Said("cron.service"),
    "/system.slice/cron.service/sub/group": Said("cron.service"),
    "/system.slice/cron.service/x.service": Said("cron.service"),
    "/cron.service": Said("cron.service"),
    "/system.slice/dev-hugepages.mount": Said("dev-hugepages.mount"),
    "/system.slice/docker.socket": Said("docker.socket"),
    "/system.slice/swapfile.swap": Said("swapfile.swap"),
    f"/system.slice/docker-{HEX}.scope": Said(f"docker-{HEX}.scope"),
    "/a.slice/a-b.slice/a-b-c.slice/x.scope": Said("x.scope"),
    r"/system.slice/system-getty\x2dx.slice/a\x2db.service": Said(r"a\x2db.service"),
    # templates: an instance is a unit, a template by itself is none, and no slice has an instance
    "/system.slice/system-getty.slice/getty@tty1.service": Said("getty@tty1.service"),
    "/system.slice/getty@tty1.service/deeper": Said("getty@tty1.service"),
    "/system.slice/a@b@c.service": Said("a@b@c.service"),
    "/system.slice/a@.b.service": Said("a@.b.service"),
    "/system.slice/getty@.service": Said(),
    "/system.slice/@tty1.service": Said(),
    "/a@b.slice/x.service": Said(),
    # what is no unit
    "/sub/cron.service": Said(),
    "/system.slice/cron": Said(),
    "/system.slice/cron.serv": Said(),
    "/system.slice/.service": Said(),
    "/system.slice/a b.service": Said(),
    "/system.slice/a#.service": Said(),
    "/system.slice/é.service": Said(),
    "/system.slice/Cron.Service": Said(),
    "/.slice/x.service": Said(),
    f"/system.slice/{'x' * 247}.service": Said(f"{'x' * 247}.service"),
    # an underscore before what could be a file of the kernel's
    "/system.slice/_cgroup.service": Said("cgroup.service"),
    "/system.slice/_cpu.service": Said("cpu.service"),
    "/system.slice/__x.service": Said("_x.service"),
    "/_memory.slice/x.service": Said("x.service"),
    "/_.slice/x.service": Said(),
    "/system.slice/_": Said(),
    # sessions and a user's own manager
    f"{_USER}/session-2.scope": Said("session-2.scope"),
    f"{_USER}/session-c1.scope": Said("session-c1.scope"),
    f"{_USER}/session-2.scope/x.service": Said("session-2.scope", "x.service"),
    f"{_USER}/session-2.scope/a.slice/_cpu.service/y": Said("session-2.scope", "cpu.service"),
    f"{_USER}/session-2.scope/a/b/c": Said("session-2.scope"),
    "/session-2.scope/x.service": Said("session-2.scope", "x.service"),
    f"{_USER}/session-.scope/x.service": Said("session-.scope"),
    f"{_USER}/session-a_b.scope/x.service": Said("session-a_b.scope"),
    f"{_USER}/_session-2.scope/x.service": Said("session-2.scope"),
    f"{_USER}/{_MANAGER}": Said(_MANAGER),
    f"{_USER}/{_MANAGER}/init.scope": Said(_MANAGER, "init.scope"),
    f"{_USER}/{_MANAGER}/app.slice": Said(_MANAGER),
    f"{_USER}/{_MANAGER}/app.slice/nginx.service": Said(_MANAGER, "nginx.service"),
    f"{_USER}/{_MANAGER}/app.slice/app-gnome-x@1.service/y": Said(_MANAGER, "app-gnome-x@1.service"),
    f"{_USER}/{_MANAGER}/user.slice/libpod-{HEX}.scope": Said(_MANAGER, f"libpod-{HEX}.scope"),
    f"{_USER}/{_MANAGER}/x/y.service": Said(_MANAGER),
    f"{_USER}/_{_MANAGER}/x.service": Said(_MANAGER),
    "/system.slice/user@0.service/x.service": Said("user@0.service", "x.service"),
    f"{_USER}/user@.service/x.service": Said(),
    f"{_USER}/user@me.service/x.service": Said("user@me.service"),
    f"{_USER}/user@01000.service/x.service": Said("user@01000.service"),
    f"{_USER}/user@4294967294.service/x.service": Said("user@4294967294.service", "x.service"),
    f"{_USER}/user@4294967295.service/x.service": Said("user@4294967295.service"),
    f"{_USER}/user@65535.service/x.service": Said("user@65535.service"),
    f"{_USER}/user@4294967296.service/x.service": Said("user@4294967296.service"),
    # a system manager in a container has units, which are not this system's
    "/machine.slice/machine-web.scope/system.slice/cron.service": Said("machine-web.scope"),
    "/machine.slice/systemd-nspawn@web.service/payload/system.slice/cron.service": Said(
        "systemd-nspawn@web.service"
    ),
}
