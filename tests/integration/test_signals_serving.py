"""Signals without a champion and with one: keywords answer first, over HTTP and in the app's process, and answers say so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from config.clock import utc_now
from config.settings import SHIPPED_TASKS_DIR
from config.tasks import load_task
from consumers.events.parsing import parse
from consumers.events.schemas import PREDICTIONS_TOPIC, PredictionMade
from consumers.log.embedded.log import EmbeddedLog
from daemon.serving import client as asked_here
from daemon.serving.models.loading import RegistryChampions
from daemon.serving.models.slot import NoModelError, Slot
from daemon.serving.service import Service
from perennial_artifact.keywords import version_of
from perennial_client import AsyncClient, Client, Model, NoChampionError, RefusedError, Retries
from tests.support.served import TASK, TOPICS, ServedData, eventually, listening, load_on_cpu
from tests.support.tiny_models import make_tiny_bert, toy_plan, toy_signals
from trainers.learners.encoders.signals import SignalsLearner

CITY = "city-signals"
SHIPPED = SHIPPED_TASKS_DIR / "examples" / f"{CITY}.yaml"
TITLE, DESCRIPTION = "Storbranden är släckt", "The fire brigade left at noon, trains are delayed"


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    made = ServedData(tmp_path / "server")
    (made.folder / "tasks" / f"{CITY}.yaml").write_bytes(SHIPPED.read_bytes())
    return made


@pytest.fixture
def service(data: ServedData) -> Iterator[Service]:
    with Service.open(data.settings, load=load_on_cpu) as opened:
        eventually(lambda: opened.slots[CITY].status().looked)
        yield opened


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    with listening(service) as found:
        yield found


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, retries=Retries(deadline_s=30.0)) as opened:
        yield opened


def champion(data: ServedData, folder: Path) -> str:
    """Publish and promote a model that knows crime and sports, learnt in a moment; return its version."""
    rows = [
        {"crime": one["sports"] | {"tag": {"win": "theft", "loss": "fraud", "none": "none"}[one["sports"]["tag"]]}}
        for one in (row.target["signals"] for row in toy_signals(40))
    ]
    spec = load_task(SHIPPED).model_copy(update={"base_model": str(make_tiny_bert(folder / "bert"))})
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"full_epochs": 1, "max_tokens": 32})})
    examples = [
        row.__class__(row.example_id, row.text, {"signals": said}) for row, said in zip(toy_signals(40), rows, strict=True)
    ]
    SignalsLearner().train(toy_plan(spec, examples, folder / "work", full=True), folder / "model")
    version = data.publish_folder(CITY, folder / "model")
    data.promote(version)
    return version


def test_keywords_answer_until_there_is_a_champion_and_answers_say_so(
    client: Client, address: str, data: ServedData, service: Service, tmp_path: Path
) -> None:
    before = client.classify(CITY, TITLE, DESCRIPTION)
    assert (before.answered_by, before.version) == ("keywords", version_of(CITY))
    assert before["emergencies"] == (-0.7, "fire")
    assert before["transportation"] == (-0.5, "delays")
    assert before["sports"] == (0.0, "none")
    assert set(before) == {
        "emergencies", "crime", "festivals", "transportation", "weather_temp", "weather_wet", "sports", "economics", "politics",
    }  # fmt: skip
    assert before.prediction.prediction_id
    [told] = client.predict(CITY, [TITLE])
    assert (told.answered_by, told.signals["emergencies"].tag) == ("keywords", "fire")
    shown = {one["name"]: one for one in httpx.get(f"{address}/v1/tasks").json()["tasks"]}
    assert (shown[CITY]["serving"], shown[CITY]["problem"]) == (None, "no champion yet; keywords answer")
    assert shown[CITY]["ready"]
    version = champion(data, tmp_path)
    eventually(lambda: service.slots[CITY].status().serving == version)
    after = client.classify(CITY, "the goal", "")
    assert (after.answered_by, after.version) == ("model", version)
    assert set(after) == {"crime"}
    assert after["crime"].tag in ("theft", "fraud", "none")


def test_an_answer_of_keywords_is_logged_as_one(client: Client, service: Service, data: ServedData) -> None:
    said = client.classify(CITY, TITLE)
    eventually(lambda: service.predictions.waiting() == 0)
    log = EmbeddedLog(data.settings.event_log_file, retention=timedelta(days=1))
    source = log.source("test", [PREDICTIONS_TOPIC])
    found: list[PredictionMade] = []

    def arrived() -> bool:
        events = (parse(raw.value, tasks=service.tasks, now=utc_now()) for raw in source.poll(timeout_s=0.1, max_events=10))
        found.extend(event for event in events if isinstance(event, PredictionMade))
        return bool(found)

    eventually(arrived)
    source.close()
    log.close()
    assert [(one.prediction_id, one.answered_by, one.model_version) for one in found] == [
        (said.prediction.prediction_id, "keywords", version_of(CITY))
    ]
    receipt = client.feedback(CITY, user_id="u", verdict="confirmation", prediction_id=said.prediction.prediction_id)
    assert receipt.task == CITY


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "body"),
        ({"title": " "}, 422, "title"),
        ({"title": "a", "text": "b"}, 422, "text"),
        ({"description": 3}, 422, "description"),
        ([], 400, "body"),
    ],
)
def test_what_cannot_be_classified_is_refused(address: str, body: Any, status: int, field: str) -> None:
    response = httpx.post(f"{address}/v1/tasks/{CITY}/classify", json=body)
    assert (response.status_code, response.json()["error"]["field"]) == (status, field)


def test_a_task_of_another_kind_has_no_categories_and_one_without_keywords_no_answer(client: Client, address: str) -> None:
    with pytest.raises(RefusedError, match="no categories") as refused:
        client.classify(TOPICS, TITLE)
    assert refused.value.status == 422
    with pytest.raises(NoChampionError):
        client.predict(TOPICS, [TITLE])
    with pytest.raises(RefusedError, match="lists no keywords") as none:
        client.keywords(TOPICS)
    assert none.value.status == 404
    with pytest.raises(RefusedError, match="white space"):
        client.classify(CITY, " ", "")
    assert httpx.get(f"{address}/v1/tasks/{CITY}/keywords").json()["version"] == version_of(CITY)


def test_the_client_with_an_event_loop_classifies_too(address: str) -> None:
    async def use() -> None:
        async with AsyncClient(address) as client:
            said = await client.classify(CITY, TITLE, DESCRIPTION)
            assert (said["emergencies"].tag, said.answered_by) == ("fire", "keywords")
            assert (await client.keywords(CITY)) == load_task(SHIPPED).keywords

    asyncio.run(use())


def test_an_app_answers_by_itself_by_the_same_keywords_and_then_by_the_champion(
    client: Client, data: ServedData, tmp_path: Path
) -> None:
    with Model.follow(CITY, client=client, cache_dir=tmp_path / "cache", poll_s=0.05, wait_s=20.0) as model:
        said, served = model.classify(TITLE, DESCRIPTION), client.classify(CITY, TITLE, DESCRIPTION)
        assert (said.answered_by, said.version, model.version) == ("keywords", version_of(CITY), version_of(CITY))
        assert dict(said) == dict(served)
        assert said.prediction.prediction_id is None
        assert "no champion yet" in (model.last_error or "")
        version = champion(data, tmp_path)
        eventually(lambda: model.version == version)
        assert model.classify("the goal").answered_by == "model"
        texts = ["the goal", "a coach in the league", TITLE]
        here, there = model.predict(texts), client.predict(CITY, texts)
        assert [one.signals["crime"].tag for one in here] == [one.signals["crime"].tag for one in there]
        for one, other in zip(here, there, strict=True):
            assert one.signals["crime"].score == pytest.approx(other.signals["crime"].score, abs=1e-3)
        eventually(lambda: model.last_error is None)


def test_an_app_whose_task_has_neither_is_told(client: Client, tmp_path: Path) -> None:
    with pytest.raises(NoChampionError):
        Model.follow(TASK, client=client, cache_dir=tmp_path, poll_s=0.05, wait_s=0.2)


def test_a_command_answers_by_keywords_where_serving_is_not_up(data: ServedData) -> None:
    data.settings.data_dir.mkdir(parents=True, exist_ok=True)
    answer = asked_here.ask(data.settings, CITY, [TITLE])
    [prediction] = answer["predictions"]
    assert (answer["version"], prediction["answered_by"]) == (version_of(CITY), "keywords")
    assert asked_here.in_words(TITLE, prediction).plain == f"keywords: emergencies -0.7 fire  {TITLE}"


@pytest.fixture
def slot(data: ServedData) -> Iterator[Slot]:
    made = Slot(load_task(SHIPPED), RegistryChampions(data.registry, data.artifacts), load_on_cpu)
    yield made
    made.close()


def tag(slot: Slot) -> tuple[str, str]:
    version, future = slot.predict([TITLE])
    return version, future.result(20)[0]["signals"]["emergencies"]["tag"]


def test_changed_keywords_answer_at_the_next_look_and_none_answer_no_more(slot: Slot) -> None:
    with pytest.raises(NoModelError):
        slot.predict([TITLE])
    assert slot.refresh().kind == "no_champion"
    assert tag(slot) == (version_of(CITY), "fire")
    content = yaml.safe_load(SHIPPED.read_text())
    content["promotion"]["baseline"] = "majority"
    content["signals"] = [{"name": "emergencies", "tags": [{"name": "blaze", "keywords": {"sv": ["storbranden"]}}]}]
    slot.spec = slot.spec.model_validate(content)
    slot.refresh()
    assert tag(slot) == (version_of(CITY), "blaze")
    content["signals"][0]["tags"][0]["keywords"] = {}
    slot.spec = slot.spec.model_validate(content)
    slot.refresh()
    with pytest.raises(NoModelError):
        slot.predict([TITLE])


def test_keywords_answer_where_the_champion_cannot_be_loaded(slot: Slot, data: ServedData, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.json").write_text("{}")
    data.promote(data.publish_folder(CITY, broken))
    assert slot.refresh().kind == "failed"
    assert tag(slot) == (version_of(CITY), "fire")
    assert slot.status().failure is not None
    assert slot.status().serving is None
