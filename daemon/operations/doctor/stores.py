"""Checks of what is stored: event log, registry, buffer, champions, dead letters."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from config.errors import PerennialError
from config.settings import Settings
from config.tasks import TaskSpec
from config.words import counted
from daemon.operations.doctor.finding import Finding
from daemon.operations.doctor.reading import has_registry, open_registry


def event_log(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    """Open the event log."""
    if settings.events.backend == "kafka":
        return _kafka(settings)
    if not settings.event_log_file.exists():
        return Finding("event log", "ok", "none yet (made at the first run)")
    from consumers.log.open import open_event_log  # noqa: PLC0415 - loaded only where it is checked
    from daemon.flow.groups import CONSUMERS  # noqa: PLC0415

    try:
        log = open_event_log(settings)
        with contextlib.closing(log):
            held = {topic: log.kept(topic) for topic in CONSUMERS.values()}
    except PerennialError as error:
        return Finding("event log", "problem", str(error), "restore the file from a backup, or move it away to start a new log")
    counts = ", ".join(f"{topic.removeprefix('perennial.')} {count}" for topic, count in held.items() if count)
    return Finding("event log", "ok", f"events kept: {counts or 'none'}")


def _kafka(settings: Settings) -> Finding:
    from consumers.events import schemas as events  # noqa: PLC0415 - loaded only where it is checked
    from consumers.log.kafka import topics  # noqa: PLC0415 - same

    try:
        states = topics.describe(settings)
    except PerennialError as error:
        return Finding("event log", "problem", str(error), "start the broker, or fix [kafka] in perennial.toml")
    if missing := [name for name in events.TOPICS if name not in {state.name for state in states}]:
        return Finding("event log", "problem", f"topics missing: {', '.join(missing)}", "run `perennial topics create`")
    if stale := [f"{state.name}: {', '.join(state.differs)}" for state in states if state.differs]:
        return Finding("event log", "warning", "; ".join(stale), "run `perennial topics create --update`")
    if settings.events.retention_days * 24 > settings.erasure.limit_hours:
        found = (
            f"topics keep events for {settings.events.retention_days:g} days, erased ones too: longer than erasure.limit_hours"
        )
        remedy = (
            "set events.retention_days below erasure.limit_hours and run `perennial topics create --update`, or raise the limit"
        )
        return Finding("event log", "warning", found, remedy)
    return Finding("event log", "ok", f"Kafka at {', '.join(settings.kafka.servers)}, {len(states)} topics")


def registry(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    """Open the registry, and say which daemon leads."""
    if not has_registry(settings):
        return Finding("registry", "ok", "none yet (made at the first run)")
    from daemon.process import leader  # noqa: PLC0415 - loaded only where it is checked

    try:
        with open_registry(settings) as registry:
            leads = leader.of(registry)
    except PerennialError as error:
        return Finding("registry", "problem", str(error), "install the version that wrote it, or restore it from a backup")
    if leads.holder:
        return Finding("registry", "ok", f"led by {leads.holder}")
    if leads.gone_since is None:
        return Finding("registry", "ok", "readable; no daemon has run yet")
    gone = f"readable; no daemon has run since {leads.gone_since:%Y-%m-%d %H:%M} UTC"
    return Finding(
        "registry", "warning", gone, "start one with `perennial run`; until then no event is read and no model is trained"
    )


def buffer(settings: Settings, tasks: Mapping[str, TaskSpec]) -> Finding:
    """Open the buffer."""
    if not settings.buffer_dir.exists():
        return Finding("buffer", "ok", "none yet (made at the first run)")
    from consumers.buffer.open import open_reader  # noqa: PLC0415 - heavy

    try:
        buffer = open_reader(settings.buffer_dir, tasks=tasks)
        with contextlib.closing(buffer):
            counts = buffer.table_counts()
    except (PerennialError, OSError, ValueError, RuntimeError) as error:
        # LanceDB reports a torn table by any of these; a daemon's start repairs what can be repaired.
        return Finding("buffer", "problem", str(error), "start the daemon, which repairs it, or restore a backup")
    return Finding("buffer", "ok", ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "empty")


def champions(settings: Settings, tasks: Mapping[str, TaskSpec]) -> Finding:
    """Verify every file of every champion."""
    if not has_registry(settings):
        return Finding("champions", "ok", "none yet")
    from registry.artifacts.open import open_store  # noqa: PLC0415 - loaded only where it is checked

    artifacts = open_store(settings.artifacts_dir)
    names = []
    try:
        with open_registry(settings) as registry:
            champions = [registry.versions.champion(task) for task in tasks]
            versions = [registry.versions.get(champion.version) for champion in champions if champion is not None]
    except PerennialError as error:
        return Finding("champions", "problem", f"not checked: {error}", "fix the registry first")
    for version in versions:
        try:
            artifacts.fetch(version.artifact_id, version.manifest_sha256)
        except PerennialError as error:
            remedy = f"`perennial models rollback {version.task}`, or restore the artifact from a backup"
            return Finding("champions", "problem", f"{version.name}: {error}", remedy)
        names.append(version.name)
    return Finding("champions", "ok", f"{', '.join(names)}: all files verified" if names else "none yet")


def dead_letters(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    """Count the events that could not be used."""
    if not settings.dead_letter_file.exists():
        return Finding("dead letters", "ok", "none")
    from consumers.dead_letters.store import DeadLetters  # noqa: PLC0415 - loaded only where it is checked

    try:
        with contextlib.closing(DeadLetters(settings.dead_letter_file)) as letters:
            count = letters.count()
    except PerennialError as error:
        return Finding("dead letters", "problem", str(error), "restore the file from a backup, or move it away")
    if count:
        found = f"{counted(count, 'event')} could not be used"
        return Finding("dead letters", "warning", found, "`perennial dlq list` says why")
    return Finding("dead letters", "ok", "none")
