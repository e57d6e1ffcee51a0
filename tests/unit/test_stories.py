from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from config.clock import MAX_DAYS
from consumers.enrichment import periods
from consumers.enrichment.stories import Member, NewText, Placement, StoryIndex, is_test, story_id_of
from consumers.rows.enrichment_rows import StoryRow
from consumers.text.outlines import fills_the_same_template, outline

START = datetime(2024, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def index(members: Iterable[Member] = (), *, far: Sequence[StoryRow] = (), **settings: float) -> StoryIndex:
    kept = list(members)
    return StoryIndex(
        similarity=settings.get("similarity", 0.8),
        window=timedelta(days=30),
        test_fraction=settings.get("test_fraction", 0.2),
        dimensions=3,
        load=lambda start, end: [member for member in kept if start <= member.event_time < end],
        rows_of_stories=lambda story_ids: [row for row in far if row.story_id in story_ids],
    )


def key_on(side: str, taken: str = "") -> str:
    """Return a text whose own story falls on `side`."""
    keys = (f"text {taken}{number}" for number in range(1000))
    return next(key for key in keys if is_test(story_id_of(key), 0.2) == (side == "test"))


def new(key: str, vector: np.ndarray, *, row: str = "", at: datetime = START, anchor: bool = False) -> NewText:
    return NewText(row or f"row of {key}", key, at, vector, anchor)


TRAIN, TEST = key_on("train"), key_on("test")
X, Y = unit(1, 0, 0), unit(0, 1, 0)
NEAR_X = unit(1, 0.3, 0)
BETWEEN = unit(1, 1.0, 0)
"""0.71 similar to X and to Y."""


def test_the_first_text_leads_and_similar_ones_join() -> None:
    first, second, third = index().place([new(TRAIN, X), new("a", NEAR_X), new("b", Y)])
    assert first == Placement("row of " + TRAIN, story_id_of(TRAIN), "train")
    assert second.story_id == first.story_id
    assert third.story_id == story_id_of("b") != first.story_id


def test_the_earliest_time_an_event_may_have_finds_its_place_in_the_longest_window() -> None:
    asked: list[datetime] = []
    widest = StoryIndex(
        similarity=0.8, window=timedelta(days=MAX_DAYS), test_fraction=0.2, dimensions=3,
        load=lambda start, _end: asked.append(start) or (),  # type: ignore[func-returns-value]  # a list keeps the calls
    )  # fmt: skip
    (placement,) = widest.place([new(TRAIN, X, at=datetime(1900, 1, 1, tzinfo=UTC))])
    assert placement.split == "train"
    assert min(asked).year > 1


def test_members_do_not_chain() -> None:
    # Each is similar to the one before, the last is nothing like the first.
    chain = [unit(np.cos(angle), np.sin(angle), 0) for angle in np.linspace(0, np.pi / 2, 7)]
    placements = index(similarity=0.9).place([new(f"link {number}", vector) for number, vector in enumerate(chain)])
    assert placements[1].story_id == placements[0].story_id
    assert placements[-1].story_id != placements[0].story_id
    assert len({placement.story_id for placement in placements}) >= 3


def test_a_story_ends_with_its_window() -> None:
    stories = index()
    [first] = stories.place([new(TRAIN, X)])
    [within] = stories.place([new("later", X, at=START + 30 * DAY)])
    [beyond] = stories.place([new("much later", X, at=START + 30 * DAY + timedelta(seconds=1))])
    [before] = stories.place([new("earlier", X, at=START - 20 * DAY)])
    assert within.story_id == before.story_id == first.story_id
    assert beyond.story_id != first.story_id


@pytest.mark.parametrize("order", [(TRAIN, TEST), (TEST, TRAIN)])
def test_a_text_that_bridges_two_stories_goes_to_test_and_drops_the_train_side(order: tuple[str, str]) -> None:
    stories = index(similarity=0.7)
    stories.place([new(order[0], X), new(order[1], Y)])
    [bridge] = stories.place([new("bridge", BETWEEN)])
    assert (bridge.story_id, bridge.split) == (story_id_of(TEST), "test")
    assert bridge.dropped == ("row of " + TRAIN,)


def test_what_users_write_takes_no_story_out_of_training() -> None:
    stories = index(similarity=0.7)
    stories.place([new(TRAIN, X), new(TEST, Y)])
    said = NewText("said", "what a user says", START, BETWEEN, takes_out=False)
    [placed] = stories.place([said])
    assert (placed.story_id, placed.split, placed.dropped) == (story_id_of(TEST), "test", ()), "it is held out itself"
    [later] = stories.place([new("later", NEAR_X)])
    assert (later.story_id, later.split) == (story_id_of(TRAIN), "train")


def test_a_story_once_dropped_takes_no_more_train_rows() -> None:
    stories = index(similarity=0.7)
    stories.place([new(TRAIN, X), new(TEST, Y), new("bridge", BETWEEN)])
    [late] = stories.place([new("late", unit(1, -0.5, 0))])
    assert (late.story_id, late.split, late.dropped) == (story_id_of(TRAIN), "dropped", ())


def test_an_anchor_label_takes_its_story_out_of_training() -> None:
    stories = index()
    stories.place([new(TRAIN, X)])
    [anchor, joiner] = stories.place([new("anchored", NEAR_X, anchor=True), new("joins", NEAR_X)])
    assert (anchor.split, anchor.dropped) == ("anchor", ("row of " + TRAIN,))
    assert joiner.split == "dropped"


def test_an_anchor_label_leaves_a_test_story_in_test() -> None:
    stories = index()
    stories.place([new(TEST, X)])
    [anchor, joiner] = stories.place([new("anchored", NEAR_X, anchor=True), new("joins", NEAR_X)])
    assert (anchor.split, anchor.dropped, joiner.split) == ("anchor", (), "test")


def test_equal_texts_share_their_story_however_far_apart() -> None:
    stories = index(far=[StoryRow("old row", "s-old", "dropped")])
    [placement] = stories.place([new("same words", X, at=START + 400 * DAY)], {"same words": "s-old"})
    assert (placement.story_id, placement.split) == ("s-old", "dropped")


def test_an_equal_train_text_far_away_is_dropped_when_a_held_out_text_comes_near() -> None:
    far = [StoryRow("old row", "s-old", "train"), StoryRow("like the old row", "s-old", "train")]
    stories = index(far=far)
    stories.place([new(TEST, X)])
    [placement] = stories.place([new("same words", NEAR_X)], {"same words": "s-old"})
    assert (placement.story_id, placement.split) == ("s-old", "dropped")
    assert placement.dropped == ("old row", "like the old row"), "with all of its story"


def test_an_anchor_leaves_what_its_document_holds_out_already() -> None:
    stories = index()
    stories.place([new(TEST, X)])
    said = NewText("said", "what a user says", START, NEAR_X, takes_out=False, document="a document")
    anchor = NewText("anchored", "a part", START, Y, anchor=True, document="a document", is_part=True)
    placements = stories.place([said, anchor])
    assert [(placed.split, placed.dropped) for placed in placements] == [("test", ()), ("anchor", ())]


def test_a_restart_reads_back_what_it_needs() -> None:
    vectors = {"one": X, "two": NEAR_X, "three": Y}
    texts = [new(key, vector, at=START + number * DAY) for number, (key, vector) in enumerate(vectors.items())]
    lived = index()
    placements = lived.place(texts)
    members = [
        Member(text.row_id, text.text_key, text.event_time, text.vector, placement.story_id, placement.split)
        for text, placement in zip(texts, placements, strict=True)
    ]
    later = [new("four", NEAR_X, at=START + 5 * DAY), new("five", unit(0.2, 1, 0), at=START + 6 * DAY)]
    assert index(members).place(later) == lived.place(later)


def test_vectors_of_another_encoder_lead_nothing_but_keep_their_side() -> None:
    [placement] = index([Member("old", TEST, START, None, story_id_of(TEST), "test")]).place([new("a", X)])
    assert placement.story_id == story_id_of("a")
    [same] = index([Member("old", TEST, START, None, story_id_of(TEST), "dropped")]).place([new(TEST, X, row="new")])
    assert same.split == "dropped"


def test_forgotten_periods_are_read_again() -> None:
    members: list[Member] = []
    stories = StoryIndex(
        similarity=0.8, window=DAY, test_fraction=0.2, dimensions=3,
        load=lambda start, end: [member for member in members if start <= member.event_time < end],
    )  # fmt: skip
    first: dict[int, str] = {}
    for visit in range(2):
        for day in range(0, 40, 2):
            text = new(f"day {day} visit {visit}", X, at=START + day * DAY)
            [placement] = stories.place([text])
            members.append(Member(text.row_id, text.text_key, text.event_time, X, placement.story_id, placement.split))
            assert first.setdefault(day, placement.story_id) == placement.story_id
    assert len(set(first.values())) == 20


def test_the_share_of_held_out_stories_follows_the_setting() -> None:
    held_out = sum(is_test(story_id_of(str(number)), 0.2) for number in range(5_000))
    assert 0.18 < held_out / 5_000 < 0.22


def test_the_nearest_of_several_leaders_wins() -> None:
    stories = index(similarity=0.5)
    leaders = [f"leader {number}" for number in range(40) if not is_test(story_id_of(f"leader {number}"), 0.2)][:2]
    apart = stories.place([new(leaders[0], X), new(leaders[1], unit(-0.1, 1, 0))])
    for number, vector in enumerate([unit(1, 0.8, 0), unit(0.8, 1, 0)]):
        [placement] = stories.place([new(f"follower {number}", vector)])
        assert placement.story_id == apart[number].story_id
        assert placement.split == "train"


def test_what_was_drawn_for_testing_is_held_out_whatever_its_hash_says_unless_examples_like_it_train() -> None:
    old = Member("article", "old", START, X, story_id_of("old"), "train")
    drawn = NewText("drawn", TRAIN, START, NEAR_X, document="d", wanted_for_test=True)
    (placed,) = index([old]).place([drawn])
    assert (placed.split, placed.story_id, placed.dropped) == ("test", old.story_id, ("article",))
    taught = index([old])
    taught._trains = lambda stories, document: (list(stories), document) == ([old.story_id], "d")
    (kept,) = taught.place([drawn])
    assert (kept.split, kept.dropped) == ("train", ())


def test_what_was_drawn_for_testing_beside_an_anchor_is_left_out() -> None:
    stories = index()
    first, second = stories.place([new("a", X, anchor=True), NewText("drawn", "a", START, X, wanted_for_test=True)])
    assert (first.split, second.split) == ("anchor", "dropped")


def test_of_many_fillings_of_one_template_only_the_nearest_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = [0]

    def counted(one: Sequence[int], other: Sequence[int]) -> bool:
        looked[0] += 1
        return fills_the_same_template(one, other)

    monkeypatch.setattr(periods, "fills_the_same_template", counted)
    monkeypatch.setattr(periods, "_MOST_FILLINGS", 5)
    listings = [f"Brno {100 + at}, 2 rooms, {400 + at} m2, {9_000 + at} a month" for at in range(60)]
    texts = [NewText(f"row {text}", text, START, X, outline=outline(text)) for text in listings]
    stories = index()
    placed = [stories.place([text])[0] for text in texts]
    assert len({one.story_id for one in placed}) == len(texts)
    assert looked[0] <= 5 * len(texts)
    # One that fills no template of them is found behind fillings that are as near.
    monkeypatch.setattr(periods, "_MOST_FILLINGS", 200)
    report = NewText("row r", "r", START, NEAR_X, outline=outline("A fire in the old town burnt for hours"))
    near = NewText("row s", "s", START, NEAR_X, outline=outline("A fire in the old town burns for hours"))
    first, second = stories.place([report, near])
    assert second.story_id == first.story_id


def test_periods_that_a_stream_has_left_behind_are_forgotten_after_an_hour() -> None:
    now = [0.0]
    stories = StoryIndex(
        similarity=0.8, window=timedelta(days=30), test_fraction=0.2, dimensions=3, load=lambda _start, _end: [],
        elapsed=lambda: now[0],
    )  # fmt: skip
    for month in range(10):
        stories.place([new(f"text {month}", X, at=START + month * timedelta(days=30))])
        now[0] += 60.0
    assert len(stories._periods) == 12, "two streams that take turns need not read again"
    now[0] += 3_600.0
    stories.place([new("later", X, at=START + 9 * timedelta(days=30))])
    assert len(stories._periods) == 5
