# SPDX-License-Identifier: GPL-2.0-or-later
"""What a path of cgroups says; tests/kernel/test_cgroup.py asks systemd's own library the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.stream.cgroup import path, place
from tests.fakes.cgroups import HEX, PATHS, Said


@pytest.mark.parametrize("full", PATHS)
def test_units(full: str) -> None:
    found = place(full.encode())
    assert Said(found.unit.decode(), found.user_unit.decode()) == PATHS[full]


@pytest.mark.parametrize(
    ("full", "container"),
    [
        (f"/system.slice/docker-{HEX}.scope", HEX),
        (f"/docker/{HEX}", HEX),
        (f"/docker/{HEX}/init.scope", HEX),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{HEX}.scope", HEX),
        (f"/machine.slice/libpod-{HEX}.scope/container", HEX),
        (f"/libpod_parent/libpod-{HEX}", HEX),
        (f"/machine.slice/libpod-payload-{HEX}", HEX),
        (f"/kubepods.slice/kubepods-burstable.slice/kubepods-pod1_2.slice/crio-{HEX}.scope", HEX),
        (f"/kubepods.slice/kubepods-pod1_2.slice/cri-containerd-{HEX}.scope", HEX),
        (f"/kubepods/besteffort/pod6b3c-11/{HEX}", HEX),
        (f"/system.slice/nerdctl-{HEX}.scope", HEX),
        ("/lxc.payload.web", "web"),
        ("/lxc.payload.web/system.slice/cron.service", "web"),
        ("/lxc/web/init.scope", "web"),
        ("/machine.slice/machine-web.scope", "web"),
        ("/machine.slice/systemd-nspawn@web.service/payload/system.slice/cron.service", "web"),
        (f"/system.slice/containerd.service/kubepods-pod87a1_b10b.slice:cri-containerd:{HEX}", HEX),
        ("/system.slice/system.slice:docker:osh60k53lspy0g0cjo94ur00h", "osh60k53lspy0g0cjo94ur00h"),
        ("/docker/buildkit/t4967jvf8rbufklrhkicskyes", "t4967jvf8rbufklrhkicskyes"),
        ("/lxc.payload/example/init.scope", "example"),
        ("/machine/lxc-1268-sl.libvirt-lxc", "lxc-1268-sl"),
        (f"/kubepods/burstable/pod1/crio-{HEX}", HEX),
        ("/garden/6f265890-5165-7fab-6b52-18d1", "6f265890-5165-7fab-6b52-18d1"),
        (f"/ecs/{HEX[:32]}/{HEX[:32]}-1234567890", f"{HEX[:32]}-1234567890"),
        ("/machine.slice/machine-web\\x2d1.scope/payload/system.slice/a.service", "web-1"),
        ("/machine.slice/systemd-nspawn@web\\x2d1.service/payload", "web-1"),
        ("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator", ""),
        ("/machine.slice/buildah-buildah3456789012.scope", "buildah3456789012"),
        # one runtime inside another: the innermost
        (f"/machine.slice/machine-web.scope/system.slice/docker-{HEX}.scope", HEX),
        ("/system.slice/cron.service", ""),
        ("/user.slice/user-1000.slice/session-2.scope", ""),
        (f"/system.slice/docker-{HEX[:63]}.scope", ""),
        (f"/system.slice/docker-{HEX.upper()}.scope", ""),
        (f"/system.slice/evil-docker-{HEX}.scope", ""),
        ("/machine.slice", ""),
        ("/", ""),
    ],
)
def test_containers(full: str, container: str) -> None:
    assert place(full.encode()).container.decode() == container


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda name: not set(name) & set(b"/\0"))))
def test_a_path_is_its_components_from_the_leaf_up(names: list[bytes]) -> None:
    components = b"".join(name + b"\0" for name in reversed(names))
    assert path(components) == b"/" + b"/".join(names)
    assert path(components, cut=True) == "…/".encode() + b"/".join(names)


@given(st.binary(max_size=100))
def test_no_path_is_refused(full: bytes) -> None:
    found = place(full)
    assert found.path == full
    assert not found.unit.endswith(b".slice")
