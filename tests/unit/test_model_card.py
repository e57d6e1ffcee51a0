"""The card of a version as it is handed on: what the Hub reads of it, and what strangers must not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from daemon.mirroring.mirror import _metric_name, metrics_of
from daemon.operations.handing.licences import _as_hubs_write
from perennial_artifact.description import Description, Input
from registry.reports.model_card import UNKNOWN, Handed, readme
from registry.reports.strangers import is_on_a_hub, known_as
from registry.store import Registry
from tests.support.registries import LINEAGE, TASK, Clock
from trainers.compare.comparison import Comparison
from trainers.compare.parts.slices import Slice

COMPARISON = Comparison(
    task=TASK, metric="macro_f1", candidate_run="r", champion_version=f"{TASK}/v1", opponent=f"{TASK}/v1", rows=640, stories=500,
    champion_score=0.61, candidate_score=0.68, gain=0.07, confidence=0.95, lower_bound=0.031, upper_bound=0.104,
    standard_error=0.02, p_equal=0.001, discordant=0.1, required_gain=0.0305, required_rows=400,
    slices=(
        Slice(name="newest", rows=200, champion_score=0.5, candidate_score=0.63),
        Slice(name="language:sv", rows=90, champion_score=0.5, candidate_score=0.41),
        Slice(name="language:en", rows=400, champion_score=0.5, candidate_score=0.71),
    ),
)  # fmt: skip
DESCRIBED = Description(
    "classification", "transformer", "sentence-classification", "newsroom/base", ("SPORT", "MARKETS"), Input(max_tokens=128),
    {"transformers": "5.23.0"},
)  # fmt: skip
HANDED = Handed(DESCRIBED, "sentence-transformers", "sentence-transformers", "apache-2.0", "newsroom/base", "print(1)")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(f"sqlite:///{tmp_path}/registry.db", clock=Clock()) as found:
        for number, parent in ((1, None), (2, f"{TASK}/v1")):
            found.versions.add(
                TASK, number, run_id=f"run-{number}", artifact_id=f"{TASK}/v{number}-0", manifest_sha256="0" * 64,
                size_bytes=2**20, parent=parent, lineage=LINEAGE, learnt=["secret-row"],
                metrics={"comparison": COMPARISON.model_dump(mode="json"), "contradicted": {
                    "rows": 1, "judged": 5, "weight": 0.5, "strongest": ["secret-row"],
                }},
            )  # fmt: skip
        yield found


def test_the_hub_reads_languages_licence_base_and_scores(registry: Registry) -> None:
    found = ModelCard(readme(registry, f"{TASK}/v2", HANDED)).data.to_dict()
    assert found["language"] == ["en", "sv"]
    assert (found["license"], found["base_model"], found["pipeline_tag"]) == (
        "apache-2.0",
        "newsroom/base",
        "text-classification",
    )
    (index,) = found["model-index"]
    assert index["results"][0]["metrics"][0]["value"] == pytest.approx(0.68)


def test_it_names_ancestors_limits_and_the_weakest_part_and_no_row(registry: Registry) -> None:
    text = readme(registry, f"{TASK}/v2", HANDED)
    assert f"`{TASK}/v1`" in text
    assert "128 tokens" in text
    assert "`language:sv`" in text
    assert "secret-row" not in text


def test_what_nobody_knows_is_said(registry: Registry) -> None:
    handed = replace(HANDED, licence=UNKNOWN, base_id="/home/ada/models/ours")
    text = readme(registry, f"{TASK}/v2", handed)
    assert ModelCard(text).data.license == "unknown"
    assert "/home/ada" not in text
    assert "ours" in text


def test_a_mirror_has_the_scores_and_those_of_each_part(registry: Registry) -> None:
    found = metrics_of(registry.versions.get(f"{TASK}/v2"))
    assert found["macro_f1"] == 0.68
    assert found["opponent_macro_f1"] == 0.61
    assert found["macro_f1/language_sv"] == 0.41


@pytest.mark.parametrize("name", ["/home/ada/models/ours", "models/deep/ours", "C:\\models\\ours", "./ours", "~/ours"])
def test_strangers_see_the_last_part_of_a_path(name: str) -> None:
    assert known_as(name) == "ours"


def test_strangers_see_versions_and_models_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_as("news-topics/v12") == "news-topics/v12"
    assert (known_as("kb/bert-base"), is_on_a_hub("kb/bert-base")) == ("kb/bert-base", True)
    (tmp_path / "kb" / "bert-base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert (known_as("kb/bert-base"), is_on_a_hub("kb/bert-base")) == ("bert-base", False)


def test_each_part_has_a_name_of_its_own_in_a_mirror() -> None:
    names = [_metric_name(name) for name in ("label:спорт", "label:наука", "label:US/", "label:US", "label:a.b", "label:a b")]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in names)
    assert _metric_name("label:US") == "label_US"


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("CC BY-SA 4.0", "cc-by-sa-4.0"), ("GNU GPL 3.0", "gpl-3.0"), ("LGPL-LR", "lgpl-lr"), ("MIT", "mit"),
        ("Apache License 2.0", "apache-2.0"), ("apache-2.0", "apache-2.0"),
    ],
)  # fmt: skip
def test_a_licence_is_written_as_hubs_write_it(said: str, written: str) -> None:
    assert _as_hubs_write(said) == written
