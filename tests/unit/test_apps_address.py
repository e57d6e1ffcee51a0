"""Where outgoing events say that apps fetch a model from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.addresses import apps_address
from config.errors import UserError
from config.settings import load_settings
from daemon.mirroring.open import mirrors_of
from registry import promotion
from registry.store import Registry
from tests.support.registries import add_version


@pytest.mark.parametrize(
    ("serving", "address"),
    [
        ({"host": "127.0.0.1", "port": 8310}, "http://127.0.0.1:8310"),
        ({"host": "::1", "port": 8310}, "http://[::1]:8310"),
        ({"port": 0}, ""),
        ({"port": 0, "public_url": "https://models.example/news"}, "https://models.example/news"),
    ],
)
def test_a_promotion_tells_the_address_of_the_manifest(tmp_path: Path, serving: dict[str, Any], address: str) -> None:
    settings = load_settings(data_dir=tmp_path / "data", serving=serving)
    assert apps_address(settings.serving) == address
    with Registry.open(f"sqlite:///{tmp_path}/registry.db", apps_at=address) as registry:
        add_version(registry)
        promotion.promote_by_hand(registry, "topics/v1", actor="test", reason="better")
        (told,) = registry.outbox.pending()
    assert told.event["uri"] == f"{address}/v1/models/topics/v1/manifest"


@pytest.mark.parametrize("url", ["models.example", "https://ada:secret@models.example", "https://models.example/", "ftp://x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    for section in ({"serving": {"public_url": url}}, {"mlflow": {"url": url}}, {"hub": {"endpoint": url}}):
        with pytest.raises(UserError, match=r"url|endpoint"):
            load_settings(**section)


def test_a_mirror_is_there_where_a_server_is_named(tmp_path: Path) -> None:
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as registry:
        assert mirrors_of(load_settings(), registry, None) == {}
        named = {"url": "http://mlflow.example:5000", "token": "secret-word"}
        found = mirrors_of(load_settings(mlflow=named), registry, None)
        assert list(found) == ["mlflow"]
        found["mlflow"].close()
        assert mirrors_of(load_settings(mlflow={**named, "mirror": False}), registry, None) == {}
