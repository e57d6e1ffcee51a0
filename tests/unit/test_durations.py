"""Durations in settings and task files: none that is accepted is longer than what a clock can add."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from config.clock import utc_now
from config.settings import Settings, load_settings
from config.task_files.sections.due import Refresh, Trigger

UNITS = {"_s": "seconds", "_minutes": "minutes", "_hours": "hours", "_days": "days"}
SECTIONS = {name: field.annotation for name, field in Settings.model_fields.items() if hasattr(field.annotation, "model_fields")}
KEYS = [
    (section, key)
    for section, model in {**SECTIONS, "trigger": Trigger, "refresh": Refresh}.items()
    for key in model.model_fields  # type: ignore[union-attr]  # those without were left out
    if any(key.endswith(unit) for unit in UNITS) and not key.endswith(("per_s", "_in", "_out"))
]


def bound(section: str, key: str) -> tuple[TypeAdapter[Any], float]:
    """Return what reads a key's value, and the longest that it takes."""
    model: Any = {**SECTIONS, "trigger": Trigger, "refresh": Refresh}[section]
    field = model.model_fields[key]
    given = [*field.metadata, *(one for part in field.metadata for one in getattr(part, "metadata", ()))]
    return TypeAdapter(field.rebuild_annotation()), min(one.le for one in given if getattr(one, "le", None) is not None)


def test_there_are_keys_of_every_unit() -> None:
    assert {unit for unit in UNITS if any(key.endswith(unit) for _section, key in KEYS)} == set(UNITS)


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_the_longest_can_be_added_to_now(section: str, key: str) -> None:
    reader, longest = bound(section, key)
    unit = next(name for ending, name in UNITS.items() if key.endswith(ending))
    whole: Any = int if reader.core_schema["type"] == "int" else float
    span = timedelta(**{unit: reader.validate_python(whole(longest))})
    now = utc_now()
    assert now - span < now < now + span
    for value in (float("inf"), float("nan"), longest * 10):
        with pytest.raises(ValidationError):
            reader.validate_python(value)


@pytest.mark.parametrize(
    ("section", "key"), [("ingest", "future_tolerance_s"), ("buffer", "keep_versions_hours"), ("schedule", "check_interval_s")]
)
def test_no_setting_without_end_is_read(section: str, key: str) -> None:
    with pytest.raises(Exception, match=key):
        load_settings(**{section: {key: float("inf")}})
