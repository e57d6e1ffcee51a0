"""A trusted correction answers over HTTP for its own text, says so, and gives way to a champion that has learnt it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.clock import utc_now
from config.errors import RetryError
from consumers.events.parsing import parse
from consumers.events.schemas import PREDICTIONS_TOPIC, PredictionMade, content_sha256
from consumers.log.embedded.log import EmbeddedLog
from daemon.serving.feedback.corrections import CorrectionBook
from daemon.serving.models.slot import SlotStatus
from daemon.serving.service import Service
from registry import promotion
from registry.people.corrections import Correction
from registry.store import Registry
from tests.support.buffers import TOPICS
from tests.support.registries import add_version
from tests.support.served import TASK, TEXT, ServedData, eventually, listening, load_on_cpu

OTHER = "The Riksdag met on Tuesday."
SPAN = {"start": 4, "end": 11, "label": "ORG"}


Live = tuple[Service, httpx.Client]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> ServedData:
    made = ServedData(tmp_path_factory.mktemp("served"))
    made.champion()
    return made


@pytest.fixture(scope="module")
def running(served: ServedData) -> Iterator[Live]:
    with serving(served) as both:
        yield both


@pytest.fixture
def live(running: Live, served: ServedData) -> Iterator[Live]:
    """The running service, with v1 as the champion and no correction in force."""
    service, client = running
    yield service, client
    served.registry.corrections.put(TASK, [])
    if service.slots[TASK].status().serving != f"{TASK}/v1":
        served.promote(f"{TASK}/v1")
        eventually(lambda: service.slots[TASK].status().serving == f"{TASK}/v1")
    eventually(lambda: service.corrections.count(TASK) == 0)


@pytest.fixture
def data(served: ServedData) -> ServedData:
    return served


@contextmanager
def serving(data: ServedData, **settings: Any) -> Iterator[tuple[Service, httpx.Client]]:
    with Service.open(data.settings_with(**settings), load=load_on_cpu) as service:
        eventually(lambda: service.slots[TASK].status().serving)
        # No connection is kept: a model may take longer to be swapped than the server keeps one that is idle.
        limits = httpx.Limits(max_keepalive_connections=0)
        with listening(service) as address, httpx.Client(base_url=address, timeout=30, limits=limits) as client:
            yield service, client


def put(data: ServedData, *texts: str, label: str = "V1", accepted: bool = True, prefix: str = "f", **more: Any) -> None:
    """Put corrections in force: `f-0` for the first text, and so on, under another `prefix` where a version learns them."""
    target = {"spans": [{**SPAN, "label": label}], **more}
    data.registry.corrections.put(
        TASK,
        [Correction(content_sha256(text), f"{prefix}-{n}", target, accepted, (f"{prefix}-{n}",)) for n, text in enumerate(texts)],
    )


def ask(client: httpx.Client, *texts: str) -> list[dict[str, Any]]:
    response = client.post(f"/v1/tasks/{TASK}/predict", json={"texts": texts})
    assert response.status_code == 200
    predictions: list[dict[str, Any]] = response.json()["predictions"]
    return predictions


def by(client: httpx.Client, *texts: str) -> list[tuple[str, str | None]]:
    return [(one["answered_by"], one["correction_id"]) for one in ask(client, *texts)]


def test_it_answers_for_its_text_alone_wherever_that_stands_in_a_request(data: ServedData, live: Live) -> None:
    service, client = live
    assert by(client, TEXT, OTHER) == [("model", None)] * 2
    put(data, TEXT, label="V1")
    eventually(lambda: service.corrections.count(TASK) == 1)
    first, own, last = ask(client, OTHER, TEXT, TEXT + " ")
    assert [one["answered_by"] for one in (first, own, last)] == ["model", "correction", "model"]
    assert (own["correction_id"], own["truncated"]) == ("f-0", False)
    assert own["spans"] == [SPAN | {"label": "V1"}]
    # Nothing is left for the model then, and the answer still names the version that is live.
    alone = client.post(f"/v1/tasks/{TASK}/predict", json={"text": TEXT}).json()
    assert alone["version"] == f"{TASK}/v1"
    assert by(client, TEXT, TEXT) == [("correction", "f-0")] * 2
    counted = service.metrics.exposition().decode()
    assert f'perennial_predictions_corrected_total{{task="{TASK}"}} 4.0' in counted
    assert f'perennial_corrections_in_force{{task="{TASK}"}} 1.0' in counted
    data.registry.corrections.put(TASK, [])
    eventually(lambda: by(client, TEXT) == [("model", None)])


def test_a_champion_that_learnt_it_answers_by_itself_and_a_rollback_brings_it_back(data: ServedData, live: Live) -> None:
    service, client = live
    put(data, TEXT, OTHER, prefix="c")
    eventually(lambda: by(client, TEXT, OTHER) == [("correction", "c-0"), ("correction", "c-1")])
    version = data.publish(learnt=("c-0",), parent=f"{TASK}/v1")
    data.promote(version)
    eventually(lambda: by(client, TEXT, OTHER) == [("model", None), ("correction", "c-1")])
    child = data.publish(parent=version)
    data.promote(child)
    eventually(lambda: service.slots[TASK].status().serving == child)
    eventually(lambda: by(client, TEXT, OTHER) == [("model", None), ("correction", "c-1")])
    promotion.rollback(data.registry, TASK, to=f"{TASK}/v1", actor="test", reason="test")
    eventually(lambda: by(client, TEXT, OTHER) == [("correction", "c-0"), ("correction", "c-1")])


def test_it_brings_no_label_into_an_open_task_that_nobody_vouched_for(data: ServedData, live: Live) -> None:
    service, client = live
    put(data, TEXT, label="BRAND_NEW", accepted=False)
    service.corrections.refresh()
    assert by(client, TEXT) == [("model", None)]
    put(data, TEXT, label="BRAND_NEW")
    eventually(lambda: by(client, TEXT) == [("correction", "f-0")])


@pytest.mark.parametrize(
    ("known", "declared", "labels", "answers"),
    [({"sport"}, (), "open", True), (set(), ("sport",), "open", True), ({"economy"}, (), "open", False),
     (set(), ("sport",), "closed", True), ({"sport"}, ("economy",), "closed", False)],
)  # fmt: skip
def test_a_label_answers_that_the_model_or_the_task_file_names(
    tmp_path: Path, known: set[str], declared: tuple[str, ...], labels: str, *, answers: bool
) -> None:
    spec = TOPICS.model_copy(update={"labels": labels, "label_names": declared})
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}") as registry:
        version = add_version(registry, spec.name).name
        registry.corrections.put(spec.name, [Correction("0" * 64, "f-0", {"label": "sport"}, accepted=False, examples=("f-0",))])
        status = SlotStatus(
            spec.name, looked=True, champion=version, serving=version, generation=1, loaded_at=None, failure=None,
            labels=frozenset(known),
        )  # fmt: skip
        book = CorrectionBook(registry.corrections, lambda: [status], enabled=True)
        book.use_tasks({spec.name: spec})
        book.refresh()
        assert book.count(spec.name) == answers


def test_its_receipt_says_that_it_does_not_answer_with_an_unknown_label(data: ServedData, live: Live) -> None:
    service, _client = live
    put(data, TEXT, label="BRAND_NEW", accepted=False)
    assert service.fates.progress("f-0", TASK).answers is False
    put(data, TEXT, label="BRAND_NEW")
    assert service.fates.progress("f-0", TASK).answers is True


def test_a_partial_target_answers_nothing(data: ServedData, live: Live) -> None:
    service, client = live
    put(data, TEXT, partial=True)
    service.corrections.refresh()
    assert by(client, TEXT) == [("model", None)]


def test_one_setting_turns_it_off(data: ServedData) -> None:
    put(data, TEXT)
    with serving(data, corrections_answer=False) as (service, client):
        service.corrections.refresh()
        assert by(client, TEXT) == [("model", None)]


def test_a_task_file_turns_it_off_at_a_reload(data: ServedData, live: Live) -> None:
    put(data, TEXT)
    service, client = live
    eventually(lambda: by(client, TEXT) == [("correction", "f-0")])
    path = data.folder / "tasks" / "entities.yaml"
    before = path.read_text()
    path.write_text(before + "feedback: {corrections_answer: false}\n", encoding="utf-8")
    service.reload()
    eventually(lambda: by(client, TEXT) == [("model", None)])
    path.write_text(before, encoding="utf-8")
    service.reload()
    eventually(lambda: by(client, TEXT) == [("correction", "f-0")])


def test_without_a_model_there_is_no_answer_at_all(tmp_path: Path) -> None:
    data = ServedData(tmp_path)
    put(data, TEXT)
    with Service.open(data.settings, load=load_on_cpu) as service, listening(service) as address:
        eventually(lambda: service.slots[TASK].status().looked)
        service.corrections.refresh()
        response = httpx.post(f"{address}/v1/tasks/{TASK}/predict", json={"text": TEXT})
        assert (response.status_code, response.json()["error"]["code"]) == (409, "no_champion")


def test_the_log_tells_whose_answer_it_was(data: ServedData, live: Live) -> None:
    put(data, TEXT)
    service, client = live
    eventually(lambda: by(client, TEXT) == [("correction", "f-0")])
    own, other = ask(client, TEXT, OTHER)
    eventually(lambda: service.predictions.waiting() == 0)
    log = EmbeddedLog(data.settings.event_log_file, retention=timedelta(days=1))
    source = log.source("test", [PREDICTIONS_TOPIC])
    found = [parse(raw.value, tasks=service.tasks, now=utc_now()) for raw in source.poll(timeout_s=1, max_events=1000)]
    source.close()
    log.close()
    told = {one.prediction_id: one for one in found if isinstance(one, PredictionMade)}
    assert (told[own["prediction_id"]].answered_by, told[own["prediction_id"]].answer["spans"]) == ("correction", own["spans"])
    # As before: whoever reads these events goes on as they did.
    assert told[other["prediction_id"]].answered_by is None


def test_new_ones_are_read_without_those_that_are_known(data: ServedData, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(data, refresh_interval_s=3600) as (service, _client):
        read: list[int] = []
        table = service.registry.corrections
        original = table.not_learnt_by
        monkeypatch.setattr(table, "not_learnt_by", lambda *asked, after: read.append(after) or original(*asked, after=after))
        put(data, TEXT)
        service.corrections.refresh()
        put(data, TEXT, OTHER)
        service.corrections.refresh()
        service.corrections.refresh()
        assert service.corrections.count(TASK) == 2
        put(data, OTHER)
        service.corrections.refresh()
        assert (len(read), service.corrections.count(TASK)) == (3, 1)
        # What went makes it read all anew; what only came does not.
        assert read[0] == read[2] == 0
        assert read[1] > 0


def test_while_the_registry_is_away_those_that_were_read_go_on(
    data: ServedData, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(data, TEXT)
    service, client = live
    eventually(lambda: by(client, TEXT) == [("correction", "f-0")])

    def away() -> None:
        message = "away"
        raise RetryError(message)

    monkeypatch.setattr(service.registry.corrections, "generations", away)
    looked = service.corrections.looked_at
    eventually(lambda: service.corrections.looked_at > looked)
    assert by(client, TEXT) == [("correction", "f-0")]
    assert not service.troubles()


def test_feedback_that_is_posted_again_tells_how_far_it_has_come(data: ServedData, live: Live) -> None:
    body = {"task": TASK, "user_id": "u", "verdict": "correction", "text": TEXT, "target": {"spans": [SPAN]}, "event_id": "r-0"}
    _service, client = live
    first = client.post("/v1/feedback", json=body).json()
    assert (first["answers_since"], first["learnt_in"], first["in_champion"]) == (None, None, False)
    put(data, TEXT, prefix="r")
    again = client.post("/v1/feedback", json=body).json()
    assert again["answers_since"] is not None
    assert (again["learnt_in"], again["in_champion"]) == (None, False)
    version = data.publish(learnt=("r-0",), parent=f"{TASK}/v1")
    learnt = client.post("/v1/feedback", json=body).json()
    assert (learnt["learnt_in"], learnt["in_champion"]) == (version, False)
    data.promote(version)
    live = client.post("/v1/feedback", json=body).json()
    assert (live["learnt_in"], live["in_champion"], live["accepted_at"]) == (version, True, first["accepted_at"])


def test_a_second_serving_process_follows_the_same_registry(data: ServedData, live: Live) -> None:
    put(data, TEXT)
    _, client = live
    with Registry.open(data.settings.registry_url) as elsewhere:
        eventually(lambda: by(client, TEXT) == [("correction", "f-0")])
        elsewhere.corrections.put(TASK, [])
        eventually(lambda: by(client, TEXT) == [("model", None)])
