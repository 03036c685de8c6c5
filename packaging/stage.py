# SPDX-License-Identifier: GPL-2.0-or-later
"""stage.py install|uninstall|list: the one list of what is installed where, and what carries it out.

Run by the distribution's own interpreter, whose version the private dependencies are then for.
"""

import argparse
import compileall
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / f".venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
CONFIG = "/etc/execwatchd/execwatchd.toml"
# What whole directories are made of; editors and patches leave other things in them.
KINDS = {".alloy", ".c", ".conf", ".h", ".py", ".service", ".timer", ".toml", ".xml", ".yaml", ".yml"}

# The daemon's own, and what the distribution's interpreter has: -I leaves out PYTHONPATH, the user's packages
# and the current directory.
LAUNCHER = """\
#!/usr/bin/python3 -I
# SPDX-License-Identifier: GPL-2.0-or-later
import sys

sys.path[:0] = ["{lib}", "{lib}/vendor"]
try:
    from {module} import main
except ImportError as error:
    sys.exit(f"{name}: {{error}} (installed for Python {python}; install it again)")
sys.exit(main())
"""


@dataclass(frozen=True)
class File:
    """What one file of the installation contains, and its mode."""

    content: bytes
    mode: int = 0o644


def manifest(prefix: str, vendored: Collection[str] | None = None) -> dict[str, File]:
    """Every file of an installation by its absolute path, without DESTDIR.

    `vendored` names what of the locked dependencies is carried: all, or these with what they need.
    """
    carried = locked() if vendored is None else with_requirements(vendored)
    files = {target: File(_content(source, prefix)) for source, target in _sources(prefix, carried)}
    lib = f"{prefix}/lib/execwatchd"
    for directory, name, module in (
        ("sbin", "execwatchd", "execwatchd.__main__"),
        ("bin", "execwatchctl", "execwatchd.ctl.__main__"),
    ):
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        text = LAUNCHER.format(lib=lib, module=module, name=name, python=python)
        files[f"{prefix}/{directory}/{name}"] = File(text.encode(), 0o755)
    return dict(sorted(files.items()))


def _sources(prefix: str, vendored: Collection[str]) -> Iterator[tuple[Path, str]]:
    lib, share, units = f"{prefix}/lib/execwatchd", f"{prefix}/share", ROOT / "contrib/systemd"
    yield from _tree(ROOT / "execwatchd", f"{lib}/execwatchd")
    yield from _tree(ROOT / "bpf", f"{lib}/execwatchd/bpf")
    yield from _vendored(vendored, f"{lib}/vendor")
    yield units / "execwatchd.service", f"{prefix}/lib/systemd/system/execwatchd.service"
    yield units / "execwatchd.sysusers", f"{prefix}/lib/sysusers.d/execwatchd.conf"
    yield units / "execwatchd.catalog", f"{prefix}/lib/systemd/catalog/execwatchd.catalog"
    # not below share/doc, which minimal systems leave out
    yield from _tree(units / "execwatchd.service.d", f"{share}/execwatchd/execwatchd.service.d")
    yield units / "journald@execwatchd.conf", f"{share}/execwatchd/journald@execwatchd.conf"
    yield from _tree(units / "fleet", f"{share}/execwatchd/fleet")
    yield from _tree(ROOT / "contrib/shipping", f"{share}/execwatchd/shipping")
    yield from _tree(ROOT / "contrib/sigma", f"{share}/execwatchd/sigma")
    yield ROOT / "contrib/execwatchd.toml", CONFIG
    bus = ROOT / "packaging/dbus"
    # Both bus implementations read /usr/share and /etc only; in /usr/share are the distribution's own.
    policies = "/usr/share/dbus-1" if prefix == "/usr" else "/etc/dbus-1"
    yield bus / "org.execwatch1.conf", f"{policies}/system.d/org.execwatch1.conf"
    # polkit before 124 reads /usr/share only
    yield bus / "org.execwatch1.policy", "/usr/share/polkit-1/actions/org.execwatch1.policy"
    yield ROOT / "execwatchd/bus/org.execwatch1.xml", f"{share}/dbus-1/interfaces/org.execwatch1.xml"
    yield ROOT / "LICENSE", f"{share}/doc/execwatchd/LICENSE"
    yield from _documentation(share)


