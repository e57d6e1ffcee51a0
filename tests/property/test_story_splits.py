"""Splits stay what they are, whatever order texts arrive in, how they are portioned, and wherever the process restarts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumers.enrichment.stories import NewText, Split, is_test, story_id_of
from tests.support.stories import ANGLES, START, TEST_FRACTION, Store, vector

arrivals = st.lists(
    st.tuples(st.integers(0, ANGLES), st.integers(0, 4), st.integers(0, 120), st.booleans()), min_size=1, max_size=40
)


def texts_of(drawn: list[tuple[int, int, int, bool]]) -> list[NewText]:
    """Return rows; the same angle and copy is the same text, possibly at another time."""
    return [
        NewText(f"row {number}", f"{angle}/{copy}", START + timedelta(days=day), vector(angle), anchor=anchor and copy == 0)
        for number, (angle, copy, day, anchor) in enumerate(drawn)
    ]


@settings(deadline=None, max_examples=150)
@given(arrivals, st.data())
def test_sides_never_mix_and_splits_only_ever_become_dropped(
    drawn: list[tuple[int, int, int, bool]], data: st.DataObject
) -> None:
    store = Store()
    waiting = data.draw(st.permutations(texts_of(drawn)))
    while waiting:
        size = data.draw(st.integers(1, 8))
        # How much of what is new is held out may change at any time.
        share = data.draw(st.sampled_from([None, 0.1, 0.8]))
        store.add([replace(text, test_fraction=share) for text in waiting[:size]])
        waiting = waiting[size:]
        if data.draw(st.booleans()):
            store.index = store.fresh()
    for history in store.history.values():
        assert len(history) == 1 or history == ["train", "dropped"]
    sides: dict[str, set[Split]] = {}
    stories: dict[str, set[str]] = {}
    for member in store.members.values():
        sides.setdefault(member.story_id, set()).add(member.split)
        stories.setdefault(member.text_key, set()).add(member.story_id)
    assert not any({"train", "test"} <= side or {"train", "anchor"} <= side for side in sides.values())
    assert all(len(ids) == 1 for ids in stories.values()), "equal texts share their story"


@settings(deadline=None, max_examples=60)
@given(arrivals, st.lists(st.integers(1, 6), min_size=1, max_size=10))
@example([(4, 0, 0, False), (5, 0, 0, False), (6, 0, 47, False), (5, 0, 77, False)], [1])
def test_a_restart_changes_no_placement(drawn: list[tuple[int, int, int, bool]], portions: list[int]) -> None:
    lived, restarted = Store(), Store()
    texts = texts_of(drawn)
    for number in range(len(texts)):
        size = portions[number % len(portions)]
        portion, texts = texts[:size], texts[size:]
        if portion:
            lived.add(portion)
            restarted.index = restarted.fresh()
            restarted.add(portion)
    assert {row: (one.story_id, one.split) for row, one in lived.members.items()} == {
        row: (one.story_id, one.split) for row, one in restarted.members.items()
    }


@settings(deadline=None, max_examples=60)
@given(st.permutations(range(0, ANGLES, 4)), st.integers(1, 4))
def test_texts_without_near_duplicates_split_alike_in_any_order(order: list[int], portion: int) -> None:
    store = Store()
    texts = [NewText(f"row {angle}", f"text {angle}", START, vector(angle)) for angle in order]
    for first in range(0, len(texts), portion):
        store.add(texts[first : first + portion])
    for angle in order:
        story_id = story_id_of(f"text {angle}")
        assert store.members[f"row {angle}"].split == ("test" if is_test(story_id, TEST_FRACTION) else "train")
