"""A model in the app's process: follows the champion, keeps the last good version, starts without a server."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.serving.service import Service
from perennial_artifact.predictor import Answer
from perennial_artifact.spacy.entities import Entities
from perennial_client import Client, MissingExtraError, Model, RefusedError, Retries, UnavailableError, loading
from tests.support import follower
from tests.support.proxies import Proxy, proxied
from tests.support.served import TASK, TEXT, TOPICS, ServedData, eventually, listening, load_on_cpu

FOLLOWER = Path(follower.__file__)
QUICK = Retries(deadline_s=0.5, first_wait_s=0.01, longest_wait_s=0.05)


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    made = ServedData(tmp_path / "server")
    made.champion()
    return made


@pytest.fixture
def proxy(data: ServedData) -> Iterator[Proxy]:
    with Service.open(data.settings, load=load_on_cpu) as service, listening(service) as address, proxied(address) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    """A client that waits for a busy server."""
    with Client(proxy.address, retries=replace(QUICK, deadline_s=30.0)) as opened:
        yield opened


@pytest.fixture
def hasty(proxy: Proxy) -> Iterator[Client]:
    """A client that gives up at once, for a server that is away."""
    with Client(proxy.address, retries=QUICK) as opened:
        yield opened


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def away() -> Iterator[Client]:
    """A client whose server is not there."""
    with Client("http://127.0.0.1:9", retries=QUICK) as opened:
        yield opened


def follow(client: Client, cache: Path, **options: Any) -> Model:
    return Model.follow(TASK, client=client, cache_dir=cache, **{"poll_s": 0.05, "wait_s": 5.0} | options)


def label(model: Model) -> str:
    [prediction] = model.predict([TEXT])
    [span] = prediction.spans
    assert prediction.version == f"{TASK}/{span.label.lower()}", "answer and version belong together"
    assert prediction.prediction_id is None
    return span.label


def folders(cache: Path) -> set[str]:
    return {path.name.partition("-")[0] for path in (cache / TASK).iterdir() if path.is_dir()}


def settled(cache: Path, *numbers: int) -> bool:
    try:
        entries = json.loads((cache / TASK / "good.json").read_bytes())
    except FileNotFoundError:
        return False
    return [entry["version"] for entry in entries] == [f"{TASK}/v{number}" for number in numbers]


def test_it_answers_with_the_champion_and_follows_it(client: Client, cache: Path, data: ServedData) -> None:
    with follow(client, cache) as model:
        assert (model.version, label(model), model.last_error) == (f"{TASK}/v1", "V1", None)
        assert model.age_s < 5
        data.champion()
        eventually(lambda: label(model) == "V2")
        assert model.version == f"{TASK}/v2"
        data.promote(f"{TASK}/v1")
        eventually(lambda: label(model) == "V1")


def test_the_cache_keeps_the_last_good_versions_and_no_more(client: Client, cache: Path, data: ServedData) -> None:
    with follow(client, cache) as model:
        for number in (2, 3, 4):
            data.champion()
            eventually(lambda wanted=number: settled(cache, wanted, wanted - 1))
        eventually(lambda: folders(cache) == {"v4", "v3"})
        data.promote(f"{TASK}/v3")
        eventually(lambda: settled(cache, 3, 4))
        assert (label(model), folders(cache)) == ("V3", {"v4", "v3"})


def test_a_version_that_is_in_the_cache_is_not_fetched_again(client: Client, cache: Path, data: ServedData, proxy: Proxy) -> None:
    with follow(client, cache) as model:
        data.champion()
        eventually(lambda: settled(cache, 2, 1))
        before = proxy.requests.count(b"/files/")
        data.promote(f"{TASK}/v1")
        eventually(lambda: label(model) == "V1")
        assert proxy.requests.count(b"/files/") == before


def test_without_a_server_it_starts_from_the_cache_and_says_how_old_it_is(client: Client, away: Client, cache: Path) -> None:
    follow(client, cache).close()
    [manifest] = (cache / TASK).glob("v1-*/manifest.json")
    os.utime(manifest, (time.time() - 3600, time.time() - 3600))
    with follow(away, cache) as model:
        assert label(model) == "V1"
        assert 3600 <= model.age_s < 3700
        eventually(lambda: model.last_error)
        assert "ConnectError" in (model.last_error or "")
    with follow(client, cache) as model:
        eventually(lambda: model.age_s < 5)
        eventually(lambda: time.time() - manifest.stat().st_mtime < 5)


def test_without_server_and_cache_it_says_why_there_is_no_model(away: Client, cache: Path) -> None:
    with pytest.raises(UnavailableError, match=r"no model of task 'entities' could be loaded.*no answer \(ConnectError"):
        follow(away, cache, wait_s=0)


def test_a_first_champion_is_waited_for(client: Client, cache: Path, data: ServedData) -> None:
    with pytest.raises(UnavailableError, match="no champion yet"):
        Model.follow(TOPICS, client=client, cache_dir=cache, wait_s=0)
    with pytest.raises(UnavailableError, match="not defined here"):
        Model.follow("weather", client=client, cache_dir=cache, wait_s=0)
    broken = data.artifact_file(data.champion())
    good = broken.read_bytes()
    broken.write_bytes(b"x" * len(good))
    threading.Timer(1.0, lambda: broken.write_bytes(good)).start()
    with follow(client, cache, wait_s=30) as model:
        assert label(model) == "V2"


def test_while_the_server_is_away_it_answers_on_and_grows_old(hasty: Client, cache: Path, proxy: Proxy, data: ServedData) -> None:
    with follow(hasty, cache) as model:
        proxy.break_after = 0
        eventually(lambda: model.last_error)
        assert "no answer" in (model.last_error or "")
        first = model.age_s
        assert label(model) == "V1"
        eventually(lambda: model.age_s > first + 0.2)
        data.champion()
        proxy.break_after = None
        eventually(lambda: label(model) == "V2")
        eventually(lambda: model.last_error is None)
        assert model.age_s < 5


def test_a_version_that_fails_leaves_the_old_one_and_is_not_tried_in_a_tight_loop(
    client: Client, cache: Path, data: ServedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []
    real = loading.load

    def load(champion: Any, folder: Path, precision: str, before: Any, **options: Any) -> Any:
        if champion.version == f"{TASK}/v2":
            tried.append(time.monotonic())
            message = "a broken model"
            raise ZeroDivisionError(message)
        return real(champion, folder, precision, before, **options)

    monkeypatch.setattr(loading, "load", load)
    with follow(client, cache, wait_s=60.0) as model:
        data.champion()
        eventually(lambda: model.last_error, within_s=60)
        assert model.last_error == (
            f"{TASK}/v2 cannot be used: a broken model; {TASK}/v1 answers on, and the next attempt is in 2 s at the earliest"
        )
        assert label(model) == "V1"
        age = model.age_s
        eventually(lambda: len(tried) == 2)
        assert tried[1] - tried[0] >= 2, "forty looks, one attempt"
        assert model.age_s > age, "it is no longer the champion"
        data.champion()
        eventually(lambda: label(model) == "V3")
        eventually(lambda: model.last_error is None)
        eventually(lambda: folders(cache) == {"v1", "v3"})


def test_a_champion_that_moved_away_and_back_is_tried_again_at_once(client: Client, cache: Path, data: ServedData) -> None:
    broken = data.artifact_file(data.publish())
    good = broken.read_bytes()
    broken.write_bytes(b"x" * len(good))
    with follow(client, cache) as model:
        model._poll_s = 3600
        data.promote(f"{TASK}/v2")
        assert not model.refresh()
        broken.write_bytes(good)
        assert not model.refresh(), "it waits"
        data.promote(f"{TASK}/v1")
        assert model.refresh()
        data.promote(f"{TASK}/v2")
        assert model.refresh()
        assert label(model) == "V2"


def test_bytes_that_differ_are_refused_and_fetched_anew(client: Client, cache: Path, data: ServedData, proxy: Proxy) -> None:
    with follow(client, cache) as model:
        proxy.change = lambda answer: answer.replace(b'"label":"V2"', b'"label":"V7"')
        data.champion()
        eventually(lambda: "patterns.jsonl is not the one that was published" in (model.last_error or ""))
        assert label(model) == "V1"
        assert "v2" not in folders(cache)
        proxy.change = lambda answer: answer
        eventually(lambda: label(model) == "V2")


def test_a_manifest_that_is_not_the_champions_is_refused(client: Client, cache: Path, data: ServedData, proxy: Proxy) -> None:
    with follow(client, cache) as model:
        proxy.change = lambda answer: answer.replace(b'"size_bytes": 1', b'"size_bytes": 2')
        data.champion()
        eventually(lambda: "manifest.json is not the one on record" in (model.last_error or ""))
        assert label(model) == "V1"


def test_a_cached_version_that_was_damaged_is_not_loaded(client: Client, away: Client, cache: Path, data: ServedData) -> None:
    with follow(client, cache):
        data.champion()
        eventually(lambda: settled(cache, 2, 1))
    [newest] = (cache / TASK).glob("v2-*")
    (newest / "entity_ruler" / "patterns.jsonl").write_text("{}")
    with follow(away, cache) as model:
        assert label(model) == "V1", "the one before it is good"
    with follow(client, cache) as model:
        eventually(lambda: label(model) == "V2")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"[{}]", b"\xff", b'[{"version": "../../v1"}]'])
def test_a_note_that_cannot_be_read_is_as_none(client: Client, cache: Path, content: bytes) -> None:
    follow(client, cache).close()
    (cache / TASK / "good.json").write_bytes(content)
    with follow(client, cache) as model:
        assert label(model) == "V1"
        assert settled(cache, 1)


def test_a_task_and_version_from_a_stranger_lead_nowhere(client: Client, cache: Path, proxy: Proxy) -> None:
    for version in (b"../../../v1", b"entities/..", b"entitiez/v1", b"entities/v0"):
        proxy.change = lambda answer, new=version: answer.replace(b'"version":"entities/v1"', b'"version":"%b"' % new)
        with pytest.raises(UnavailableError, match="is not a version of task"):
            follow(client, cache, wait_s=0)
    assert list(cache.rglob("*")) == []


def test_what_it_leaves_it_lets_go(client: Client, cache: Path, data: ServedData) -> None:
    with follow(client, cache) as model:
        live = model._live
        assert live is not None
        pipeline = weakref.ref(live.opened.predictor._nlp)  # type: ignore[attr-defined]  # it is Entities
        del live
        data.champion()
        eventually(lambda: label(model) == "V2")
        eventually(lambda: pipeline() is None)


def test_a_prediction_that_has_begun_ends_on_its_version(
    client: Client, cache: Path, data: ServedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    answers: list[str] = []
    real = Entities.predict

    def slow(self: Entities, texts: Sequence[str]) -> list[Answer]:
        if threading.current_thread().name == "asker":
            begun.set()
            assert go_on.wait(30)
        return real(self, texts)

    monkeypatch.setattr(Entities, "predict", slow)
    with follow(client, cache) as model:
        asker = threading.Thread(target=lambda: answers.append(label(model)), name="asker")
        asker.start()
        assert begun.wait(30)
        old = weakref.ref(model._live)  # type: ignore[arg-type]  # it has one
        data.champion()
        eventually(lambda: model.version == f"{TASK}/v2")
        assert label(model) == "V2", "it need not wait for the old one"
        gc.collect()
        assert old() is not None
        go_on.set()
        asker.join(30)
        assert answers == ["V1"]
        eventually(lambda: old() is None)


def test_texts_that_serving_refuses_are_refused_here_too(client: Client, cache: Path) -> None:
    with follow(client, cache) as model:
        assert model.predict([]) == []
        for wrong in ([" "], ["a", "\ud800"]):
            with pytest.raises(RefusedError):
                model.predict(wrong)
        with pytest.raises(TypeError):
            model.predict(TEXT)


def test_senseless_options_are_refused(client: Client, cache: Path) -> None:
    for options in ({"keep": 0}, {"poll_s": 0}):
        with pytest.raises(ValueError, match="at least 1 version"):
            follow(client, cache, **options)


def test_a_format_this_client_does_not_know_says_what_to_do(client: Client, cache: Path, proxy: Proxy) -> None:
    proxy.change = lambda answer: answer.replace(b'"format":"spacy-ner"', b'"format":"no-format"')
    with pytest.raises(UnavailableError, match=r"'no-format' is not known.*Client\.predict"):
        follow(client, cache, wait_s=0)


def test_a_missing_library_names_its_extra(client: Client, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "perennial_artifact.spacy.entities")
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'perennial-client\[spacy\]'"):
        follow(client, cache)


def test_processes_that_share_a_cache_fetch_a_version_once(client: Client, cache: Path, proxy: Proxy) -> None:
    command = [sys.executable, str(FOLLOWER), proxy.address, TASK, str(cache)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    assert [process.communicate(timeout=120)[0] for process in processes] == [f"{TASK}/v1\n"] * 2
    assert proxy.requests.count(b"/files/meta.json ") == 1


def test_what_an_earlier_process_left_half_fetched_is_gone_on_with_or_removed(
    client: Client, cache: Path, data: ServedData
) -> None:
    sha256 = client.champion(TASK).manifest_sha256
    part = cache / TASK / f".part-v1-{sha256[:12]}"
    (part / "entity_ruler").mkdir(parents=True)
    whole = data.artifact_file(f"{TASK}/v1").read_bytes()
    (part / "entity_ruler" / "patterns.jsonl").write_bytes(whole[:7])
    (part / "meta.json").write_bytes(b"x" * 100_000)
    other = cache / TASK / ".part-v9-0123456789ab"
    other.mkdir()
    shutil.copytree(part, cache / TASK / "v8-0123456789ab")
    with follow(client, cache, wait_s=30) as model:
        assert label(model) == "V1"
    assert folders(cache) == {"v1"}


def test_swaps_and_failures_are_logged(
    hasty: Client, cache: Path, data: ServedData, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "perennial_client")

    def said(*levels: str) -> list[tuple[str, str]]:
        return [
            (record.levelname, record.getMessage().partition(":")[2].strip())
            for record in caplog.records
            if record.levelname in levels
        ]

    with follow(hasty, cache) as model:
        proxy.break_after = 0
        eventually(lambda: len(said("DEBUG")) >= 3)
        assert "no answer" in (model.last_error or "")
    loud = said("INFO", "WARNING", "ERROR")
    # On a busy machine the first look may find no answer either.
    after = loud[loud.index(("INFO", f"{TASK}/v1 answers")) + 1 :]
    assert [level for level, _message in after] == ["WARNING"], "what lasts is said once"
    assert "no answer" in after[0][1]
