# SPDX-License-Identifier: GPL-2.0-or-later
"""A private system bus with the shipped policy; on it the service, callers of any UID, and a fake polkit."""

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from dbus_next.aio.message_bus import MessageBus
from dbus_next.auth import AuthExternal
from dbus_next.constants import MessageFlag, MessageType, NameFlag, RequestNameReply
from dbus_next.message import Message
from dbus_next.signature import Variant

from execwatchd.bus.authority import POLKIT
from execwatchd.bus.routes import INTERFACE, NAME, PATH, PROPERTIES_INTERFACE
from execwatchd.bus.service import BusService
from execwatchd.policy.configuration import Config
from execwatchd.policy.in_effect import InEffect
from execwatchd.policy.table import RuleTable
from tests.fakes.control import FakeMap, FakeStatus, state_store

REPOSITORY = Path(__file__).resolve().parents[2]
POLICY = REPOSITORY / "packaging/dbus/org.execwatch1.conf"

# Neither is root; both are in every /etc/passwd (daemon and bin), which dbus-daemon asks for.
ALICE, BOB = 1, 2

CAPACITY = 16  # UIDs that the table of a Service holds

OWN_ERROR, DBUS_ERROR = "org.execwatch1.Error.", "org.freedesktop.DBus.Error."

# The policy of /usr/share/dbus-1/system.conf; its limits are raised for a thousand clients of one user.
_CONFIG = """
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>
  <policy user="root">
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
  </policy>
  <limit name="max_connections_per_user">4096</limit>
  <limit name="max_completed_connections">8192</limit>
  <limit name="max_incomplete_connections">4096</limit>
  <include>{policy}</include>
</busconfig>
"""


class PrivateBus:
    """A dbus-daemon of our own, run as root so that it knows its callers' UIDs."""

    def __init__(self, directory: Path, policy: Path = POLICY) -> None:
        self._socket = directory / "bus"
        self._config = directory / "bus.conf"
        self._config.write_text(_CONFIG.format(socket=self._socket, policy=policy))
        self.address = f"unix:path={self._socket}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--print-address"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        assert self._process.stdout.readline()  # it listens now

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._socket.unlink()
            self._process = None


# What the launcher needs of a system: the journal's socket, and a system bus at its usual place, where it
# looks for systemd. It runs /usr/bin/dbus-broker, which packaging/bootstrap may have unpacked elsewhere ($2).
_BROKER = """
mount -t tmpfs none /run && mkdir -p /run/systemd/journal /run/dbus
ln -s "$1/journal" /run/systemd/journal/socket && ln -s "$1/bus" /run/dbus/system_bus_socket
[ ! -d "$2" ] || mount -t overlay -o "lowerdir=$2:/usr/bin" none /usr/bin
exec 3<&0 </dev/null
LISTEN_PID=$$ LISTEN_FDS=1 exec dbus-broker-launch --scope=system --config-file="$1/bus.conf"
"""
_UNPACKED = REPOSITORY / ".venv/dbus-broker/usr/bin"


class PrivateBroker(PrivateBus):
    """A dbus-broker of our own, in a mount namespace of its own."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._directory = directory
        self._log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        config = self._config.read_text()
        self._config.write_text(
            re.sub(r"  <limit .*\n", "", config)
        )  # it counts by bytes, and takes no others

    def start(self) -> None:
        self._log.bind(str(self._directory / "journal"))
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self._socket))
            self._socket.chmod(0o666)
            listening.listen(100)
            command = ["unshare", "--mount", "sh", "-ec", _BROKER, "sh", str(self._directory), str(_UNPACKED)]
            self._process = subprocess.Popen(command, stdin=listening.fileno(), text=True)
        while b"MESSAGE=Ready" not in self._log.recv(1 << 16):
            pass

    def stop(self) -> None:
        if self._process:
            self._process.terminate()  # and so ends the broker too
        super().stop()
        self._log.close()


class _ExternalAs(AuthExternal):
    def __init__(self, uid: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._uid = uid

    def _authentication_start(self, negotiate_unix_fd: bool = False) -> str:  # noqa: ARG002
        return f"AUTH EXTERNAL {str(self._uid).encode().hex()}"


class _PatientSocket:
    """What MessageBus writes to; left alone it takes a full socket for the end of the connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, data: memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0


