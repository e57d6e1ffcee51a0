"""A process that publishes: `LOG TOPIC NAME EVENTS FLUSH_EVERY`, LOG a file or `kafka:HOST:PORT`; tells what is durable."""

from __future__ import annotations

import hashlib
import os
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, os.fspath(Path(__file__).parents[2]))
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.kafka.log import KafkaLog


def payload(name: str, number: int, size: int = 0) -> bytes:
    """Return `NAME-NUMBER`, or that with filling and a checksum at the end when a size is wished."""
    head = f"{name}-{number}".encode()
    if not size:
        return head
    body = head + b" " + b"." * size
    return body + hashlib.sha256(body).digest()


def main() -> None:
    path, topic, name, events, flush_every = sys.argv[1:6]
    size = int(sys.argv[6]) if len(sys.argv) > 6 else 0
    servers = path.removeprefix("kafka:")
    log = EmbeddedLog(Path(path), retention=timedelta(days=1)) if servers == path else KafkaLog([servers])
    sink = log.sink()
    for number in range(int(events)):
        sink.publish(topic, payload(name, number, size), key=name.encode())
        if (number + 1) % int(flush_every) == 0:
            sink.flush()
            sys.stdout.write(f"{number + 1}\n")
            sys.stdout.flush()
    sink.close()


if __name__ == "__main__":
    main()
