"""The proof: after an erasure no byte below the data folder holds a word of what was erased, and killing it changes nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from config.clock import utc_now
from consumers.events import schemas as events
from consumers.events.schemas import AnyEvent, Article, Feedback, Label, Retrain
from consumers.log.open import open_event_log
from daemon.demo.installation import Installation
from daemon.views import erasures
from registry.store import Registry
from tests.support import markers, ner_rows
from tests.support.commands import perennial
from tests.support.daemons import wait_until
from tests.support.hasty_daemon import ROAD
from tests.support.tables import rows_of
from tests.support.tiny_models import toy_rows

pytestmark = pytest.mark.slow

TOPICS, ENTITIES = "news-topics", "news-entities"
HASTY = str(Path(__file__).parents[1] / "support" / "hasty_daemon.py")
LIMIT_S = 180.0
USER, ARTICLE = "user-qwallon", "article-brimvex"
USER_WORD, ARTICLE_WORD = "Xylomarkzebra", "Quorvundelfish"
WORDS = (USER, ARTICLE, USER_WORD, ARTICLE_WORD)
ARTICLE_TEXT = f"{ARTICLE_WORD} won the match in Paris . " + f"The coach {ARTICLE_WORD} said so . " * 20


@pytest.fixture
def town(tmp_path: Path, models: Path) -> Iterator[Installation]:
    made = installation(tmp_path, models)
    yield made
    made.stop()


def installation(folder: Path, models: Path, *, serve: bool = True) -> Installation:
    # A loss of half the score is tolerated: what is tested is not how well tiny models learn.
    gate = {
        "promotion.max_latency_ratio": 1000.0,
        "promotion.min_test_examples": 5,
        "promotion.min_improvement": 0.5,
        "trigger.min_new_examples": 100_000,
    }
    topics = {
        "base_model": str(models / "bert"), "training.full_epochs": 15, "training.full_learning_rate": 5e-3,
        "training.batch_size": 16, "training.max_tokens": 32,
    }  # fmt: skip
    settings: dict[str, dict[str, Any]] = {
        # Random vectors are all alike: only equal texts make a story.
        "enrich": {
            "encoder": str(models / "encoder"), "story_similarity": 1.0, "min_quality": 0.0, "test_fraction": 0.3,
            "max_test_fraction": 0.3, "interval_s": 0.2,
        },
        "ingest": {"min_free_disk_mib": 1},
        "training": {"device": "cpu", "precision": "fp32", "threads": 1},
        "schedule": {"check_interval_s": 0.5},
        "serving": {"refresh_interval_s": 0.5},
        # A daemon that died holds up the next for so long.
        "registry": {"lease_s": 1.0},
    }  # fmt: skip
    overrides = {TOPICS: topics | gate, ENTITIES: {"training.full_epochs": 8, "labels": "open"} | gate}
    return Installation(folder, task_overrides=overrides, settings_overrides=settings, serve=serve)


def everybody() -> Iterator[AnyEvent]:
    """What others had said and written; it must all stay."""
    for row in toy_rows(("SPORT", "MARKETS"), 60, seed=8):
        yield Label(event_id=row.example_id, occurred_at=utc_now(), task=TOPICS, text=row.text, target=dict(row.target))
    # The tiny encoder tells texts apart by the words that it knows.
    for row, known in zip(ner_rows.examples(80, seed=2), toy_rows(("SPORT", "WEATHER"), 40, seed=9), strict=True):
        text = f"{row.text} {known.text}"
        yield Label(event_id=f"e-{known.example_id}", occurred_at=utc_now(), task=ENTITIES, text=text, target=dict(row.target))
    yield Article(event_id="a-other", occurred_at=utc_now(), article_id="another", body="The storm left Oslo .")
    yield feedback("f-other", "Wind and rain today", user_id="somebody")


def feedback(event_id: str, text: str | None, **more: Any) -> Feedback:
    fields = {"task": TOPICS, "target": {"label": "SPORT"}, "user_id": USER, "verdict": "correction"} | more
    return Feedback(event_id=event_id, occurred_at=utc_now(), text=text, **fields)


def entity(start: int = 0, word: str = USER_WORD) -> dict[str, Any]:
    return {"spans": [{"start": start, "end": start + len(word), "label": "PERSON"}]}


def the_erased_ones() -> list[AnyEvent]:
    """What the user said and the article held, in every way that can be sent."""
    told = [f"{USER_WORD} match {number} " * 8 for number in range(6)]
    return [
        Article(event_id="a-first", occurred_at=utc_now(), article_id=ARTICLE, title=ARTICLE_WORD, body="a first draft"),
        Article(event_id="a-last", occurred_at=utc_now(), article_id=ARTICLE, body=ARTICLE_TEXT),
        *(feedback(f"f-{number}", text) for number, text in enumerate(told)),
        *(feedback(f"n-{number}", text, task=ENTITIES, target=entity()) for number, text in enumerate(told)),
        feedback("f-article", None, article_id=ARTICLE, user_id="somebody"),
        feedback("f-waits", None, article_id="never-came"),
        Label(event_id="l-article", occurred_at=utc_now(), task=TOPICS, article_id=ARTICLE, target={"label": "SPORT"}),
        Label(
            event_id="l-entity", occurred_at=utc_now(), task=ENTITIES, article_id=ARTICLE, target=entity(word=ARTICLE_WORD)
        ),
        Label(event_id="l-copy", occurred_at=utc_now(), task=TOPICS, text=ARTICLE_TEXT, target={"label": "SPORT"}),
    ]  # fmt: skip


def publish_broken(town: Installation) -> None:
    """Events that become dead letters: one that JSON cannot read, one of an unknown task, one that is too large."""
    large = {"type": "feedback", "text": f"{USER_WORD} " * 200_000, "user_id": USER}
    unknown = {"type": "feedback", "event_id": "f-bad", "task": "nothing", "text": USER_WORD, "user_id": USER}
    values = [f'{{"user_id": "{USER}", "text": "{USER_WORD}'.encode(), json.dumps(unknown).encode(), json.dumps(large).encode()]
    with closing(open_event_log(town.settings)) as log, closing(log.sink()) as sink:
        for value in values:
            sink.publish(events.FEEDBACK_TOPIC, value)
        sink.flush()


def train(town: Installation, *tasks: str) -> None:
    """Have everything enriched, then the tasks trained from the base."""
    town.wait_until(town.is_quiet, limit_s=LIMIT_S, what="enrichment")
    for task in tasks:
        town.publish([Retrain(event_id=f"first-{task}", occurred_at=utc_now(), task=task, full=True, reason="the test asks")])
    town.wait_until(town.is_quiet, limit_s=LIMIT_S, what="the runs")


def listed(town: Installation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(perennial(town, "erasures", "--json").stdout)["erasures"]
    return found


def states(town: Installation) -> list[str]:
    """How far each erasure is; as `listed`, without a process."""
    return [one.state for one in erasures.listed(town.settings).erasures]


def champions(town: Installation) -> dict[str, str | None]:
    return {task.task: task.champion for task in town.status().tasks}


def keys_of(town: Installation) -> dict[str, set[str]]:
    keys = {"articles": "event_id", "examples": "row_id", "feedback": "event_id", "predictions": "prediction_id"}
    return {name: set(rows_of(town.settings.buffer_dir, name, [key])[key].to_pylist()) for name, key in keys.items()}


def groups(places: dict[str, set[str]]) -> set[str]:
    """The first part of each path, without endings."""
    return {path.split("/")[0].split(".")[0] if "buffer" not in path else path.split("/")[1].split(".")[0] for path in places}


def others() -> dict[str, set[str]]:
    """The rows that must stay."""
    keys: dict[str, set[str]] = {"articles": set(), "examples": set(), "feedback": set()}
    for event in everybody():
        keys["articles" if isinstance(event, Article) else "examples"].add(event.event_id)
        if isinstance(event, Feedback):
            keys["feedback"].add(event.event_id)
    return keys


def publish_all(town: Installation) -> None:
    """Everybody at once, so that the erased ones share files with the others."""
    mixed = [*everybody(), *the_erased_ones()]
    random.Random(4).shuffle(mixed)
    town.publish(mixed)
    publish_broken(town)
    town.wait_until(lambda: not any(town.status().lag.values()), limit_s=LIMIT_S, what="ingest")
    stored = keys_of(town)
    assert all(keys < stored[table] for table, keys in others().items())


def fill(town: Installation) -> None:
    """Let everybody speak, train, predict, correct."""
    publish_all(town)
    train(town, TOPICS, ENTITIES)
    assert champions(town) == {TOPICS: f"{TOPICS}/v1", ENTITIES: f"{ENTITIES}/v1"}, [one.last_run for one in town.status().tasks]
    town.wait_until(lambda: ready(town), limit_s=LIMIT_S, what="serving")
    text = f"{USER_WORD} asks the coach " * 10
    asked = town.predict(TOPICS, [text, text])
    town.post(f"/v1/tasks/{TOPICS}/predict", {"text": ARTICLE_TEXT, "article_id": ARTICLE})
    town.predict(TOPICS, [ARTICLE_TEXT, "shares of a trader"])
    cited = asked["predictions"][0]["prediction_id"]
    said = {"task": TOPICS, "prediction_id": cited, "target": {"label": "MARKETS"}, "user_id": USER, "verdict": "correction"}
    town.post("/v1/feedback", said | {"event_id": "f-http"})
    town.wait_until(lambda: len(keys_of(town)["predictions"]) >= 6, limit_s=LIMIT_S, what="predictions")
    town.wait_until(town.is_quiet, limit_s=LIMIT_S, what="the correction")


def ready(town: Installation) -> bool:
    try:
        town.predict(TOPICS, ["is it there"])
    except Exception:  # noqa: BLE001 - whatever it says while it loads
        return False
    return True


def check_nothing_is_left(town: Installation) -> None:
    assert markers.places_of(WORDS, town.settings.data_dir) == {}
    kept = keys_of(town)
    assert {table: kept[table] for table in others()} == others()


def test_after_an_erasure_no_byte_holds_what_was_erased(town: Installation) -> None:
    town.start([HASTY])
    fill(town)
    before = markers.places_of(WORDS, town.settings.data_dir)
    assert groups(before) == {
        "articles", "examples", "feedback", "feedback_judgements", "predictions", "events", "dead_letters", "runs",
    }  # fmt: skip
    with Registry.open(town.settings.registry_url, read_only=True) as registry:
        assert {"f-0", "l-article"} & registry.versions.learnt(f"{TOPICS}/v1")
        assert {"n-0", "n-1", "n-2", "l-entity"} & registry.versions.learnt(f"{ENTITIES}/v1")
    strings = list(town.settings.artifacts_dir.rglob("strings.json"))
    assert len(strings) == 1, "a spaCy model was published"

    assert "perennial erasures" in perennial(town, "erase", "--user", USER, "--yes").stdout
    perennial(town, "erase", "--article", ARTICLE, "--yes")
    town.wait_until(lambda: states(town) == ["done", "done"], limit_s=LIMIT_S, what="the erasures")
    assert {one["state"] for one in listed(town)} == {"done"}
    assert champions(town) == {TOPICS: f"{TOPICS}/v2", ENTITIES: f"{ENTITIES}/v2"}
    card = perennial(town, "models", "show", f"{TOPICS}/v1").stdout
    assert "Learnt from texts that have been erased" in card
    assert "Its files are gone" in card
    town.wait_until(town.is_quiet, limit_s=LIMIT_S, what="the end")

    # Whatever comes again stays out, from the log and over HTTP.
    town.publish([one.model_copy(update={"occurred_at": utc_now()}) for one in the_erased_ones()])
    publish_broken(town)
    again = {"task": TOPICS, "text": f"{USER_WORD} again", "target": {"label": "SPORT"}, "user_id": USER, "verdict": "correction"}
    town.post("/v1/feedback", again | {"event_id": "f-again"})
    town.post(f"/v1/tasks/{TOPICS}/predict", {"text": ARTICLE_TEXT})
    town.wait_until(lambda: not any(town.status().lag.values()), limit_s=LIMIT_S, what="the redelivery")
    # Each look reads all there is: the daemon needs the time between them.
    wait_until(lambda: markers.places_of(WORDS, town.settings.data_dir) == {}, LIMIT_S, every_s=1.0, what="the log to be cleaned")
    assert town.status().dead_letters == 0
    assert town.stop() == 0
    check_nothing_is_left(town)


def test_killed_before_any_write_it_comes_to_the_same_end(tmp_path: Path, models: Path) -> None:
    town = installation(tmp_path, models, serve=False)
    try:
        town.start([HASTY])
        publish_all(town)
        train(town, ENTITIES)
        town.stop()
        user, article = {"user_id": USER}, {"article_id": ARTICLE}
        town.publish(
            events.Erase(event_id=f"x-{name}", occurred_at=utc_now(), **what) for name, what in enumerate((user, article))
        )
        town.start([HASTY, "--die"])
        assert town.wait(len(ROAD) * LIMIT_S) == 0, town.log_tail()
        town.start([HASTY])
        town.wait_until(lambda: states(town) == ["done", "done"], limit_s=LIMIT_S, what="the end")
        town.stop()
        check_nothing_is_left(town)
    finally:
        town.stop()
