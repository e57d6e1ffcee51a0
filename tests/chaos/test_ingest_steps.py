"""kill -9 at every step that a batch takes through ingest: polled, stored table by table, made durable, committed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.events.schemas import ARTICLES_TOPIC, FEEDBACK_TOPIC, PREDICTIONS_TOPIC
from tests.support import ingest_victim
from tests.support.failpoints import kill_at_every_step
from tests.support.ingest_bench import drain, lag, look_into, open_log, publish, rows
from tests.support.sample_events import ARTICLE, ERASE, FEEDBACK, LABEL, PREDICTION, RETRAIN

pytestmark = pytest.mark.slow

ACKNOWLEDGED = (
    *((ARTICLES_TOPIC, ARTICLE | {"event_id": f"a-{number}", "article_id": f"article-{number}"}) for number in range(4)),
    *((FEEDBACK_TOPIC, LABEL | {"event_id": f"l-{number}", "text": f"text {number}"}) for number in range(4)),
    # The producer did not hear of its success and sent them again.
    *((FEEDBACK_TOPIC, LABEL | {"event_id": f"l-{number}", "text": f"text {number}"}) for number in range(2)),
    (FEEDBACK_TOPIC, FEEDBACK | {"event_id": "f-0", "user_id": "u-2", "text": "another text"}),
    (FEEDBACK_TOPIC, RETRAIN),
    (FEEDBACK_TOPIC, ERASE | {"user_id": "u-9"}),
    (FEEDBACK_TOPIC, b"not json"),
    (FEEDBACK_TOPIC, None),
    (PREDICTIONS_TOPIC, PREDICTION),
)
# The topics' consumers, each with one batch; a batch touches up to three tables.
FEWEST_STEPS = 15


def test_killed_at_any_step_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    with closing(open_log(base)) as log:
        publish(log, ACKNOWLEDGED)
        waiting = lag(log)
    assert waiting == len(ACKNOWLEDGED)
    killed = kill_at_every_step(Path(ingest_victim.__file__), tmp_path)
    assert killed >= FEWEST_STEPS
    left = []
    for number in range(killed):
        folder = tmp_path / f"killed-{number}"
        with closing(open_log(folder)) as log:
            left.append(lag(log))
        assert drain(folder) == (), "a kill alone tears nothing"
        check(folder)
    assert left[0] == waiting
    assert left == sorted(left, reverse=True), "what is committed stays committed"
    assert 0 < left[-1] < waiting, "the last ones had only a batch of another topic to commit"
    check(tmp_path / f"killed-{killed}")


def check(folder: Path) -> None:
    """Everything acknowledged is in its table, or is a dead letter or a request to erase, once."""
    with closing(look_into(folder / "buffer")) as buffer:
        stored = rows(buffer)
    assert stored["articles"] == [(f"article-{number}", "Rates rise\n\nThe ECB acted.") for number in range(4)]
    assert stored["examples"] == sorted([*((f"l-{number}", f"text {number}") for number in range(4)), ("f-0", "another text")])
    assert stored["retrains"] == [RETRAIN["event_id"]]
    assert dict(stored["counts"]) == {"articles": 4, "examples": 5, "feedback": 1, "predictions": 1, "requests": 1}
    with closing(DeadLetters(folder / "dead_letters.db")) as letters:
        assert sorted(letter.value for letter in letters.list()) == [b"", b"not json"]
    with closing(Erasures(folder)) as erasures:
        assert len(erasures.all()) == 1