class CallError(Exception):
    """An error reply."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class Client:
    """Somebody on the bus, by the library's own MessageBus: the daemon's code must not test itself."""

    def __init__(self, address: str, uid: int) -> None:
        self.uid = uid
        with _as_user(uid):  # the kernel notes who connects
            self.bus = MessageBus(address, auth=_ExternalAs(uid))
        self.bus._writer.sock = _PatientSocket(self.bus._sock)
        self.heard: list[tuple[str, list[Any]]] = []

    async def connect(self) -> "Client":
        await self.bus.connect()
        return self

    async def close(self) -> None:
        if self.bus.connected:
            self.bus.disconnect()
        with contextlib.suppress(OSError, EOFError):
            await self.bus.wait_for_disconnect()
        with contextlib.suppress(OSError):
            self.bus._stream.close()
        self.bus._sock.close()

    async def send(self, message: Message) -> list[Any]:
        """The values of the reply; raises CallError."""
        reply = await asyncio.wait_for(self.bus.call(message), 60)
        assert reply
        if reply.message_type is MessageType.ERROR:
            raise CallError(reply.error_name, reply.body[0])
        values: list[Any] = reply.body
        return values

    async def call(self, member: str, signature: str = "", *values: object, interactive: bool = False) -> Any:
        """A method of the Manager; gives back its one value, None if it has none."""
        flags = MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION if interactive else MessageFlag.NONE
        message = Message(NAME, PATH, INTERFACE, member, flags=flags, signature=signature, body=list(values))
        reply = await self.send(message)
        return reply[0] if reply else None

    async def get(self, name: str) -> Any:
        body = [INTERFACE, name]
        (value,) = await self.send(
            Message(NAME, PATH, PROPERTIES_INTERFACE, "Get", signature="ss", body=body)
        )
        return value.value

    async def set(self, name: str, value: object, signature: str = "s") -> None:
        body = [INTERFACE, name, Variant(signature, value)]
        await self.send(Message(NAME, PATH, PROPERTIES_INTERFACE, "Set", signature="ssv", body=body))

    async def refused(self, name: str, call: Awaitable[Any]) -> str:
        """The text of the error of this name that the call must get."""
        try:
            value = await call
        except CallError as error:
            if error.name == name:
                return error.text
            raise AssertionError(f"no {name} but {error}") from None
        raise AssertionError(f"no {name} but {value!r}")

    async def listen(self) -> None:
        """Keeps every signal of the object in `heard` from now on."""
        rule = f"type='signal',path='{PATH}'"
        bus = "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch"
        await self.send(Message(*bus, signature="s", body=[rule]))
        self.bus.add_message_handler(self._hear)

    def _hear(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and message.path == PATH:
            body = [{k: v.value for k, v in b.items()} if isinstance(b, dict) else b for b in message.body]
            self.heard.append((message.member, body))


@contextmanager
def _as_user(uid: int) -> Any:
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


Verdict = tuple[bool, bool]  # authorised, challenge
Script = Callable[[int, str, bool], Awaitable["Verdict | CallError"]]


class Polkit:
    """Owns polkit's name and answers by a script: of UID of the subject, action, interactive."""

    def __init__(self, client: Client, script: Script) -> None:
        self._client = client
        self.script = script
        self.asked: list[tuple[int, str, bool]] = []
        self.cancelled: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._client.bus.add_message_handler(self._handle)
        reply = await self._client.bus.request_name(POLKIT[0], NameFlag.DO_NOT_QUEUE)
        assert reply is RequestNameReply.PRIMARY_OWNER

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._client.close()

    def _handle(self, message: Message) -> bool | None:
        if message.path != POLKIT[1]:
            return None
        if message.member == "CancelCheckAuthorization":
            self.cancelled += message.body
            return True
        assert message.signature == "(sa{sv})sa{ss}us"
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _answer(self, message: Message) -> None:
        (kind, details), action, _details, flags, _cancellation = message.body
        assert kind == "system-bus-name"
        bus = "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus"
        ask = Message(*bus, "GetConnectionUnixUser", signature="s", body=[details["name"].value])
        (uid,) = await self._client.send(ask)
        self.asked.append((uid, action, bool(flags & 1)))
        verdict = await self.script(*self.asked[-1])
        if isinstance(verdict, CallError):
            reply = Message.new_error(message, verdict.name, verdict.text)
        else:
            reply = Message.new_method_return(message, "(bba{ss})", [[*verdict, {}]])
        await self._client.bus.send(reply)


