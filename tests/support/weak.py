"""Task files with rules, and texts for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from config.tasks import TaskSpec
from consumers.events.schemas import content_sha256
from consumers.labelling.weak.texts import GoldText, Texts, WeakText

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
SPORT = {"name": "games", "label": "sport", "words": ["match*", "cup final"], "regex": [r"\b\d+-\d+\b"]}
MONEY = {"name": "money", "label": "economy", "words": {"en": ["rates", "inflation"], "sv": ["ränta*"]}}


def task(*rules: dict[str, Any], kind: str = "classification", weak: dict[str, Any] | None = None, **more: Any) -> TaskSpec:
    """A task of a kind with these rules; without any those of sport and money."""
    metric = {"classification": "macro_f1", "multilabel": "macro_f1", "signals": "signal_score", "ner": "entity_f1"}[kind]
    base = {"base_model": "blank:en", "backend": "spacy"} if kind == "ner" else {"base_model": "minilm", "backend": "transformer"}
    content = {
        "name": "mine", "kind": kind, "labels": "open", "promotion": {"metric": metric}, **base,
        "weak_labels": {"rules": list(rules) if rules or kind == "signals" else [SPORT, MONEY], **(weak or {})}, **more,
    }  # fmt: skip
    return TaskSpec.model_validate(content)


def text(content: str, **more: Any) -> WeakText:
    """A text of an article."""
    return WeakText(content_sha256(content), content, NOW, **more)


def texts(
    *contents: str | WeakText,
    gold: dict[str, Any] | None = None,
    answers: dict[str, dict[str, Any]] | None = None,
    clusters: dict[str, int] | None = None,
) -> Texts:
    """Texts without a label; with `gold` those that people labelled: text -> target; `answers`: version -> text -> answer."""
    found = [one if isinstance(one, WeakText) else text(one) for one in contents]
    people = [GoldText(text(content), target) for content, target in (gold or {}).items()]
    said = {version: {content_sha256(one): answer for one, answer in of.items()} for version, of in (answers or {}).items()}
    alike = {content_sha256(one): number for one, number in (clusters or {}).items()}
    return Texts(found, people, labelled=0, unenriched=0, answers=said, clusters=alike)


def hours(number: float) -> timedelta:
    """So many hours."""
    return timedelta(hours=number)
