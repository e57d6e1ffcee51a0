"""What to label next: the mix, each way of choosing, and that a label of it never judges but where chance chose its text."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.task_files.sections.feedback import FeedbackPolicy
from consumers.labelling import kept
from consumers.labelling.choosing import draw, mix
from consumers.labelling.choosing.ways import WAYS, Way
from consumers.labelling.lanes import NEXT, Asked
from consumers.labelling.offers import Next, Pool, Said
from consumers.labelling.queue import OnTheWay, queue
from consumers.rows.eligibility import CHOSEN, INDEPENDENT, OF_PEOPLE, eligibility
from trainers.learners.heads.validation.doubling import doubling

SHARES: dict[Way, float] = {"uncertain": 0.4, "diverse": 0.2, "short": 0.2, "random": 0.2}
EYE = np.eye(4, dtype=np.float32)


def candidates(probabilities: list[list[float]], stories: str = "", known: int = 0) -> mix.Candidates:
    count = len(probabilities)
    features = EYE[np.arange(count) % 4]
    return mix.Candidates(features, list(stories) or [f"s{at}" for at in range(count)], np.array(probabilities), EYE[:known])


def sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(WAYS), st.floats(0, 1)), st.integers(0, 500), st.sets(st.sampled_from(WAYS)))
def test_the_shares_add_up_and_what_is_not_open_gets_none(shares: dict[Way, float], count: int, open_: set[Way]) -> None:
    found = mix.apportioned(shares, count, open_)
    assert sum(found.values()) == count
    weights = {way: shares.get(way, 0.0) for way in open_ if shares.get(way, 0.0) > 0} or {"random": 1.0}
    assert {way for way, some in found.items() if some} <= weights.keys()
    whole = sum(weights.values())
    assert all(abs(found[way] - count * weight / whole) < 1 + 1e-6 for way, weight in weights.items())


def test_the_stated_mix_and_its_share_where_no_label_is_scarce() -> None:
    assert mix.apportioned(SHARES, 50) == {"uncertain": 20, "diverse": 10, "short": 10, "random": 10}
    assert mix.apportioned(SHARES, 50, {"uncertain", "diverse", "random"}) == {
        "uncertain": 25, "diverse": 13, "short": 0, "random": 12,
    }  # fmt: skip


def test_the_uncertain_ones_have_the_smallest_margins() -> None:
    sure, close, closest = [0.9, 0.1], [0.6, 0.4], [0.51, 0.49]
    one = candidates([sure, closest, sure, sure, sure, sure, close, sure])
    (picked,) = mix.by_model(one, {"uncertain": 1}, {})
    assert (picked.place, picked.way) == (1, "uncertain")
    both = mix.by_model(candidates([sure] * 20 + [close, closest]), {"uncertain": 2}, {})
    assert [picked.place for picked in both] == [21, 20]


def test_the_diverse_ones_are_far_from_what_is_labelled_and_from_each_other() -> None:
    found = mix.by_model(candidates([[1.0]] * 12, known=2), {"diverse": 2}, {})
    assert sorted(picked.place % 4 for picked in found) == [2, 3]
    assert {picked.way for picked in found} == {"diverse"}


def test_scarce_labels_get_texts_that_may_carry_them_in_proportion_and_no_others() -> None:
    rows = [[0.1, 0.7, 0.2], [0.1, 0.6, 0.3], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7], [0.9, 0.05, 0.05]]
    found = mix.by_model(candidates(rows), {"short": 3}, {1: 20, 2: 10})
    assert [(picked.place, picked.label) for picked in found] == [(2, 1), (0, 1), (3, 2)]
    assert len(mix.by_model(candidates(rows), {"short": 5}, {1: 20, 2: 10})) == 4, "the last is no likelier than chance"


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(0, 40))
def test_no_text_comes_twice_and_no_two_of_one_story(seed: int, rows: int, count: int) -> None:
    chance = np.random.default_rng(seed)
    stories = [f"s{number}" for number in chance.integers(0, 10, rows)]
    features = chance.normal(size=(rows, 4)).astype(np.float32)
    some = mix.Candidates(features, stories, chance.dirichlet([1, 1, 1], rows), features[: rows // 3])
    found = mix.by_model(some, mix.apportioned(SHARES, count), {0: 3, 2: 1}, taken={"s1"})
    told = [stories[one.place] for one in found]
    assert len(told) == len(set(told)) <= count
    assert "s1" not in told
    assert all((one.label is not None) == (one.way == "short") for one in found)


def test_without_a_model_the_uncertain_and_the_scarce_are_not_chosen() -> None:
    some = mix.Candidates(EYE, ["a", "b", "c", "d"], None, EYE[:0])
    found = mix.by_model(some, {"uncertain": 2, "short": 2, "diverse": 2}, {0: 5})
    assert [one.way for one in found] == ["diverse", "diverse"]


def test_the_random_order_hangs_on_the_texts_alone() -> None:
    texts = [sha(str(number)) for number in range(100)]
    drawn = mix.at_random(texts, 20)
    assert mix.at_random(texts[::-1], 20) == drawn
    assert set(mix.at_random(list({*texts[:50], *drawn}), 20)) == set(drawn), "what is left out elsewhere moves nothing"
    assert drawn != sorted(texts)[:20], "not the draw of the lane `audit`"


def test_the_mix_holds_wherever_one_stops() -> None:
    order = mix.mixed({"uncertain": [f"u{n}" for n in range(20)], "random": [f"r{n}" for n in range(5)], "diverse": []})
    assert len(order) == 25
    assert Counter(way for _text, way in order[:10]) == {"uncertain": 8, "random": 2}


@pytest.mark.parametrize("split", ["train", "test", "anchor", "dropped"])
def test_a_label_whose_text_a_model_chose_trains_and_never_tests(split: str) -> None:
    assert CHOSEN not in INDEPENDENT
    assert CHOSEN in OF_PEOPLE
    role = eligibility(split, CHOSEN, None, good=True, feedback=FeedbackPolicy())
    assert role == ("train" if split == "train" else None)


def test_the_lane_tells_why_and_leaves_out_what_is_labelled_or_asked_for_elsewhere() -> None:
    drawn = [Next(sha(name), at_random=False, why="two labels are close") for name in "1234"]
    said = Said(sha("4"), "bob", {"label": "A"}, "e-4", CHOSEN)
    pool = Pool(
        next=drawn, labelled=frozenset({sha("1"), sha("4")}), kept_for_pairs=frozenset({sha("2")}), said=[said]
    )  # fmt: skip
    (item,) = queue(NEXT, pool, OnTheWay(), Asked("anna", 0.0))
    assert (item.text_sha256, item.why) == (sha("3"), "two labels are close")
    doubled = queue(NEXT, pool, OnTheWay(), Asked("anna", 1.0))
    assert [one.text_sha256 for one in doubled] == [sha("3"), sha("4")]


def test_a_draw_is_kept_and_another_version_of_it_is_none(tmp_path: Path) -> None:
    made = draw.Draw(
        task="t", at=datetime(2024, 5, 1, tzinfo=UTC), looked_at=7,
        picks=(draw.Pick(text_sha256="a", way="short", label="impact"),),
        scarce=(draw.Scarce(label="impact", there=10, enough=50),), doubling=draw.Doubling(texts=200, half=0.81, whole=0.84),
        without_model=None,
    )  # fmt: skip
    kept.write(tmp_path, made, made.task)
    assert kept.read(tmp_path, draw.Draw, "t") == made
    assert made.gain[0] == "about 40 more of `impact` (10 of 50)"
    assert "3.0 points" in made.gain[1]
    assert "`impact`" in made.picks[0].why
    (tmp_path / "t.json").write_text(made.model_dump_json().replace('"format_version":1', '"format_version":2'))
    assert kept.read(tmp_path, draw.Draw, "t") is None
    assert kept.read(tmp_path, draw.Draw, "other") is None


def test_the_last_doubling_is_measured_on_texts_that_no_head_has_seen() -> None:
    chance = np.random.default_rng(3)
    labels = np.arange(400, dtype=np.intp) % 4
    features = (np.eye(40)[labels] * 1.5 + chance.normal(size=(400, 40))).astype(np.float32)
    found = doubling(features, labels, np.arange(400, dtype=np.intp))
    assert found is not None
    assert found.texts == 400
    assert 0.4 < found.half < found.whole < 1.0
    shuffled = doubling(features, chance.permutation(labels), np.arange(400, dtype=np.intp))
    assert shuffled is not None
    assert shuffled.whole < 0.4, "noise is not learnt by heart"


def test_too_few_texts_or_one_label_have_no_curve() -> None:
    features = np.ones((60, 3), dtype=np.float32)
    assert doubling(features[:39], np.arange(39, dtype=np.intp) % 2, np.arange(39, dtype=np.intp)) is None
    assert doubling(features, np.zeros(60, dtype=np.intp), np.arange(60, dtype=np.intp)) is None