class Rig:
    """The service on a private bus, with everything below it in this process."""

    def __init__(self, bus: PrivateBus, directory: Path) -> None:
        self.bus = bus
        self.kernel = FakeMap(64)
        self.status = FakeStatus()
        self.state = directory / "state.json"
        self.table = RuleTable(self.kernel, state_store(self.state))
        self.in_effect = InEffect()
        self.service = BusService(self.table, self.status, self.in_effect, address=bus.address)
        self._clients: list[Client] = []
        self._polkits: list[Polkit] = []

    async def client(self, uid: int = 0) -> Client:
        self._clients.append(Client(self.bus.address, uid))
        return await self._clients[-1].connect()

    async def polkit(self, script: Script) -> Polkit:
        polkit = Polkit(await Client(self.bus.address, 0).connect(), script)
        self._polkits.append(polkit)
        await polkit.start()
        return polkit

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        for polkit in self._polkits:
            await polkit.stop()
        await self.service.stop()

    async def settle(self) -> None:
        """Everything that was sent to the service before has been taken in, and all its tasks are done."""
        client = await self.client()
        await client.get("Version")
        await self.turns_taken()
        await until(lambda: not any(t.get_name().startswith("call of") for t in asyncio.all_tasks()))

    async def turns_taken(self) -> None:
        """No call waits for its turn."""
        await until(lambda: not self.service._dispatcher or not self.service._dispatcher.waiting)


@asynccontextmanager
async def serving(bus: PrivateBus, directory: Path, config: Config | None = None) -> AsyncIterator[Rig]:
    """A Rig that is on the bus."""
    rig = Rig(bus, directory)
    rig.table.apply_settings(config or Config())
    try:
        assert await rig.service.start()
        yield rig
    finally:
        await rig.close()


@asynccontextmanager
async def callers(address: str, *uids: int) -> AsyncIterator[list[Client]]:
    """A connected client for each of these UIDs."""
    clients: list[Client] = []
    try:
        for uid in uids:
            clients.append(Client(address, uid))
            await clients[-1].connect()
        yield clients
    finally:
        for client in clients:
            await client.close()


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that must come; the test's own limit is all the time there is."""
    while not condition():  # noqa: ASYNC110  the condition is another process's
        await asyncio.sleep(0.01)


def scratch() -> Path:
    """A directory that every user may pass through, unlike pytest's own."""
    directory = Path("/tmp", f"execwatchd-test-{secrets.token_hex(8)}")
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    return directory


class Service:
    """The service in a process of its own."""

    def __init__(self, bus: PrivateBus, directory: Path) -> None:
        self.state = directory / "state.json"
        self._log = directory / "log"
        command = [sys.executable, "-m", "tests.bus.service", bus.address, str(self.state), str(CAPACITY)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._line() == "ready\n", self.log()

    def report(self) -> dict[str, Any]:
        """Its memory in KiB, the kernel's map, and how many tasks it has."""
        self._process.send_signal(signal.SIGUSR1)
        report: dict[str, Any] = json.loads(self._line())
        return report

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.resume()
        self._process.terminate()
        self._process.communicate()

    def log(self) -> str:
        return self._log.read_text()

    def _line(self) -> str:
        assert self._process.stdout
        line: str = self._process.stdout.readline()
        return line
