"""The serving process's own threads: one that ended or hangs makes it not ready, and ends it where only a new one helps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from daemon.serving import __main__ as process
from daemon.serving.http.errors import ApiError
from daemon.serving.http.lane import Lane
from daemon.serving.models import trouble
from daemon.serving.models.trouble import Trouble
from daemon.serving.service import Service
from perennial_artifact.predictor import Answer
from tests.support.served import TASK, ServedData, eventually, listening, load_on_cpu

LIMIT_S = 30


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    data = ServedData(tmp_path)
    data.champion()
    with Service.open(data.settings, load=load_on_cpu) as opened:
        eventually(lambda: opened.slots[TASK].status().serving)
        assert opened.troubles() == {}
        yield opened


def lost_by(service: Service) -> dict[str, bool]:
    return {name: found.lost for name, found in service.troubles().items()}


def test_a_model_that_does_not_come_back_is_told_and_then_ends_the_process(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, busy = threading.Event(), threading.Event()

    class Hangs:
        def divide(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

        def predict(self, texts: Sequence[str]) -> list[Answer]:
            busy.set()
            assert go.wait(LIMIT_S)
            return [{"spans": []} for _text in texts]

    live = service.slots[TASK]._live
    assert live is not None
    monkeypatch.setattr(live.batcher, "_predictor", Hangs())
    future = live.batcher.submit(["text"])
    assert busy.wait(LIMIT_S)
    assert service.troubles() == {}

    monkeypatch.setattr(trouble, "SILENT_S", -1.0)
    with listening(service) as address:
        answer = httpx.get(f"{address}/readyz", timeout=LIMIT_S)
    assert answer.status_code == 503
    assert "answers no more" in answer.json()["reasons"][TASK]
    assert not service.slots[TASK].trouble().lost  # type: ignore[union-attr]  # it is in trouble
    monkeypatch.setattr(trouble, "LOST_S", -1.0)
    assert lost_by(service)[TASK]
    go.set()
    assert future.result(LIMIT_S)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is what is injected
def test_a_thread_that_answers_and_one_that_watches_are_missed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    live = service.slots[TASK]._live
    assert live is not None

    def ends(_batch: object) -> None:
        raise SystemExit

    monkeypatch.setattr(live.batcher, "_answer", ends)
    live.batcher.submit(["text"])
    eventually(lambda: lost_by(service) == {TASK: True})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # as above
def test_every_other_thread_is_missed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(*_anything: object) -> None:
        raise SystemExit

    monkeypatch.setattr(service.predictions, "_publish", ends)
    service.predictions.add(TASK, "v", ["text"], [{"spans": []}])
    monkeypatch.setattr(service.slots[TASK], "refresh", ends)
    eventually(lambda: lost_by(service) == {TASK: True, "predictions": True})


def test_what_is_lost_ends_the_process_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    troubles = {"topics": Trouble("slow", lost=False)}
    nothing = lambda: None  # noqa: E731 - no stream is open
    server = process._Server(uvicorn.Config(None), None, "", lambda: troubles, end_streams=nothing)  # type: ignore[arg-type]  # none is asked for here
    ended: list[Any] = []
    monkeypatch.setattr(server, "handle_exit", lambda *_signal: ended.append(1) or setattr(server, "should_exit", True))
    assert not asyncio.run(server.on_tick(0))
    troubles["topics"] = Trouble("the thread has ended", lost=True)
    assert asyncio.run(server.on_tick(10))
    assert (server.lost, len(ended)) == ("the thread has ended", 1)


def test_a_lane_keeps_to_its_threads_and_refuses_whom_it_cannot_take() -> None:
    go, entered = threading.Semaphore(0), threading.Semaphore(0)
    inside: list[int] = []

    def work(number: int) -> int:
        inside.append(number)
        entered.release()
        assert go.acquire(timeout=LIMIT_S)
        return number

    async def flood() -> None:
        lane, other = Lane(threads=2, waiting=3), Lane(threads=1, waiting=0)
        asked = [asyncio.create_task(lane.run(work, number)) for number in range(5)]
        for _ in range(2):
            await asyncio.to_thread(entered.acquire)
        with pytest.raises(ApiError) as refused:
            await lane.run(work, 5)
        assert refused.value.status == 503
        assert await other.run(lambda: "at once") == "at once", "a full lane delays no other"
        assert len(inside) == 2
        go.release(5)
        assert await asyncio.gather(*asked) == [0, 1, 2, 3, 4]
        go.release()
        assert await lane.run(work, 6) == 6

    asyncio.run(flood())