def _documentation(share: str) -> Iterator[tuple[Path, str]]:
    for page in sorted((ROOT / "docs/man").glob("*.[1-8]")):
        yield page, f"{share}/man/man{page.suffix[1]}/{page.name}"
    for name in ("README.md", "CHANGELOG.md", "SECURITY.md"):
        yield ROOT / name, f"{share}/doc/execwatchd/{name}"
    for page in sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("docs/benchmarks/*.svg")]):
        yield page, f"{share}/doc/execwatchd/{page.relative_to(ROOT / 'docs')}"
    yield ROOT / "contrib/sigma/README.md", f"{share}/doc/execwatchd/sigma.md"
    for source, target in (
        ("execwatchctl.bash", "bash-completion/completions/execwatchctl"),
        ("_execwatchctl", "zsh/site-functions/_execwatchctl"),
        ("_execwatchctl", "zsh/vendor-completions/_execwatchctl"),  # Debian's zsh looks only here in /usr
        ("execwatchctl.fish", "fish/vendor_completions.d/execwatchctl.fish"),
    ):
        yield ROOT / "contrib/completions" / source, f"{share}/{target}"


def _tree(source: Path, target: str) -> Iterator[tuple[Path, str]]:
    for path in sorted(source.rglob("*")):
        if path.suffix in KINDS and not path.name.startswith(".") and path.is_file():
            yield path, f"{target}/{path.relative_to(source)}"


def version() -> str:
    """The project's, out of the one place that has it."""
    (found,) = re.findall(
        r'^__version__ = "(.+)"$', (ROOT / "execwatchd/__init__.py").read_text(), re.MULTILINE
    )
    return str(found)


def locked() -> list[str]:
    """The names of the locked dependencies."""
    lock = (ROOT / "packaging/requirements.lock").read_text()
    return re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)


def with_requirements(names: Collection[str]) -> set[str]:
    """These, and what of the locked ones they need."""
    needed = set(names)
    for name in names:
        required = {re.split(r"[^\w-]", text)[0].lower() for text in distribution(name).requires or ()}
        needed |= with_requirements(required & set(locked()))
    return needed


def distribution(name: str) -> metadata.Distribution:
    found = list(metadata.distributions(name=name, path=[str(SITE)]))
    if len(found) != 1:
        sys.exit(f"execwatchd: {name} is not in {SITE}: run packaging/bootstrap run")
    return found[0]


def _vendored(names: Collection[str], target: str) -> Iterator[tuple[Path, str]]:
    """Dependencies out of the private environment, with their licences."""
    for name in sorted(names):
        for file in distribution(name).files or ():
            own = file.parts[0].endswith(".dist-info") and file.name in {"RECORD", "INSTALLER", "REQUESTED"}
            if file.parts[0] != ".." and "__pycache__" not in file.parts and not own:
                yield SITE / file, f"{target}/{file}"


def _content(source: Path, prefix: str) -> bytes:
    content = source.read_bytes()
    if source.parent in {ROOT / "docs/man", ROOT / "contrib/sigma"}:
        for place in ("share/execwatchd", "share/doc/execwatchd"):
            content = content.replace(f"/usr/{place}".encode(), f"{prefix}/{place}".encode())
    if source == ROOT / "README.md":  # what is installed is beside it, or not a page to link to
        content = re.sub(rb"\[([^\]]+)\]\((?:docs/man/[^)]+|C[A-Z]+\.md)\)", rb"\1", content)
        content = content.replace(b"](docs/", b"](")
    if source.name == "execwatchd.service":
        content = content.replace(b"/usr/sbin/execwatchd", f"{prefix}/sbin/execwatchd".encode())
    return content


