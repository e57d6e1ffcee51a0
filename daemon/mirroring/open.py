"""Which registries of others the settings name."""

from __future__ import annotations

from collections.abc import Mapping

from config.settings import Settings
from daemon.mirroring.mirror import Mirror
from daemon.mirroring.mlflow import Access, Mlflow
from registry.store import Registry


def mirrors_of(settings: Settings, registry: Registry, fencing_token: int | None) -> Mapping[str, Mirror]:
    """Return the mirrors that are set up, by name; none by default."""
    wanted = settings.mlflow
    if not wanted.url or not wanted.mirror:
        return {}
    access = Access(wanted.url, wanted.username, wanted.password.get_secret_value(), wanted.token.get_secret_value())
    return {"mlflow": Mirror(Mlflow(access), registry, prefix=wanted.prefix, uri=registry.uri_of, fencing_token=fencing_token)}
