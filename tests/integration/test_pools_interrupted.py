"""A daemon that is killed, or whose disk is full, at any step of a pool: the pair is judged, proven and told once."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from daemon.training.pools import pools, verdict
from daemon.training.pools.pair import Pair
from registry import promotion
from registry.evidence import bundle, checking, names
from registry.people.pools import Pools
from tests.support.pairs import NAME, Undecided, truth, undecided


class Killed(BaseException):
    """What ends the process at once."""


@pytest.fixture
def news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Undecided]:
    with Undecided(tmp_path, monkeypatch) as room:
        room.disagree(60, 100)
        yield room


def kill(*_given: Any, **_named: Any) -> NoReturn:
    raise Killed


def full(*_given: Any, **_named: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def killed_after(work: Callable[..., Any]) -> Callable[..., NoReturn]:
    def done(*given: Any, **named: Any) -> NoReturn:
        work(*given, **named)
        raise Killed

    return done


def killed(news: Undecided) -> None:
    """Let the daemon die in its next step, and the next process begin."""
    with pytest.raises(Killed):
        news.cycle.step()
    news.next_cycle()


def finished(news: Undecided, run_id: str) -> list[str]:
    told = [dict(row.event) for row in news.registry.outbox.pending(limit=1000)]
    return [event["verdict"] for event in told if event["type"] == "training.finished" and event["run_id"] == run_id]


def check_decided_once(news: Undecided, run_id: str) -> None:
    """The look has moved the alias, is counted and told once, and its evidence gives the same verdict."""
    pool, run = news.pool(), news.registry.runs.get(run_id)
    assert (pool.state, pool.outcome, pool.looks) == ("closed", "promoted", 1)
    assert pool.test is not None
    assert len(pool.test.looks) == 1
    assert (news.champion(), run.verdict) == (run.version, "promote")
    assert run.comparison is not None
    assert run.comparison["asked"]["labelled"] == 20
    assert finished(news, run_id) == ["insufficient_evidence", "promote"]
    name = names.name_of(run_id, 1)
    path, known = bundle.path_of(news.settings.evidence_dir, name), news.registry.evidence.of_run(name)
    assert checking.check(path, known, checking.told_of(run.verdict, run.reasons)).outcome == "equal"


def test_killed_behind_a_verdict_the_pair_is_asked_about_all_the_same(news: Undecided, monkeypatch: pytest.MonkeyPatch) -> None:
    news.train_with(undecided)
    news.grow(10)
    with monkeypatch.context() as patched:
        patched.setattr(type(news.cycle._decider.teller), "card", kill)
        with pytest.raises(Killed):
            news.cycle.step()
    assert news.registry.pools.of_task(NAME) == []
    news.next_cycle().step()
    assert (news.pool().state, news.pool().batches) == ("open", 1)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), ValueError("never seen before")])
def test_what_fails_when_a_pool_is_wanted_leaves_the_run_decided(
    news: Undecided, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Pools, "want", lambda *_given, **_named: (_ for _ in ()).throw(error))
        run = news.compare()
    assert (run.state, run.error, run.retry_at) == ("decided", None, None)
    news.cycle.step()
    # What the machine could not do is done later; what the program fails on is not tried for ever.
    assert bool(news.registry.pools.of_task(NAME)) == isinstance(error, OSError)


@pytest.mark.parametrize(
    ("where", "what", "before"),
    [
        (verdict, "prove_look", True), (verdict, "prove_look", False), (verdict.promoting, "move_alias", False),
        (verdict.later_verdicts, "record", False),
    ],
)  # fmt: skip
def test_killed_at_any_step_of_a_look_it_is_finished_once(
    news: Undecided, monkeypatch: pytest.MonkeyPatch, where: Any, what: str, before: bool
) -> None:
    run = news.compare()
    news.answer(truth)
    with monkeypatch.context() as patched:
        patched.setattr(where, what, kill if before else killed_after(getattr(where, what)))
        killed(news)
    news.cycle.step()
    check_decided_once(news, run.run_id)


def test_killed_before_the_pool_is_closed_it_is_finished_once(news: Undecided, monkeypatch: pytest.MonkeyPatch) -> None:
    run = news.compare()
    news.answer(truth)
    with monkeypatch.context() as patched:
        patched.setattr(Pools, "close", kill)
        killed(news)
    news.cycle.step()
    check_decided_once(news, run.run_id)


def test_a_verdict_that_was_told_stands_whatever_is_answered_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Undecided(tmp_path, monkeypatch) as news:
        news.disagree(60, 100, right="B")
        run = news.compare()
        items = news.look("anna", "disagreement").items
        news.answer(truth)
        with monkeypatch.context() as patched:
            patched.setattr(Pools, "close", kill)
            killed(news)
        for item in items:
            news.desk().say("disagreement", item.item, {"label": "A"})
        news.take_in()
        news.cycle.step()
        assert (news.pool().outcome, news.pool().looks) == ("kept", 1)
        assert news.registry.runs.get(run.run_id).verdict == "keep"
        assert news.champion() == f"{NAME}/v1"
        assert finished(news, run.run_id) == ["insufficient_evidence", "keep"]


def test_a_look_without_its_evidence_promotes_nothing_and_is_repeated(news: Undecided, monkeypatch: pytest.MonkeyPatch) -> None:
    run = news.compare()
    news.answer(truth)
    with monkeypatch.context() as patched:
        patched.setattr(verdict, "prove_look", full)
        news.cycle.step()
    assert (news.champion(), news.pool().state) == (f"{NAME}/v1", "open")
    news.clock.forward(pools._TRY_AGAIN.total_seconds())
    news.cycle.step()
    check_decided_once(news, run.run_id)


def test_a_disk_that_stays_full_ends_no_pair(news: Undecided, monkeypatch: pytest.MonkeyPatch) -> None:
    run = news.compare()
    news.answer(truth)
    with monkeypatch.context() as patched:
        patched.setattr(Pair, "begun", full)
        for _try in range(2 * pools._TRIES):
            news.cycle.step()
            news.clock.forward(pools._TRY_AGAIN.total_seconds())
    assert news.pool().state == "open"
    assert len(news.buffer.withheld()) == 20
    news.cycle.step()
    check_decided_once(news, run.run_id)


def test_a_pin_behind_a_crash_hides_no_promotion(news: Undecided, monkeypatch: pytest.MonkeyPatch) -> None:
    run = news.compare()
    news.answer(truth)
    with monkeypatch.context() as patched:
        patched.setattr(verdict.promoting, "move_alias", killed_after(verdict.promoting.move_alias))
        killed(news)
    promotion.pin(news.registry, NAME, actor="ann", reason="hold it")
    news.cycle.step()
    check_decided_once(news, run.run_id)
