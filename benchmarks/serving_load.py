"""A load generator in its own process: closed-loop clients on keep-alive connections, bounded by a number of requests.

`python -m benchmarks.serving_load` reads one JSON order on standard input and prints one JSON result.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

_RETRY_S = 0.01
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Order:
    """What to send: `bodies` in turn, by `clients` at a time, `requests` in all."""

    host: str
    port: int
    path: str
    bodies: Sequence[str]
    requests: int
    clients: int


@dataclass
class Result:
    """What came back. Latencies of answered requests, in milliseconds; a failure is anything but a 200 with a JSON body."""

    requests: int = 0
    failures: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    requests_per_s: float = 0.0
    failed_with: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)


async def run(order: Order) -> Result:
    """Send everything and return what came back."""
    latencies: list[float] = []
    failed: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    numbers = iter(range(order.requests))

    async def client() -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for number in numbers:
            started = time.perf_counter()
            try:
                connection = connection or await asyncio.open_connection(order.host, order.port)
                status, body = await asyncio.wait_for(_post(order, number, *connection), _TIMEOUT_S)
                if status != 200:
                    failed[str(status)] += 1
                    continue
                versions[str(json.loads(body).get("version", ""))] += 1
                latencies.append(1000 * (time.perf_counter() - started))
            except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
                failed[type(error).__name__] += 1
                if connection is not None:
                    connection[1].close()
                connection = None
                await asyncio.sleep(_RETRY_S)
        if connection is not None:
            connection[1].close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(order.clients)))
    seconds = time.perf_counter() - began
    result = Result(
        requests=order.requests, failures=sum(failed.values()), requests_per_s=len(latencies) / seconds,
        failed_with=dict(failed), versions=dict(versions),
    )  # fmt: skip
    if latencies:
        result.p50_ms, result.p99_ms, result.max_ms = (float(np.percentile(latencies, share)) for share in (50, 99, 100))
    return result


async def _post(order: Order, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, bytes]:
    body = order.bodies[number % len(order.bodies)].encode()
    head = f"POST {order.path} HTTP/1.1\r\nHost: {order.host}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    answer = await reader.readexactly(int(headers["content-length"]))
    if headers.get("connection") == "close":
        message = "the server closed the connection"
        raise ConnectionError(message)
    return int(lines[0].split(" ")[1]), answer


def main() -> None:
    """Do what standard input orders."""
    order: dict[str, Any] = json.load(sys.stdin)
    print(json.dumps(asdict(asyncio.run(run(Order(**order))))))


if __name__ == "__main__":
    main()
