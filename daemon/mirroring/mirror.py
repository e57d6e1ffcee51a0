"""Brings an MLflow registry to what ours says: a registered model for each task, a version for each of ours, both aliases."""

from __future__ import annotations

import hashlib
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import structlog

from config.errors import RetryError
from daemon.mirroring.mlflow import MirrorRefusedError, Mlflow, ModelVersion
from registry.database.schema import CHAMPION, PREVIOUS
from registry.reports import cards
from registry.store import Registry
from registry.versions import Version

log = structlog.get_logger(__name__)

CHANNEL = "mirror: mlflow"
VERSION_TAG = "perennial.version"
URI_TAG = "perennial.uri"
COLLECTED_TAG = "perennial.files_removed_at"
_PAUSE_S = 1.0
_COMPARE_EVERY_S = 3_600.0
"""What no event tells (files that are removed, a server that was set up anew) is found within this time."""
_STEP_S = 15.0
"""A step ends after this, within a call or so, and the next one goes on."""
_FIRST_BACKOFF_S = 2.0
_LONGEST_BACKOFF_S = 300.0
_MOST_DOUBLED = 10
_BATCH = 100


class Mirror:
    """A side task that follows the outgoing events: they say that something changed, and all is compared then."""

    def __init__(
        self,
        server: Mlflow,
        registry: Registry,
        *,
        prefix: str,
        uri: Callable[[str], str],
        fencing_token: int | None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`uri` returns where apps fetch a version from."""
        self._server = server
        self._registry = registry
        self._prefix = prefix
        self._uri = uri
        self._token = fencing_token
        self._clock_s = clock_s
        self._waiting: deque[str] = deque()
        self._seen: int | None = None
        """The last event that `_waiting` covers; it is settled when nothing waits any more."""
        self._compared_at: float | None = None
        self._failures = 0

    def step(self) -> float:
        """Go on with what differs; return the seconds to wait. A server's trouble is logged and tried again, never raised.

        Raises `RetryError` when our registry does not answer, `StopError` when this process leads no longer.
        """
        if not self._waiting and not self._something_to_do():
            return _PAUSE_S
        ends = self._clock_s() + _STEP_S
        while self._waiting and self._clock_s() < ends:
            task = self._waiting[0]
            ours = self._registry.versions.list(task)
            aliases = {one.name: one.version for one in self._registry.versions.aliases(task)}
            try:
                if not self._bring(task, ours, aliases, ends):
                    return 0.0
            except RetryError as error:
                self._failures += 1
                wait_s = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(self._failures - 1, _MOST_DOUBLED))
                log.warning("mirror.retry", task=task, reason=str(error), attempt=self._failures, again_in_s=wait_s)
                return wait_s
            except (MirrorRefusedError, KeyError, TypeError, ValueError, AttributeError) as error:
                # A server of a version that answers otherwise than is read here is no reason to end.
                log.error(  # noqa: TRY400 - it explains itself
                    "mirror.refused", task=task, reason=str(error) or type(error).__name__,
                    next="this task is compared again at the next change, or within the hour; see docs/handing-on.md",
                )  # fmt: skip
            self._failures = 0
            self._waiting.popleft()
        if not self._waiting and self._seen is not None:
            self._registry.notices.settle(CHANNEL, self._seen, fencing_token=self._token)
            self._seen = None
        return 0.0 if self._waiting else _PAUSE_S

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def _something_to_do(self) -> bool:
        """Fill `_waiting` with the tasks to compare: those that events name, or all when that is due."""
        at = self._registry.notices.begin(CHANNEL, fencing_token=self._token)
        now, found = self._clock_s(), self._registry.outbox.after(at, _BATCH)
        if self._compared_at is None or now - self._compared_at >= _COMPARE_EVERY_S:
            self._compared_at = now
            tasks = sorted({one.task for one in self._registry.versions.list()})
        else:
            tasks = sorted({str(row.event["task"]) for row in found})
        self._waiting.extend(task for task in tasks if task not in self._waiting)
        self._seen = found[-1].id if found else None
        return bool(self._waiting)

    def _bring(self, task: str, ours: Sequence[Version], aliases: Mapping[str, str], ends: float) -> bool:
        """Bring a task's registered model to what ours says; return False when the time for a step is over."""
        if not ours:
            return True
        model = f"{self._prefix}{task}"
        pointing = self._server.aliases(model)
        if pointing is None:
            self._server.create_model(model, tags={"perennial.task": task}, description=f"The versions of {task} in Perennial.")
            pointing = {}
        theirs = self._versions_of(model)
        numbers: dict[str, str] = {}
        for version in sorted(ours, key=lambda one: one.number):
            if self._clock_s() >= ends:
                return False
            number = self._bring_version(model, version, theirs.get(version.name))
            if number is not None:
                numbers[version.name] = number
        for alias in (CHAMPION, PREVIOUS):
            wanted = numbers.get(aliases.get(alias, ""))
            if wanted is None and alias in pointing:
                self._server.delete_alias(model, alias)
            elif wanted is not None and pointing.get(alias) != wanted:
                self._server.set_alias(model, alias, wanted)
                log.info("mirror.alias_moved", model=model, alias=alias, version=aliases[alias])
        return True

    def _versions_of(self, model: str) -> dict[str, ModelVersion]:
        """Return what the server has of each of our versions."""
        found: dict[str, ModelVersion] = {}
        for one in self._server.versions(model):
            # Two leaders may have made one each, one after the other; the first stays.
            known = found.get(one.tags.get(VERSION_TAG, ""))
            if known is None or int(one.number) < int(known.number):
                found[one.tags.get(VERSION_TAG, "")] = one
        return found

    def _bring_version(self, model: str, version: Version, there: ModelVersion | None) -> str | None:
        """Return the number of a version over there; None for one whose files were gone before it was mirrored."""
        tags = self._tags_of(version)
        if there is not None:
            for key, value in tags.items():
                if there.tags.get(key) != value:
                    self._server.set_version_tag(model, there.number, key, value)
            return there.number
        if version.collected_at is not None:
            return None
        experiment = self._server.experiment(model)
        made_ms = int(version.created_at.timestamp() * 1000)
        run_id = self._server.run(experiment, (VERSION_TAG, version.name)) or self._server.create_run(
            experiment, version.name, tags={VERSION_TAG: version.name, "perennial.run": version.run_id}, began_ms=made_ms
        )
        params = {"seed": str(version.lineage.seed), "training_set": version.lineage.training_set_sha256}
        self._server.fill_run(run_id, metrics=metrics_of(version), params=params, at_ms=made_ms)
        number = self._server.create_version(
            model, f"perennial://{version.name}", run_id, tags, f"Perennial's {version.name}, by run {version.run_id}."
        )
        log.info("mirror.version_made", model=model, version=version.name, number=number)
        return number

    def _tags_of(self, version: Version) -> dict[str, str]:
        task = version.lineage.settings.get("task", {})
        found = {
            VERSION_TAG: version.name,
            "perennial.run": version.run_id,
            "perennial.parent": version.parent or "",
            "perennial.base": str(task.get("base_model", "")) if isinstance(task, Mapping) else "",
            "perennial.training_set_sha256": version.lineage.training_set_sha256,
            "perennial.manifest_sha256": version.manifest_sha256,
            URI_TAG: self._uri(version.name),
        }
        if version.collected_at is not None:
            found[COLLECTED_TAG] = version.collected_at.isoformat()
        return {key: value for key, value in found.items() if value}


def metrics_of(version: Version) -> dict[str, float]:
    """Return the finite figures of a version: its score and its opponent's, gain with bounds, slices, and effort."""
    found: dict[str, float] = {"size_bytes": float(version.size_bytes)}
    seen = cards.comparison_of(version)
    if seen is not None:
        found |= {
            seen.metric: seen.candidate_score, f"opponent_{seen.metric}": seen.champion_score, "gain": seen.gain,
            "gain_lower": seen.lower_bound, "gain_upper": seen.upper_bound, "test_rows": float(seen.rows),
        }  # fmt: skip
        found |= {f"{seen.metric}/{_metric_name(part.name)}": part.candidate_score for part in seen.slices}
    found |= {key: float(version.metrics[key]) for key in ("train_s", "score_s") if version.metrics.get(key)}
    return {key: value for key, value in found.items() if math.isfinite(value)}


def _metric_name(name: str) -> str:
    """Return a name with nothing but what MLflow allows in one; where that changes it, with a hash that tells it from others."""
    allowed = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_-") else "_" for sign in name)[:200]
    return allowed if allowed == name.replace(":", "_") else f"{allowed}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
