"""A correction answers for its very text and for no other; whoever trusted says the contrary silences it, in any order."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers.defence.answering import Said, settled
from consumers.events.schemas import content_sha256
from daemon.serving.feedback.corrections import CorrectionBook
from daemon.serving.models.slot import SlotStatus
from registry.people.corrections import Answering, Generation
from tests.support.buffers import NOW, TOPICS

LABELS = ("economy", "sport", "science")
# Texts that are nearly the same: white space, case, normal form, a joiner.
TEXTS = st.text("aAéé \n\u200d.", min_size=1, max_size=4)
STANDINGS = st.sampled_from(["effective", "outvoted", "conflict", "alarm"])


@st.composite
def opinions(draw: st.DrawFn) -> list[Said]:
    """Return what some trusted people said of one text."""
    return [
        Said(
            f"f-{number}", {"label": draw(st.sampled_from(LABELS))}, draw(st.sampled_from(["correction", "confirmation"])),
            draw(STANDINGS), draw(st.booleans()), number,
        )
        for number in range(draw(st.integers(0, 5)))
    ]  # fmt: skip


QUIETLY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUIETLY
@given(opinions(), st.randoms())
def test_whoever_answers_was_said_in_effect_and_denied_by_nobody(said: list[Said], order: object) -> None:
    found = settled(said)
    shuffled = list(said)
    order.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis's random
    assert settled(shuffled) == found
    accepted = [one for one in said if one.accepted]
    heard = accepted or said
    if found is None:
        effective = [one for one in heard if one.standing == "effective" and one.verdict == "correction"]
        assert not effective or len({one.target["label"] for one in heard}) > 1
        return
    assert found in heard
    assert (found.standing, found.verdict) == ("effective", "correction")
    assert {one.target["label"] for one in heard} == {found.target["label"]}
    in_effect = [one.arrived_seq for one in heard if (one.standing, one.verdict) == ("effective", "correction")]
    assert found.arrived_seq == max(in_effect)


class Stored:
    """The registry's corrections, as a book reads them."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.found = [Answering(TOPICS.name, content_sha256(text), f"f-{n}", {"label": "sport"}, accepted=True, answers_since=NOW)
                      for n, text in enumerate(texts)]  # fmt: skip

    def generations(self) -> dict[str, Generation]:
        return {TOPICS.name: Generation(1, 0)}

    def not_learnt_by(self, _version: str, _task: str, *, after: int = 0) -> list[Answering]:
        return self.found if after < 1 else []


def book(texts: Sequence[str]) -> CorrectionBook:
    status = SlotStatus(TOPICS.name, looked=True, champion="v1", serving="v1", generation=1, loaded_at=NOW, failure=None)
    made = CorrectionBook(Stored(texts), lambda: [status], enabled=True)  # type: ignore[arg-type]  # two methods suffice
    made.use_tasks({TOPICS.name: TOPICS})
    made.refresh()
    return made


@QUIETLY
@given(st.lists(TEXTS, unique=True, max_size=5), st.lists(TEXTS, max_size=8))
def test_a_text_is_answered_by_its_own_correction_or_by_none(corrected: list[str], asked: list[str]) -> None:
    found = book(corrected).of(TOPICS.name, asked)
    assert found.keys() == {place for place, text in enumerate(asked) if text in corrected}
    assert all(one.event_id == f"f-{corrected.index(asked[place])}" for place, one in found.items())
    assert book(corrected).of("another", asked) == {}
