"""Starts a real Apache Kafka (KRaft) on a free loopback port: `python -m tests.kafka.broker [--port N] [--folder DIR]`.

The broker's jars come by Maven (`pom.xml` beside this file) into `.kafka/lib` of the checkout, once.
"""

from __future__ import annotations

import argparse
import base64
import functools
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from filelock import FileLock

from tests.support.processes import freeze

HERE = Path(__file__).parent
LIBRARY = HERE.parents[1] / ".kafka" / "lib"
_FORMATTED = LIBRARY / "formatted"
_BOOTSTRAP = "bootstrap.checkpoint"
_OLDEST_JAVA = 17
_START_LIMIT_S = 90.0
_STOP_LIMIT_S = 20.0
# Small: one replica of everything unless asked for more, and a rebalance need not wait for members that may yet come. Topics
# that are asked for are made, as Kafka's own default is: our clients must not ask for that. A killed one is let in
# again when the controller has counted it out: after three seconds, not nine.
_PROPERTIES = """
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voter}@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={logs}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.min.session.timeout.ms=1000
message.max.bytes=67108864
"""
# A broker that lives for seconds never earns back what the JVM's optimising compiler costs it.
_QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
# One more broker for the cluster of another: it votes for no controller.
_JOINING = """
process.roles=broker
listeners=PLAINTEXT://127.0.0.1:{port}
"""


class MissingError(Exception):
    """What a broker needs is not on this machine."""


class Broker:
    """One running broker; stopping it keeps its data, so that it can be started again on the same port."""

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        properties: str = "",
        scram: str = "",
        joins: Broker | None = None,
        jvm: Sequence[str] = _QUICK_START,
    ) -> None:
        """`properties` win over the broker's own and may name `{port}`; `scram` is a user to make, as StorageTool takes it.

        `joins`: the broker, started before, of whose cluster this one becomes a part; that one stays the only controller.
        `jvm`: options of its Java; none for what is measured.
        """
        self.folder = folder
        self.port = port or free_port()
        self.node: int = joins.node + 1 if joins else 1
        self._voter: int = joins._voter if joins else self.node
        self._extra_properties = (_JOINING if joins else "") + properties
        self._scram = scram
        self._controller: int = joins._controller if joins else free_port()
        self._cluster_id: str = joins._cluster_id if joins else _new_cluster_id()
        self._jvm = tuple(jvm)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where clients connect: host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def runs(self) -> bool:
        """Whether its process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_file(self) -> Path:
        """What the broker says."""
        return self.folder / "broker.log"

    def start(self) -> Self:
        """Format the storage the first time, start, and return when the broker takes connections."""
        properties = self.folder / "server.properties"
        if not properties.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            written = _written(
                _PROPERTIES + self._extra_properties, port=self.port, controller=self._controller, logs=self.folder / "logs",
                node=self.node, voter=self._voter,
            )  # fmt: skip
            properties.write_text(written)
            if self._scram:
                _format(properties, self._cluster_id, "--add-scram", self._scram)
            else:
                _copy_format(self.folder / "logs", self._cluster_id, self.node)
        with self.log_file.open("ab") as log:
            said_before = log.tell()
            self._process = subprocess.Popen(
                _command(["kafka.Kafka", str(properties)], self._jvm),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        deadline = time.monotonic() + _START_LIMIT_S
        while b"Kafka Server started" not in self.log_file.read_bytes()[said_before:]:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                message = f"the broker did not start; the end of {self.log_file}:\n{self.log_file.read_text()[-3000:]}"
                raise RuntimeError(message)
            time.sleep(0.1)
        return self

    def stop(self) -> None:
        """End the broker politely."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker as a crash would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the broker's process where it stands: connections stay open and nothing answers."""
        assert self._process is not None
        freeze(self._process)

    def thaw(self) -> None:
        """Let a frozen broker go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait until the broker has ended."""
        assert self._process is not None
        return self._process.wait()

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None


