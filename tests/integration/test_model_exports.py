"""Exported versions open in the libraries that they were written for, and answer alike."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
import yaml
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

from config.errors import UserError
from config.tasks import TaskSpec
from daemon.operations.handing import exporting
from registry.reports.model_card import README_FILE
from tests.support import ner_rows
from tests.support.curated_pipeline import make_curated_pipeline
from tests.support.disks import small_disk
from tests.support.handed import Handing
from tests.support.missing import missing
from tests.support.opening import opened
from tests.support.tiny_models import (
    make_tiny_bert,
    toy_entities,
    toy_numbers,
    toy_numbers_spec,
    toy_plan,
    toy_rows,
    toy_rows_of_several,
    toy_signals,
    toy_signals_spec,
    toy_spec,
)
from trainers.export import catalog
from trainers.handing import writing
from trainers.learners.catalog import learner_for

pytestmark = pytest.mark.slow

LABELS = ("SPORT", "MARKETS", "WEATHER")
TEXTS = ["goal match coach", "storm in the city today", "shares says the trader after the match", "the"]
NEWS = [row.text for row in ner_rows.examples(12, seed=9)]


def task(kind: str, bert: Path, folder: Path) -> TaskSpec:
    once = {"full_epochs": 4, "full_learning_rate": 5e-3, "max_tokens": 32}
    if kind == "regression":
        return toy_numbers_spec(bert, training=once)
    if kind == "signals":
        return toy_signals_spec(bert, training=once)
    if kind == "ner":
        return toy_entities(bert, training=once)
    if kind in ("spacy", "curated"):
        base = "blank:en" if kind == "spacy" else str(make_curated_pipeline(folder / "base"))
        return TaskSpec.model_validate(
            {"name": f"toy-{kind}", "kind": "ner", "backend": "spacy", "base_model": base, "labels": "open",
             "training": {"full_epochs": 20}, "promotion": {"metric": "entity_f1"}}
        )  # fmt: skip
    metric = {"classification": "macro_f1", "multilabel": "micro_f1"}[kind]
    return toy_spec(bert, name=f"toy-{kind}", kind=kind, training=once, promotion={"metric": metric})


def rows_of(kind: str) -> Any:
    if kind == "regression":
        return toy_numbers(90)
    if kind == "signals":
        return toy_signals(90)
    if kind in ("ner", "spacy", "curated"):
        return ner_rows.examples(90)
    return toy_rows_of_several(LABELS, 90) if kind == "multilabel" else toy_rows(LABELS, 30)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose card names no licence."""
    return make_tiny_bert(tmp_path_factory.mktemp("bases") / "tiny-bert", ner_rows.PIECES)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handing]:
    found = Handing.make(tmp_path_factory.mktemp("handing"))
    yield found
    found.registry.close()


@pytest.fixture(scope="module")
def version(here: Handing, bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """A version of a kind, made when it is first asked for."""

    @cache
    def made(kind: str) -> str:
        if kind == "curated" and find_spec("spacy_curated_transformers") is None:
            missing("spacy-curated-transformers is not installed")
        folder = tmp_path_factory.mktemp(kind)
        spec = task(kind, bert, folder)
        learner_for(spec).train(toy_plan(spec, rows_of(kind), folder / "work", full=True), folder / "model")
        return here.publish(spec, folder / "model").name

    return made


def answers(here: Handing, name: str, texts: list[str]) -> list[Mapping[str, Any]]:
    return opened(here.artifacts.folder(here.registry.versions.get(name).artifact_id)).predict(texts)


def exported(here: Handing, name: str, folder: Path, as_format: str) -> Path:
    found = exporting.export(here.settings, here.registry, name, folder, as_format=as_format)
    assert (found.version, found.format) == (name, as_format)
    assert found.size_bytes > 0
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name], "nothing is left beside it"
    return folder


def matter(folder: Path) -> Any:
    return yaml.safe_load((folder / README_FILE).read_text(encoding="utf-8").split("---\n")[1])


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_a_pipeline_of_transformers_gives_the_same_probabilities(
    here: Handing, version: Callable[[str], str], tmp_path: Path, kind: str
) -> None:
    folder = exported(here, version(kind), tmp_path / "out", "hf")
    ask = pipeline("text-classification", model=str(folder), trust_remote_code=True, device="cpu")
    for said, plain in zip(answers(here, version(kind), TEXTS), ask(TEXTS, top_k=None, truncation=True), strict=True):
        assert {one["label"]: one["score"] for one in plain} == pytest.approx(said["scores"], abs=1e-5)
    assert matter(folder)["pipeline_tag"] == "text-classification"
    if kind == "multilabel":
        assert set(json.loads((folder / "thresholds.json").read_bytes())) == set(LABELS)


def test_a_pipeline_of_transformers_gives_the_same_numbers(here: Handing, version: Callable[[str], str], tmp_path: Path) -> None:
    folder = exported(here, version("regression"), tmp_path / "out", "hf")
    ask = pipeline("text-classification", model=str(folder), trust_remote_code=True, device="cpu")
    for said, plain in zip(answers(here, version("regression"), TEXTS), ask(TEXTS, top_k=None), strict=True):
        assert {one["label"]: one["score"] for one in plain} == pytest.approx(said["values"], abs=1e-4)