class Tree:
    """An installation below `destdir`, and its own record of the files and directories that it made."""

    def __init__(self, destdir: str, prefix: str) -> None:
        self.destdir = destdir
        self.lib = f"{prefix}/lib/execwatchd"
        self.record = f"{self.lib}/installed"

    def at(self, path: str) -> Path:
        return Path(f"{self.destdir}{path}")

    def install(self, files: dict[str, File]) -> None:
        before, made = self._read()
        lines: list[str] = []
        for path in sorted(before.keys() - files.keys()):
            self._remove(path, before[path])
        for path, file in files.items():
            if path == CONFIG and self._is_changed(path, before.get(path)):
                print(f"{CONFIG}: kept as it is", file=sys.stderr)
                continue  # and not recorded: it is the administrator's now
            made |= self._make_directory(str(Path(path).parent))
            self._write(path, file)
            lines.append(f"{_digest(file.content)} {path}\n")
        lines += [f"directory {path}\n" for path in sorted(made)]
        self._write(self.record, File("".join(lines).encode()))

    def uninstall(self) -> None:
        files, directories = self._read()
        if not files:
            sys.exit(f"execwatchd: not installed: there is no {self.at(self.record)}")
        for cache in sorted(self.at(self.lib).rglob("__pycache__")):
            shutil.rmtree(cache)
        for path, digest in files.items():
            self._remove(path, digest)
        self.at(self.record).unlink()
        for path in sorted(directories, reverse=True):
            if self.at(path).is_dir() and not any(self.at(path).iterdir()):
                self.at(path).rmdir()

    def compile(self) -> None:
        compileall.compile_dir(self.at(self.lib), quiet=2)

    def _read(self) -> tuple[dict[str, str], set[str]]:
        files, directories = {}, set()
        if self.at(self.record).exists():
            for line in self.at(self.record).read_text().splitlines():
                digest, path = line.split(" ", 1)
                if digest == "directory":
                    directories.add(path)
                else:
                    files[path] = digest
        return files, directories

    def _is_changed(self, path: str, digest: str | None) -> bool:
        return self.at(path).exists() and _digest(self.at(path).read_bytes()) != digest

    def _remove(self, path: str, digest: str) -> None:
        if path == CONFIG and self._is_changed(path, digest):
            print(f"{CONFIG}: was changed, and stays", file=sys.stderr)
        else:
            self.at(path).unlink(missing_ok=True)

    def _make_directory(self, path: str) -> set[str]:
        """Which directories had to be made."""
        if self.at(path).is_dir():
            return set()
        made = self._make_directory(str(Path(path).parent))
        self.at(path).mkdir(mode=0o755)
        return made | {path}

    def _write(self, path: str, file: File) -> None:
        # in one step: a daemon that runs has the old ones mapped
        target = self.at(path)
        new = target.with_name(f".{target.name}.new")
        new.write_bytes(file.content)
        new.chmod(file.mode)
        new.replace(target)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tell_host(prefix: str) -> None:
    """Makes systemd, journald and the bus read what was installed or removed; starts nothing."""
    sysusers = f"{prefix}/lib/sysusers.d/execwatchd.conf"
    if os.path.exists(sysusers):
        _run("systemd-sysusers", sysusers)
    _run("journalctl", "--update-catalog")
    if os.path.isdir("/run/systemd/system"):
        _run("systemctl", "daemon-reload")
    if os.path.exists("/run/dbus/system_bus_socket"):
        bus = "org.freedesktop.DBus"
        _run("busctl", "call", bus, "/org/freedesktop/DBus", bus, "ReloadConfig")


def _run(*command: str) -> None:
    """Says what failed, and goes on: the files are in place, and a reboot does the same."""
    if not shutil.which(command[0]):
        return
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        print(f"execwatchd: {' '.join(command)}: {said}", file=sys.stderr)


def _path(value: str) -> str:
    path = value.rstrip("/")
    if path and not re.fullmatch(r"(/[\w.+-]+)+", path):
        raise argparse.ArgumentTypeError(f"{value!r} must be an absolute path of letters, digits and ._+-")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("install", "uninstall", "list"))
    parser.add_argument("--destdir", type=str, default="")
    parser.add_argument("--prefix", type=_path, default="/usr/local")
    args = parser.parse_args()
    os.umask(0o022)
    tree, live = Tree(args.destdir.rstrip("/"), args.prefix), not args.destdir
    if args.verb == "list":
        print(*manifest(args.prefix), sep="\n")
        return
    try:
        if args.verb == "install":
            tree.at("/").mkdir(parents=True, exist_ok=True)
            tree.install(manifest(args.prefix))
            if live:  # a package's own installation does this for the interpreter that it finds
                tree.compile()
        else:
            if live and os.path.isdir("/run/systemd/system"):
                _run("systemctl", "disable", "--now", "execwatchd.service")
            tree.uninstall()
    except PermissionError as error:
        sys.exit(f"execwatchd: {error.filename}: {error.strerror}: use sudo, or a DESTDIR of your own")
    if live:
        tell_host(args.prefix)


if __name__ == "__main__":
    main()
