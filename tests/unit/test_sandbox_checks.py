"""What the sandbox finds of a candidate that it has opened, and what then becomes of the gate's decision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.errors import UserError
from config.settings import load_settings
from daemon.notifications.notice import notice_of
from daemon.serving.sandbox import examining
from daemon.serving.sandbox.checks import WrongError, differences
from daemon.training.sandbox.order import Asked, Findings, Order
from daemon.training.sandbox.step import judged
from daemon.training.sandbox.texts import ODD
from registry import promotion
from registry.judging import gate
from tests.support import sandboxed_format
from tests.support.cycles import NAME, PassesAll, World, better, task

SETTINGS = load_settings(training={"device": "cpu", "precision": "fp32", "threads": 1})
TEXTS = [f"text {'x' * number}" for number in range(20)]
REFUSED = Findings(outcome="failed", reason="it hangs", scope="model")


def found_of(folder: Path, how: str, *, name: str = sandboxed_format.FORMAT, **changes: Any) -> Findings:
    asked = [Asked(text=text, recorded=dict(sandboxed_format.said_of(text))) for text in TEXTS] + [
        Asked(text=text) for text in ODD
    ]
    sandboxed_format.written(folder, how, name=name)
    order = Order(
        version=f"{NAME}/v1", kind="classification", backend="transformer", folder=folder,
        training=SETTINGS.training, threads=1, text_time_s=10.0, memory_limit_mib=0, asked=tuple(asked),
        task=task(**changes).model_dump(mode="json"),
    )  # fmt: skip
    return examining.examine(order)


@pytest.mark.slow
def test_one_that_is_all_right_passes_with_its_figures(tmp_path: Path) -> None:
    found = found_of(tmp_path, "is all right", must_not_break=[{"text": "four", "label": "A"}])
    assert (found.outcome, found.reason, found.texts, found.examples) == ("passed", "", len(TEXTS) + len(ODD) + 1, 1)
    assert (found.compared, found.differ) == (len(TEXTS), 0)
    assert found.p50_ms is not None
    assert found.p95_ms is not None
    assert 0 < found.p50_ms <= found.p95_ms


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("is not a number", "not JSON compliant"),
        ("lacks a library", "no_such_library"),
        ("has no label", "is none of kind classification"),
        ("names another label", "names 'Z'"),
        ("answers otherwise", "10 of 20 answers differ from those that were compared"),
        ("cannot read odd texts", "only plain letters"),
    ],
)
def test_one_that_serving_could_not_use_fails_with_the_reason(tmp_path: Path, how: str, said: str) -> None:
    found = found_of(tmp_path, how)
    assert found.outcome == "failed"
    assert said in found.reason


@pytest.mark.slow
def test_an_unknown_format_a_broken_example_and_another_kind_fail(tmp_path: Path) -> None:
    assert "format 'nobody-knows' is not known" in found_of(tmp_path, "is all right", name="nobody-knows").reason
    broken = found_of(tmp_path, "is all right", must_not_break=[{"text": "three", "label": "A"}])
    assert (broken.outcome, broken.examples, broken.broken) == ("failed", 1, 1)
    assert "must_not_break" in broken.reason


@pytest.mark.slow
def test_a_full_disk_is_no_fault_of_the_candidate(tmp_path: Path) -> None:
    with pytest.raises(examining.TryLaterError, match="No space left"):
        found_of(tmp_path, "finds the disk full")


@pytest.mark.parametrize("verdict", ["promote", "keep", "insufficient_evidence"])
def test_what_the_sandbox_refused_is_kept_aside_whatever_the_gate_says(verdict: gate.Verdict) -> None:
    decision = gate.Decision(verdict, ("better",))
    passed = Findings(outcome="passed", scope="model")
    assert judged(decision, passed) == decision
    refused = judged(decision, REFUSED)
    assert (refused.verdict, refused.reasons[1]) == ("keep", "better")
    assert "it hangs" in refused.reasons[0]


def test_a_refresh_that_the_sandbox_refused_is_told_and_another_refusal_does_not_hide_it() -> None:
    event: dict[str, Any] = {
        "event_id": "e", "type": "training.finished", "task": NAME, "occurred_at": "2026-01-01T00:00:00+00:00", "verdict": "keep",
        "version": f"{NAME}/v2", "reasons": ["Not promoted"], "refresh": True, "sandbox": "failed",
    }  # fmt: skip
    refused, usual = notice_of(event), notice_of({**event, "refresh": False, "sandbox": "passed"})
    assert refused is not None
    assert usual is not None
    assert (refused.kind, usual.kind) == ("refused", "refused")
    assert refused.repeats != usual.repeats
    assert notice_of({**event, "sandbox": "passed"}) is None


def test_a_refused_version_becomes_champion_only_by_force_and_the_sandbox_is_asked_once(tmp_path: Path) -> None:
    with World(tmp_path, task(), train=better) as world:
        world.sandbox = stand_in = PassesAll(REFUSED)
        world.next_cycle()
        world.grow(10)
        world.cycle.step()
        world.next_cycle().step()
        run = world.only_run()
        assert (run.verdict, world.champion(), stand_in.seen) == ("keep", None, [f"{NAME}/v1"])
        by_hand = {"actor": "operator", "reason": "better than nothing"}
        with pytest.raises(UserError, match="--force"):
            promotion.promote_by_hand(world.registry, f"{NAME}/v1", **by_hand)
        promotion.promote_by_hand(world.registry, f"{NAME}/v1", **by_hand, force=True)
        (move,) = world.registry.versions.history(NAME)
        assert "better than nothing (forced; the sandbox had refused it, because it hangs)" in move.reason
        world.grow(10)
        world.cycle.step()
        with pytest.raises(UserError, match="--force"):
            promotion.rollback(world.registry, NAME, to=f"{NAME}/v2", actor="operator", reason="back")
        assert world.champion() == f"{NAME}/v1"


def test_a_daemon_that_stops_in_the_sandbox_goes_on_there(tmp_path: Path) -> None:
    with World(tmp_path, task(), train=better) as world:
        asked: list[str] = []

        class Stops(PassesAll):
            def check(self, version: Any, *rest: Any) -> Findings | None:
                asked.append(version.name)
                world.stop.set()
                return None

        world.sandbox = Stops()
        world.next_cycle()
        world.grow(10)
        world.cycle.step()
        assert (world.only_run().state, asked) == ("published", [f"{NAME}/v1"])
        world.sandbox = PassesAll()
        world.next_cycle().step()
        assert (world.only_run().verdict, world.champion()) == ("promote", f"{NAME}/v1")


@pytest.mark.parametrize(
    ("compared", "differing", "passes"),
    [(1, 1, False), (2, 1, True), (19, 1, True), (19, 2, False), (40, 2, True), (40, 3, False)],
)
def test_of_few_compared_answers_one_close_call_is_no_fault(compared: int, differing: int, passes: bool) -> None:
    answered = [
        (f"text {number}", {"label": "A", "scores": {}}, {"label": "B" if number < differing else "A"})
        for number in range(compared)
    ]
    if passes:
        assert differences(answered, task(), lambda _text, targets: targets) == differing
    else:
        with pytest.raises(WrongError):
            differences(answered, task(), lambda _text, targets: targets)
