"""What the demo says of a run that is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.demo import wording
from daemon.demo.watching import Seen
from daemon.views.models.comparison import Comparison, Scale
from daemon.views.models.runs import Ended, Kind

COMPARED = Comparison(
    metric="macro_f1", scale=Scale(title="macro F1"), opponent="desk/v1", champion_version="desk/v1", rows=210,
    champion_score=0.6, candidate_score=0.9, gain=0.3, lower_bound=0.21, confidence=0.95,
)  # fmt: skip


def ended(comparison: Comparison | None, *, verdict: str = "promote", kind: Kind = "incremental") -> Ended:
    return Ended.model_validate(
        {
            "run_id": "desk-2", "kind": kind, "trigger": "60 new examples", "erased_at": None, "finished_at": None,
            "state": "decided", "verdict": verdict, "reasons": ("too few rows",), "error": None, "version": "desk/v2",
            "comparison": comparison,
        }
    )  # fmt: skip


def words(parts: object) -> str:
    return "".join(part if isinstance(part, str) else part[0] for part in parts)  # type: ignore[attr-defined]  # an iterable


def test_a_comparison_says_both_scores_on_how_many_rows_and_the_sure_part(tmp_path: Path) -> None:
    said = words(wording.compared(ended(COMPARED), tmp_path))
    for part in ("desk/v2", "desk/v1", "210", "0.90", "0.60", "+50 %", "95%", "21 points"):
        assert part in said


def test_a_first_model_is_set_beside_the_baseline() -> None:
    first = COMPARED.model_copy(update={"opponent": "baseline: most frequent label", "champion_version": None})
    said = words(wording.first(ended(first)))
    assert "0.90" in said
    assert "most frequent label" in said


@pytest.mark.parametrize("say", [wording.first, lambda run: wording.decided(run, "desk/v1")])
def test_what_is_not_promoted_is_told_with_its_reasons(say: object) -> None:
    said = words(say(ended(None, verdict="insufficient_evidence")))  # type: ignore[operator]  # one of the two
    assert "undecided" in said
    assert "too few rows" in said


def test_a_run_counts_for_the_champion_it_was_compared_with() -> None:
    slow, refresh = ended(COMPARED), ended(COMPARED, kind="refresh")
    seen = Seen("desk", "desk/v2", None, (refresh, slow))
    assert seen.ended_after("desk/v1") is slow
    assert seen.ended_after("desk/v1", refresh=True) is refresh
    assert seen.ended_after("desk/v2") is None
    assert seen.trained_for("desk/v1")
    assert not seen.trained_for("desk/v2")