def test_a_pipeline_of_transformers_finds_the_same_entities(here: Handing, version: Callable[[str], str], tmp_path: Path) -> None:
    folder = exported(here, version("ner"), tmp_path / "out", "hf")
    ask = pipeline("token-classification", model=str(folder), aggregation_strategy="first", device="cpu")
    said = [[(one["start"], one["end"], one["label"]) for one in found["spans"]] for found in answers(here, version("ner"), NEWS)]
    assert any(said)
    assert [[(one["start"], one["end"], one["entity_group"]) for one in found] for found in ask(NEWS)] == said


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_sentence_transformers_gives_the_heads_outputs(
    here: Handing, version: Callable[[str], str], tmp_path: Path, kind: str
) -> None:
    folder = exported(here, version(kind), tmp_path / "out", "sentence-transformers")
    outputs = torch.tensor(SentenceTransformer(str(folder), device="cpu").encode(TEXTS))
    said = answers(here, version(kind), TEXTS)
    if kind == "regression":
        names = [one["name"] for one in json.loads((folder / "head" / "dimensions.json").read_bytes())["dimensions"]]
        low, high = torch.tensor([[1.0, -1.0], [5.0, 1.0]])
        plain, own = outputs.clamp(low, high), [found["values"] for found in said]
    else:
        names = json.loads((folder / "labels.json").read_bytes())["labels"]
        plain = outputs.softmax(-1) if kind == "classification" else outputs.sigmoid()
        own = [found["scores"] for found in said]
    for row, found in zip(plain.tolist(), own, strict=True):
        assert dict(zip(names, row, strict=True)) == pytest.approx(found, abs=1e-4)


def run_onnx(folder: Path, read: Mapping[str, Any]) -> Any:
    from onnxruntime import InferenceSession  # noqa: PLC0415 - optional

    model = InferenceSession(str(folder / "model.onnx"))
    return model.run(None, {name: read[name] for name in ("input_ids", "attention_mask")})[0]


def run_openvino(folder: Path, read: Mapping[str, Any]) -> Any:
    import openvino  # noqa: PLC0415 - optional

    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.compile_model(str(folder / "openvino_model.xml"), "CPU", exact)
    return model([read["input_ids"], read["attention_mask"]])[0]


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression", "ner"])
@pytest.mark.parametrize(("as_format", "run"), [("onnx", run_onnx), ("openvino", run_openvino)])
def test_a_graph_gives_the_outputs_of_the_model(  # noqa: PLR0917 - parametrised
    here: Handing, version: Callable[[str], str], tmp_path: Path, kind: str, as_format: str, run: Callable[..., Any]
) -> None:
    for library in ("onnxruntime", "onnxscript") if as_format == "onnx" else ("openvino",):
        if find_spec(library) is None:
            missing(f"{library} is not installed")
    folder = exported(here, version(kind), tmp_path / "out", as_format)
    texts = NEWS if kind == "ner" else TEXTS
    read = AutoTokenizer.from_pretrained(folder)(texts, truncation=True, padding=True, return_tensors="np")
    outputs, said = torch.tensor(run(folder, read)), answers(here, version(kind), texts)
    names = list(json.loads((folder / "outputs.json").read_bytes())["id2label"].values())
    if kind == "ner":
        plain = exported(here, version(kind), tmp_path / "plain" / "out", "hf")
        stock = AutoModelForTokenClassification.from_pretrained(plain)
        with torch.inference_mode():
            logits = stock(**{name: torch.tensor(read[name]) for name in ("input_ids", "attention_mask")}).logits
        there = torch.tensor(read["attention_mask"]).bool()
        assert torch.allclose(outputs[there], logits[there], atol=1e-3)
        assert names == list(stock.config.id2label.values())
        return
    plain = {"classification": outputs.softmax(-1), "multilabel": outputs.sigmoid(), "regression": outputs}[kind]
    for row, found in zip(plain.tolist(), said, strict=True):
        assert dict(zip(names, row, strict=True)) == pytest.approx(found.get("scores", found.get("values")), abs=1e-3)


def test_a_format_whose_package_is_missing_is_refused_with_how_to_install_it(
    here: Handing, version: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "find_spec", lambda _name: None)
    for as_format in ("onnx", "openvino"):
        with pytest.raises(UserError, match=rf"perennial\[{as_format}\]"):
            exporting.export(here.settings, here.registry, version("classification"), tmp_path / "out", as_format=as_format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["spacy", "curated"])
def test_spacy_finds_the_same_entities(here: Handing, version: Callable[[str], str], tmp_path: Path, kind: str) -> None:
    folder = exported(here, version(kind), tmp_path / "out", "spacy")
    nlp = spacy.load(folder)
    said = [[(one["start"], one["end"], one["label"]) for one in found["spans"]] for found in answers(here, version(kind), NEWS)]
    assert any(said)
    assert [[(one.start_char, one.end_char, one.label_) for one in nlp(text).ents] for text in NEWS] == said


