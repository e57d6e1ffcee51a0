"""How long until a standby leads after its leader was killed, with the shipped lease and with a short one.

Measured from SIGKILL to the standby's `daemon.started`, when its side tasks run, and to the first event that it has stored
durably. What would be picked instead is a supervisor that restarts a killed daemon: its time stands beside.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.kafka_broker import kafka_sections
from daemon.demo.installation import Installation
from tests.support.daemons import Second, give_champion, installation, make_models, send, stored_ids, wait_until


def main() -> None:
    """Read the arguments, kill, report."""
    arguments = report.parser(__doc__ or "").parse_args()
    rounds = 2 if arguments.quick else 10
    with tempfile.TemporaryDirectory() as folder:
        models = make_models(Path(folder) / "models")
        lease_s = Installation(Path(folder) / "shipped").settings.registry.lease_s
        with kafka_sections(Path(folder) / "broker") as sections:
            through_kafka = _seconds(
                Path(folder) / "kafka", models, rounds, lease_s=lease_s, kafka=sections["kafka"]["bootstrap_servers"]
            )
        results = {
            "rounds": rounds,
            f"standby, lease {lease_s:g} s (shipped)": _seconds(Path(folder) / "shipped", models, rounds, lease_s=lease_s),
            "the same through Kafka": through_kafka,
            "standby, lease 2 s": _seconds(Path(folder) / "short", models, rounds, lease_s=2.0),
            "no standby, restarted at once, lease 2 s": _seconds(
                Path(folder) / "restarted", models, rounds, lease_s=2.0, standby=False
            ),
        }
    report.write("takeover", arguments, results, arguments.json)


def _seconds(
    folder: Path,
    models: Path,
    rounds: int,
    *,
    lease_s: float,
    standby: bool = True,
    kafka: str = "",
) -> dict[str, Any]:
    """Kill one leader after the other; return medians and the worst. `kafka` is the address of a cluster to use."""
    daemon = installation(folder, models, kafka=kafka, registry={"lease_s": lease_s})
    give_champion(daemon)
    leads: list[float] = []
    stores: list[float] = []
    leader = Second(daemon, "leader-0")
    leader.wait_for("daemon.started")
    for number in range(1, rounds + 1):
        successor = Second(daemon, f"leader-{number}") if standby else None
        if successor is not None:
            successor.wait_for("daemon.standby")
        # A kill at any point of the lease's renewal.
        time.sleep(0.37 * number % (lease_s / 3))
        killed_at = time.monotonic()
        leader.process.kill()
        leader.process.wait()
        successor = successor or Second(daemon, f"leader-{number}")
        sent = set(send(daemon, 4, prefix=f"{number}-"))
        successor.wait_for("daemon.started")
        leads.append(time.monotonic() - killed_at)
        wait_until(lambda sent=sent: sent <= set(stored_ids(daemon)))  # type: ignore[misc]
        stores.append(time.monotonic() - killed_at)
        leader = successor
    leader.stop()
    return _summary("leads", leads) | _summary("stores", stores)


def _summary(name: str, seconds: Sequence[float]) -> dict[str, float]:
    return {f"{name}_median_s": statistics.median(seconds), f"{name}_worst_s": max(seconds)}


if __name__ == "__main__":
    main()
