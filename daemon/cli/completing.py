"""What the shell proposes for arguments: tasks, versions and runs. It answers at once, and proposes nothing where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from config import glance

Complete = Callable[[str], list[str]]


def tasks(incomplete: str) -> list[str]:
    """Return the tasks whose names begin like this."""
    return _beginning(incomplete, glance.task_names)


def versions(incomplete: str) -> list[str]:
    """Return the versions whose names begin like this, the newest first."""
    from registry.glance import version_names  # noqa: PLC0415 - only this needs SQLite

    return _beginning(incomplete, lambda: version_names(_registry_file()))


def runs(incomplete: str) -> list[str]:
    """Return the runs whose ids begin like this, the newest first."""
    from registry.glance import run_ids  # noqa: PLC0415 - only this needs SQLite

    return _beginning(incomplete, lambda: run_ids(_registry_file()))


def repeatable(incomplete: str) -> list[str]:
    """Return the versions and runs whose names begin like this."""
    return [*versions(incomplete), *runs(incomplete)]


def _registry_file() -> Path:
    url = glance.setting("registry.url", "")
    # A registry on a server is not asked: the shell would wait for it.
    return Path(url.removeprefix("sqlite:///")) if url else glance.data_dir() / "registry.db"


def _beginning(incomplete: str, names: Callable[[], list[str]]) -> list[str]:
    try:
        return [name for name in names() if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - the edge of a process that must leave the shell's line as it is
        return []