@pytest.mark.parametrize(
    ("kind", "as_format", "others"),
    [
        ("classification", "spacy", ["perennial", "hf", "sentence-transformers"]),
        ("spacy", "hf", ["perennial", "spacy"]),
        ("ner", "sentence-transformers", ["perennial", "hf"]),
        ("signals", "hf", ["perennial"]),
        ("signals", "sentence-transformers", ["perennial"]),
        ("classification", "pickle", ["perennial", "hf", "sentence-transformers"]),
    ],
)
def test_a_format_that_a_kind_lacks_is_refused_with_those_it_has(  # noqa: PLR0917 - parametrised
    here: Handing, version: Callable[[str], str], tmp_path: Path, kind: str, as_format: str, others: list[str]
) -> None:
    with pytest.raises(UserError) as refused:
        exporting.export(here.settings, here.registry, version(kind), tmp_path / "out", as_format=as_format)
    assert as_format in str(refused.value)
    assert all(other in str(refused.value) for other in others)
    assert not list(tmp_path.iterdir())


def test_a_card_names_what_is_known_and_says_what_is_not(
    here: Handing, version: Callable[[str], str], bert: Path, tmp_path: Path
) -> None:
    folder = exported(here, version("classification"), tmp_path / "out", "sentence-transformers")
    text, found = (folder / README_FILE).read_text(encoding="utf-8"), matter(folder)
    assert found["license"] == "unknown"
    assert found["library_name"] == "sentence-transformers"
    assert "base_model" not in found, "a folder of this machine is no model of the Hub"
    assert "model-index" not in found, "nothing was measured"
    assert str(bert.parent) not in text, "strangers need not know this machine's folders"
    assert all(f"\n## {title}\n" in text for title in ("Use", "Data", "Limits", "Lineage"))
    again = exported(here, version("classification"), tmp_path / "again" / "out", "sentence-transformers")
    assert (again / README_FILE).read_bytes() == (folder / README_FILE).read_bytes()


def test_the_licence_is_that_of_the_bases_card(here: Handing, bert: Path, tmp_path: Path) -> None:
    licensed = shutil.copytree(bert, tmp_path / "licensed")
    (licensed / README_FILE).write_text("---\nlicense: CC-BY-4.0\nlanguage: sv\n---\n# A base\n", encoding="utf-8")
    spec = toy_spec(licensed, name="licensed", training={"full_epochs": 1, "max_tokens": 32})
    learner_for(spec).train(toy_plan(spec, toy_rows(LABELS, 6), tmp_path / "work", full=True), tmp_path / "model")
    name = here.publish(spec, tmp_path / "model").name
    found = exporting.export(here.settings, here.registry, name, tmp_path / "out")
    assert found.licence == "cc-by-4.0"
    assert matter(tmp_path / "out")["license"] == "cc-by-4.0"
    (licensed / README_FILE).write_text("---\nlicense: [broken\n---\n", encoding="utf-8")
    assert exporting.export(here.settings, here.registry, name, tmp_path / "other").licence is None


def test_only_a_new_or_an_empty_folder_is_written_to(
    here: Handing, version: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, empty, file = tmp_path / "full", tmp_path / "empty", tmp_path / "file"
    full.mkdir()
    empty.mkdir()
    (full / "mine.txt").write_text("mine", encoding="utf-8")
    file.write_text("mine", encoding="utf-8")
    for place in (full, file):
        with pytest.raises(UserError, match=place.name):
            exporting.export(here.settings, here.registry, version("classification"), place)
    assert [path.name for path in full.iterdir()] == ["mine.txt"]
    exporting.export(here.settings, here.registry, version("classification"), empty)
    assert (empty / README_FILE).exists()
    with pytest.raises(UserError, match="v99"):
        exporting.export(here.settings, here.registry, "toy-classification/v99", tmp_path / "none")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match="the folder that you are in"):
        exporting.export(here.settings, here.registry, version("classification"), Path())


def test_a_disk_that_is_full_leaves_nothing(
    here: Handing, version: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_published: Path, target: Path, **_options: Any) -> None:
        target.mkdir()
        (target / "half").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.shutil, "copytree", full)
    with pytest.raises(UserError, match="No space left"):
        exporting.export(here.settings, here.registry, version("spacy"), tmp_path / "out", as_format="spacy")
    assert not list(tmp_path.iterdir())


def test_a_small_disk_is_left_as_it_was(here: Handing, version: Callable[[str], str], tmp_path: Path) -> None:
    name = version("classification")
    with small_disk(tmp_path, instead="test_a_disk_that_is_full_leaves_nothing") as disk:
        (disk / "filler").write_bytes(b"x" * ((16 << 20) - 65_536))
        for as_format in ("hf", "sentence-transformers"):
            with pytest.raises(UserError, match=disk.name):
                exporting.export(here.settings, here.registry, name, disk / "out", as_format=as_format)
            assert [path.name for path in disk.iterdir()] == ["filler"]
