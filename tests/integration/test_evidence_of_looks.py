"""Evidence of a verdict that people's answers brought: the look is verified, and what it stands on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from config.files.durable import sha256_of_file
from daemon.views.models import lineage, verification
from registry.evidence import bundle, keeping, names
from registry.runs import Run
from tests.support.pairs import NAME, Undecided, truth
from tests.support.proven import scored


@pytest.fixture(scope="module")
def news(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undecided]:
    """A pair that ten test rows could not tell apart, and answers that could."""
    with pytest.MonkeyPatch.context() as patched, Undecided(tmp_path_factory.mktemp("looked"), patched) as room:
        room.disagree(60, 100)
        room.train_with(partial(scored, right=0.6, opponent_right=0.5))
        room.grow(10)
        room.cycle.step()
        assert verified(room).recorded.verdict == "insufficient_evidence"
        assert (verified(room).outcome, verified(room).look) == ("equal", 0)
        assert room.answer(truth) == 20
        room.cycle.step()
        assert room.pool().outcome == "promoted"
        yield room


def test_a_later_look_counts_the_looks_before_it_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Undecided(tmp_path, monkeypatch, review={"per_week": 16, "days": 14}) as news:
        news.disagree(60, 100)
        news.train_with(partial(scored, right=0.6, opponent_right=0.5))
        news.grow(10)
        news.cycle.step()
        for _week in range(2):
            news.answer(lambda text: "B" if int(text.rpartition(" ")[2]) % 2 else truth(text))
            news.cycle.step()
            news.clock.forward(8 * 86_400)
            news.cycle.step()
        pool, found = news.pool(), verified(news)
        assert (found.outcome, found.problems, found.look) == ("equal", (), 2)
        assert pool.test is not None
        first, second = pool.test.looks
        assert second.information > first.information
        about = bundle.About.of(look_of(news, 2))
        assert about.comparison["asked"]["test"]["earlier"] == [first.model_dump()]
        # Who says that the first look knew less than it did lets the second spend more.
        path, rows = look_of(news, 1), bundle.rows_of(look_of(news, 1))
        other = bundle.About.of(path).model_copy(deep=True)
        other.comparison["asked"]["test"]["now"]["information"] /= 2
        path.write_bytes(bundle.to_bytes(other, rows))
        assert verified(news).outcome == "changed"
        recorded = sha256_of_file(path)
        news.registry.evidence.record(path.name.removesuffix(bundle.SUFFIX), recorded, size_bytes=1, rows=rows.num_rows)
        found = verified(news)
        assert found.outcome == "differs"
        assert any("other looks" in problem for problem in found.problems)
        path.unlink()
        assert verified(news).outcome == "differs"


def run_of(news: Undecided) -> Run:
    return news.registry.runs.list(limit=1)[0]


def verified(news: Undecided) -> verification.Verification:
    return verification.of(news.settings, news.registry, run_of(news).run_id)


def look_of(news: Undecided, number: int = 1) -> Path:
    return bundle.path_of(news.settings.evidence_dir, names.name_of(run_of(news).run_id, number))


def test_the_verdict_follows_from_the_look_and_the_look_from_the_run(news: Undecided) -> None:
    found = verified(news)
    assert (found.outcome, found.problems, found.figures, found.look) == ("equal", (), (), 1)
    assert (found.told.verdict, found.told.reasons) == ("promote", run_of(news).reasons)
    assert verification.of(news.settings, news.registry, f"{NAME}/v2") == found
    rows = bundle.rows_of(look_of(news))
    assert rows["role"].to_pylist() == ["test"] * 10 + ["asked"] * 20
    assert b"says A" not in look_of(news).read_bytes()
    assert verification.of_file(look_of(news)).outcome == "equal"


@pytest.mark.parametrize("which", ["look", "run"])
def test_a_change_in_either_is_found(news: Undecided, which: str) -> None:
    path = look_of(news) if which == "look" else bundle.path_of(news.settings.evidence_dir, run_of(news).run_id)
    content, about, rows = path.read_bytes(), bundle.About.of(path), bundle.rows_of(path)
    answers = rows["candidate"].to_pylist()
    answers[-1] = '{"label": "wrong"}'
    path.write_bytes(bundle.to_bytes(about, rows.set_column(rows.schema.get_field_index("candidate"), "candidate", [answers])))
    try:
        assert verified(news).outcome == "changed"
        if which == "look":
            # A later look stands on the comparison of its run, and on no other.
            assert about.again is not None
            other = about.again.model_copy(update={"before": {**about.again.before, "size_mib": 0.5}})
            path.write_bytes(bundle.to_bytes(about.model_copy(update={"again": other}), rows))
            assert any("another comparison" in problem for problem in verified(news).problems)
    finally:
        path.write_bytes(content)
    assert verified(news).outcome == "equal"


def test_a_text_that_was_asked_about_took_part(news: Undecided) -> None:
    asked = bundle.rows_of(look_of(news))["example_id"].to_pylist()[-1]
    [part] = lineage.of_row(news.registry, news.settings.evidence_dir, asked).decisions
    assert (part.run_id, part.verdict, part.role) == (run_of(news).run_id, "promote", "asked")
    assert part.gold is not None


def test_erased_articles_leave_the_look_and_it_goes_with_its_run(news: Undecided) -> None:
    asked = bundle.rows_of(look_of(news))["example_id"].to_pylist()[-2:]
    stored, folder = news.buffer.article_ids(), news.settings.evidence_dir
    assert set(asked) <= stored
    assert keeping.erase(news.registry, folder, [], articles=stored) == 0
    assert keeping.erase(news.registry, folder, [], articles=stored - set(asked)) == 1
    assert not any(one.encode() in look_of(news).read_bytes() for one in asked)
    found = verified(news)
    assert (found.outcome, found.erased) == ("erased", 2)
    assert keeping.sweep(news.registry, folder) == 0
    keeping.remove(news.registry, folder, [run_of(news).run_id])
    assert not look_of(news).exists()
    assert news.registry.evidence.of_pair(run_of(news).run_id) == []