def free_port() -> int:
    """Return a loopback port that nobody uses now, below those that outgoing connections get: a killed broker finds it free."""
    for port in random.sample(range(20_000, 32_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    message = "a hundred ports were tried and none was free"
    raise RuntimeError(message)


def resolve_jars() -> None:
    """Bring the broker's jars here by Maven unless they are. Raises `MissingError` without Java 17 or Maven."""
    if _java_version() < _OLDEST_JAVA:
        message = f"Apache Kafka needs Java {_OLDEST_JAVA} or newer on PATH. Debian: apt-get install -y default-jre-headless"
        raise MissingError(message)
    LIBRARY.parent.mkdir(exist_ok=True)
    with FileLock(LIBRARY.parent / "lock"):
        complete = LIBRARY.parent / "complete"
        pom = (HERE / "pom.xml").read_text()
        if complete.exists() and complete.read_text() == pom:
            return
        if shutil.which("mvn") is None:
            message = "Maven is not here (no `mvn` on PATH) to fetch the broker's jars with. Debian: apt-get install -y maven"
            raise MissingError(message)
        shutil.rmtree(LIBRARY, ignore_errors=True)
        command = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies", f"-DoutputDirectory={LIBRARY}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            message = f"Maven could not fetch the broker's jars: {(done.stdout + done.stderr)[-2000:]}"
            raise MissingError(message)
        complete.write_text(pom)


@functools.cache
def _java_version() -> int:
    """Return the major version of `java` on PATH, 0 when there is none."""
    if shutil.which("java") is None:
        return 0
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', told)
    return int(found[1]) if found else 0


def _command(arguments: list[str], jvm: Sequence[str] = _QUICK_START) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
    return ["java", "-Xms256m", "-Xmx1g", *jvm, logging, "-cp", f"{LIBRARY}/*", *arguments]


def _written(properties: str, **values: object) -> str:
    for name, value in values.items():
        properties = properties.replace(f"{{{name}}}", str(value))
    return properties


def _format(properties: Path, cluster_id: str, *options: str) -> None:
    """Format the storage that `properties` name with Kafka's own tool."""
    _java(["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties), *options])


def _copy_format(logs: Path, cluster_id: str, node: int) -> None:
    """Format a storage as the tool does. It is a second Java, as dear as the broker: so it is asked once for these jars."""
    with FileLock(LIBRARY.parent / "lock"):
        if not (_FORMATTED / _BOOTSTRAP).exists():
            with tempfile.TemporaryDirectory() as folder:
                properties = Path(folder) / "server.properties"
                properties.write_text(_written(_PROPERTIES, port=1, controller=2, logs=f"{folder}/logs", node=1, voter=1))
                _format(properties, _new_cluster_id())
                shutil.copytree(Path(folder) / "logs", _FORMATTED, dirs_exist_ok=True)
    logs.mkdir()
    shutil.copy(_FORMATTED / _BOOTSTRAP, logs)
    lines = {"version": 1, "cluster.id": cluster_id, "node.id": node, "directory.id": _new_cluster_id()}
    (logs / "meta.properties").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))


def _java(arguments: list[str]) -> None:
    done = subprocess.run(_command(arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{arguments[0]} failed: {(done.stdout + done.stderr)[-2000:]}"
        raise RuntimeError(message)


def _new_cluster_id() -> str:
    """Return 22 characters as Kafka makes them; the alphabet has a dash, and the tool would take a leading one for an option."""
    return "K" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]


def main() -> None:
    """Run a broker until Ctrl-C; its data goes with it unless a folder is named."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--port", type=int, default=0, help="0: a free one")
    arguments.add_argument("--folder", type=Path, help="keep the broker's data here")
    chosen = arguments.parse_args()
    try:
        resolve_jars()
    except MissingError as error:
        sys.exit(str(error))
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="kafka-"))
    broker = Broker(folder, chosen.port).start()
    sys.stdout.write(f"Apache Kafka answers at {broker.address} (data in {folder}). Ctrl-C ends it.\n")
    sys.stdout.flush()
    # A handler must not wait for what the main thread waits for.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        broker.wait()
    except KeyboardInterrupt:
        broker.stop()
    finally:
        if chosen.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
