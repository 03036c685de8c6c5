# SPDX-License-Identifier: GPL-2.0-or-later
"""How container runtimes name the cgroup of a container, and where that is known from."""

import re
from collections.abc import Sequence

_HEX = rb"([0-9a-f]{64})"
_RUNTIMES = rb"(?:docker|libpod|cri-containerd|crio|containerd|nerdctl|buildkit)"
# The last names of a path, and of which runtimes they are. The group is the container's id or name.
_NAMES = (
    (_RUNTIMES + rb"-" + _HEX + rb"\.scope", "runc and crun, systemd driver: <prefix>-<id>.scope"),
    (rb"buildah-([^/]+)\.scope", "buildah run, systemd driver"),
    (
        rb"[^/]+:" + _RUNTIMES + rb":([^/:]+)",
        "<slice>:<prefix>:<id>, taken for a path: moby #45796, opentelemetry-java #4733",
    ),
    (rb"libpod-(?:payload-)?" + _HEX, "podman, cgroupfs"),
    (rb"crio-" + _HEX, "cri-o #811, cgroupfs"),
    (_HEX, "docker and Kubernetes, cgroupfs"),
    (rb"buildkit/([a-z0-9]{25})", "docker build, cgroupfs: cryptnono #47, #93"),
    (rb"ecs/[^/]+/([0-9a-f]{32}-[0-9]+)", "Amazon ECS on Fargate: <task>/<task>-<number>"),
    (rb"garden/([^/]+)", "Cloud Foundry's garden"),
    (rb"lxc\.payload\.([^/]+)", "LXC since 4.0.6"),
    (rb"(?:lxc|lxc\.payload)/([^/]+)", "LXC before: htop #217, sysdig #1344"),
    (rb"(lxc-[0-9]+-[^/]+)\.libvirt-lxc", "libvirt: systemd #13629"),
    # Names of machines are escaped. Those of libvirt's virtual machines begin with the driver: netdata #2161.
    (rb"machine-(?!(?:qemu|ch|bhyve)\\x2d)([^/]+)\.scope", "systemd-machined"),
    (rb"systemd-nspawn@([^/]+)\.service", "systemd-nspawn@.service"),
)
_PATTERNS = [re.compile(rb".*/" + pattern, re.DOTALL) for pattern, _source in _NAMES]
# Something of each of these names; most paths have none of it.
_HINT = re.compile(rb"[0-9a-f]{32}|:|buildah|buildkit|garden|lxc|machine|nspawn")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


def container(names: Sequence[bytes]) -> bytes:
    """The id, or the name, of the innermost container that the names of a path name; empty for none."""
    if not _HINT.search(b"/".join(names)):
        return b""
    for end in range(len(names), 0, -1):
        path = b"/" + b"/".join(names[max(0, end - 3) : end])
        for pattern in _PATTERNS:
            if match := pattern.fullmatch(path):
                return _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), match[1])
    return b""
