"""Texts of one document are never on both sides, nor are those of one story, whatever order they arrive in."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.enrichment.stories import NewText, Split
from consumers.rows.documents import DocumentSides, is_test_document
from tests.support.stories import ANGLES, START, TEST_FRACTION, Store, vector

arrivals = st.lists(
    st.tuples(
        st.integers(0, ANGLES), st.integers(0, 4), st.integers(0, 120),
        st.sampled_from(["label", "label", "anchor", "user", "random"]),
        st.sampled_from([None, *(f"doc {number}" for number in range(6))]), st.booleans(),
    ),
    min_size=1, max_size=40,
)  # fmt: skip


def texts_of(drawn: list[tuple[int, int, int, str, str | None, bool]]) -> list[NewText]:
    return [
        NewText(
            f"row {number}", f"{angle}/{copy}", START + timedelta(days=day), vector(angle), anchor=who == "anchor",
            takes_out=who != "user", wanted_for_test=who == "random", document=document,
            is_part=is_part and document is not None and who != "user",
        )
        for number, (angle, copy, day, who, document, is_part) in enumerate(drawn)
    ]  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(arrivals, st.data())
def test_neither_a_document_nor_a_story_is_ever_on_two_sides(
    drawn: list[tuple[int, int, int, str, str | None, bool]], data: st.DataObject
) -> None:
    store = Store()
    waiting = data.draw(st.permutations(texts_of(drawn)))
    before: dict[str, Split] = {}
    while waiting:
        size = data.draw(st.integers(1, 8))
        # How much of what is new is held out may change at any time.
        share = data.draw(st.sampled_from([None, 0.1, 0.8]))
        store.add([replace(text, test_fraction=share) for text in waiting[:size]])
        waiting = waiting[size:]
        if data.draw(st.booleans()):
            store.index = store.fresh()
        for row_id, split in before.items():
            now = store.members[row_id].split
            assert now == split or (split, now) == ("train", "dropped")
        before = {row_id: member.split for row_id, member in store.members.items()}
    documents: dict[str, set[Split]] = {}
    stories: dict[str, set[Split]] = {}
    for row_id, member in store.members.items():
        text = store.texts[row_id]
        stories.setdefault(member.story_id, set()).add(member.split)
        if text.document is not None and text.takes_out:
            documents.setdefault(text.document, set()).add(member.split)
    for sides in (*documents.values(), *stories.values()):
        assert not {"train", "test"} <= sides
        assert not {"train", "anchor"} <= sides


@settings(deadline=None, max_examples=80)
@given(arrivals, st.integers(1, 8))
def test_users_take_nothing_out_of_training(drawn: list[tuple[int, int, int, str, str | None, bool]], size: int) -> None:
    texts = texts_of([(*one[:3], "label", *one[4:]) for one in drawn])
    said = texts_of([(*one[:3], "user", *one[4:]) for one in drawn])
    store = Store()
    store.add(texts)
    before = {row_id: member.split for row_id, member in store.members.items()}
    for at in range(0, len(said), size):
        store.add([NewText(**{**_fields(one), "row_id": f"said {one.row_id}"}) for one in said[at : at + size]])
    assert {row_id: store.members[row_id].split for row_id in before} == before


def _fields(text: NewText) -> dict[str, object]:
    return {name: getattr(text, name) for name in NewText.__slots__}


def test_parts_go_where_the_hash_of_their_document_says() -> None:
    store = Store()
    # Everything looks alike: were stories to decide, all would go the way of the first.
    texts = [
        NewText(f"r {number}", f"t {number}", START, vector(number % 3 * 5), document=f"d {number // 4}", is_part=True)
        for number in range(400)
    ]
    store.add(texts)
    for row_id, member in store.members.items():
        document = store.texts[row_id].document
        assert document is not None
        side = "test" if is_test_document(document, TEST_FRACTION) else "train"
        assert member.split in (side, "dropped")
    splits = Counter(member.split for member in store.members.values())
    assert splits["test"] == 4 * sum(is_test_document(f"d {number}", TEST_FRACTION) for number in range(100))


def test_sides_are_remembered_however_many_documents_there_are() -> None:
    sides = DocumentSides((f"d {number}", "train") for number in range(150_000))
    sides.put("d 7", "test")
    sides.put("d 149999", "anchor")
    sides.put("d 149999", "train")
    assert (sides.side("d 6"), sides.side("d 7"), sides.side("d 149999"), sides.side("new")) == ("train", "test", "anchor", None)
