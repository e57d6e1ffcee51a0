"""Variants of an encoder: written, checked, opened where they fit; else the weights answer, and say why."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from config.errors import RunFailedError, UserError
from perennial_artifact.compute import Compute, Used
from perennial_artifact.manifest import is_pickle
from perennial_artifact.sentence.encoder import SentenceEncoder, save_encoder
from perennial_artifact.variants import note as notes
from perennial_artifact.variants import processor
from perennial_artifact.variants.graph import cosine
from tests.support import broken_exporters
from trainers.export import building, catalog
from trainers.export.building import Built, Limits, build
from trainers.export.writing import write
from trainers.hardware import Hardware, native_bf16
from trainers.learners.encoders.encoder import open_base
from trainers.learners.features import alike

TEXTS = ["goal match today", "shares and bond in the city", "storm rain wind says the coach", "a", "snow " * 20] * 8
HERE = Hardware("cpu", "fp32", 1)
ROOT = Path(__file__).parents[2]
WRITTEN = ("openvino-fp32", "openvino-bf16", "openvino-int8", "onnx-fp32", "onnx-int8")


ENDS_AS_NAMED = """
import json, os, pathlib, signal, sys, time
order = json.loads(pathlib.Path(sys.argv[1]).read_bytes())
(pathlib.Path(order["target"]) / "half").write_bytes(b"x" * 1_000)
if order["name"] == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
if order["name"] == "hang":
    time.sleep(3_600)
sys.exit({"full": "OSError: [Errno 28] No space left on device", "says": "ValueError: no such layer"}[order["name"]])
"""


@dataclass(frozen=True)
class Encoder:
    folder: Path
    rows: Sequence[Sequence[int]]
    weights: Any
    """What the weights make of the texts."""


@pytest.fixture(scope="module")
def encoder(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("exports") / "model"
    opened = open_base(str(models / "bert"), max_tokens=16)
    folder.mkdir()
    rows, _cut = opened.read(TEXTS)
    save_encoder(opened.pooled, opened.tokenizer, folder, max_tokens=16)
    return Encoder(folder, rows, SentenceEncoder.open(folder, Compute()).features(TEXTS)[0])


@pytest.fixture(scope="module")
def exported(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A copy of the model for each variant, with that beside its weights."""
    found = {}
    for name in WRITTEN:
        if name == "openvino-bf16" and not native_bf16():
            continue
        found[name] = tmp_path_factory.mktemp(name) / "model"
        shutil.copytree(encoder.folder, found[name])
        write(name, encoder.folder, found[name], encoder.rows, HERE)
    return found


@pytest.fixture
def fp32(exported: dict[str, Path], tmp_path: Path) -> Path:
    shutil.copytree(exported["openvino-fp32"], tmp_path / "model")
    return tmp_path / "model"


def changed(folder: Path, **values: object) -> Path:
    path = folder / notes.EXPORT_FOLDER / notes.VARIANT_FILE
    path.write_text(json.dumps(json.loads(path.read_bytes()) | values), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", WRITTEN)
def test_a_variant_answers_as_the_weights_do(encoder: Encoder, exported: dict[str, Path], name: str) -> None:
    if name not in exported:
        pytest.skip("this processor does not compute bf16 itself")
    opened = SentenceEncoder.open(exported[name], Compute())
    features, cut = opened.features(TEXTS)
    assert opened.used == Used(name)
    assert any(cut)
    assert cosine(features, encoder.weights) > (0.98 if name.endswith("int8") else 0.999)
    assert alike(features, encoder.weights) or name.endswith("int8")


@pytest.mark.parametrize("name", WRITTEN)
def test_a_variant_can_be_published(exported: dict[str, Path], name: str) -> None:
    if name not in exported:
        pytest.skip("this processor does not compute bf16 itself")
    files = [path for path in (exported[name] / notes.EXPORT_FOLDER).rglob("*") if path.is_file()]
    assert len(files) > 1
    assert not any(map(is_pickle, files))
    note = notes.read(exported[name])
    assert note is not None
    assert (note.name, bool(note.calibration_rows), len(note.probes)) == (name, name.endswith("int8"), 3)


def test_layers_that_lose_too_much_stay_as_they_are(encoder: Encoder, tmp_path: Path) -> None:
    plain, gentler, gentlest = (
        write("openvino-int8", encoder.folder, tmp_path / str(step), encoder.rows, HERE, retreat=step) for step in range(3)
    )
    assert plain.left_out == 0
    assert 0 < gentler.left_out < gentlest.left_out


def test_weights_answer_where_asked_for(fp32: Path) -> None:
    assert SentenceEncoder.open(fp32, Compute(variants=False)).used == Used("fp32")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"libraries": {"openvino": "1999.1"}}, "openvino 1999.1"),
        ({"libraries": {"no-such-runtime": "1"}}, "not installed"),
        ({"machine": "riscv64"}, "another processor"),
        ({"features": ["avx2", "avx9000"]}, "avx9000"),
        ({"parent": "0" * 64}, "other weights"),
        ({"device": "cuda"}, "cuda"),
        ({"runtime": "abacus"}, "abacus"),
        ({"name": "../../elsewhere"}, "plain name"),
        ({"format_version": 9}, "format 9"),
        ({"name": "openvino-gone"}, "No such file"),
    ],
)
def test_a_variant_that_does_not_fit_leaves_the_weights(
    encoder: Encoder, fp32: Path, values: dict[str, object], says: str
) -> None:
    opened = SentenceEncoder.open(changed(fp32, **values), Compute())
    assert opened.used.name == "fp32"
    assert says in (opened.used.passed_over or "")
    assert np.array_equal(opened.features(TEXTS)[0], encoder.weights)


def test_a_variant_that_computes_otherwise_here_leaves_the_weights(encoder: Encoder, fp32: Path) -> None:
    note = notes.read(fp32)
    assert note is not None
    probes = [{"input_ids": probe.input_ids, "numbers": [-number for number in probe.numbers]} for probe in note.probes]
    opened = SentenceEncoder.open(changed(fp32, probes=probes), Compute())
    assert "otherwise" in (opened.used.passed_over or "")
    assert np.array_equal(opened.features(TEXTS)[0], encoder.weights)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format_version": 1}', b"\xff"])
def test_a_damaged_note_leaves_the_weights(fp32: Path, content: bytes) -> None:
    (fp32 / notes.EXPORT_FOLDER / notes.VARIANT_FILE).write_bytes(content)
    opened = SentenceEncoder.open(fp32, Compute())
    assert (opened.used.name, bool(opened.used.passed_over)) == ("fp32", True)


def test_a_damaged_network_leaves_the_weights(fp32: Path) -> None:
    for path in (fp32 / notes.EXPORT_FOLDER / "openvino-fp32").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    opened = SentenceEncoder.open(fp32, Compute())
    assert (opened.used.name, bool(opened.used.passed_over)) == ("fp32", True)


def test_no_library_tells_its_maker_that_it_is_used(exported: dict[str, Path]) -> None:
    SentenceEncoder.open(exported["openvino-fp32"], Compute())
    assert sys.modules["openvino_telemetry"] is None


@pytest.mark.parametrize(
    ("name", "says"),
    [("broken-other", "something else"), ("torch-compile", "GPU"), ("tensorrt", "GPU"), ("no-such", "not known")],
)
def test_what_cannot_be_made_here_is_refused_in_words(encoder: Encoder, tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises((RunFailedError, UserError), match=says):
        write(name, encoder.folder, tmp_path, encoder.rows, HERE)


def test_a_library_that_is_missing_is_refused_in_words(encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "find_spec", lambda name: None if name == "nncf" else object())
    with pytest.raises(RunFailedError, match=r"nncf is not installed.*perennial\[openvino\]"):
        write("openvino-int8", encoder.folder, tmp_path, encoder.rows, HERE)


def test_auto_tries_what_is_installed_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu = replace(HERE, device="cuda")
    assert catalog.candidates("auto", on_gpu) == ["tensorrt", "torch-compile"]
    assert "GPU" in (catalog.find("openvino-int8").unfit(on_gpu) or "")
    assert "onnxruntime-gpu" in (catalog.find("tensorrt").unfit(on_gpu) or "onnxruntime-gpu")
    assert catalog.candidates("auto", HERE)[0] == "openvino-int8"
    monkeypatch.setattr(catalog, "find_spec", lambda _name: None)
    assert catalog.candidates("auto", HERE)[0] == "onnx-int8"
    assert (catalog.candidates("none", HERE), catalog.candidates("bf16", HERE)) == ([], ["bf16"])


class TestBuilding:
    """A variant is built in a process of its own; what real ones die of is in `test_exported_models.py`."""

    @pytest.fixture(autouse=True)
    def _found_by_the_process(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'artifact'}")
        return iter(())  # type: ignore[return-value]  # nothing to undo

    @pytest.fixture
    def ends_as_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process that ends as the variant is called, and loads no library before: seconds of a core."""
        monkeypatch.setattr(building, "_CHILD", (sys.executable, "-c", ENDS_AS_NAMED))

    @staticmethod
    def build(encoder: Encoder, target: Path, name: str, *, time_s: float = 300.0) -> Built:
        return build(name, encoder.folder, target, encoder.rows, HERE, Limits(time_s, (broken_exporters.__name__,)))

    def test_what_is_built_lies_in_the_folder(self, encoder: Encoder, tmp_path: Path) -> None:
        said: list[str] = []
        built = build("openvino-fp32", encoder.folder, tmp_path / "new", encoder.rows, HERE, Limits(), tell=said.append)
        assert built.variant is not None
        assert built.variant == notes.read(tmp_path / "new")
        assert built.cpu_s > 0
        assert built.size_bytes > 0
        assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]
        assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [notes.EXPORT_FOLDER]

    @pytest.mark.usefixtures("ends_as_named")
    @pytest.mark.parametrize(("name", "says"), [("crash", "SIGSEGV"), ("full", "disk is full"), ("says", "no such layer")])
    def test_one_that_fails_says_why_and_leaves_nothing(self, encoder: Encoder, tmp_path: Path, name: str, says: str) -> None:
        built = self.build(encoder, tmp_path / "new", name)
        assert built.variant is None
        assert says in built.reason
        assert not list(tmp_path.iterdir())

    @pytest.mark.usefixtures("ends_as_named")
    def test_one_that_hangs_is_ended(self, encoder: Encoder, tmp_path: Path) -> None:
        built = self.build(encoder, tmp_path / "new", "hang", time_s=0.5)
        assert built.variant is None
        assert "0.5 s" in built.reason
        assert not list(tmp_path.iterdir())

    def test_too_little_room_is_said_before(self, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
        built = self.build(encoder, tmp_path / "new", "openvino-fp32")
        assert (built.variant, "1 MiB free" in built.reason) == (None, True)

    @pytest.mark.usefixtures("ends_as_named")
    def test_a_stop_ends_it(self, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("trainers.export.building._TELL_EVERY_S", 0.0)

        def stop(_message: str) -> None:
            raise LookupError

        with pytest.raises(LookupError):
            build("hang", encoder.folder, tmp_path / "new", encoder.rows, HERE, Limits(), tell=stop)
        assert not list(tmp_path.iterdir())


def test_what_a_processor_has_is_read_from_the_system(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512f made_up\n", encoding="utf-8")
    assert processor.features(tmp_path / "cpuinfo") == {"avx2", "avx512f"}
    assert processor.features(tmp_path / "absent") == frozenset()
    assert torch.get_num_threads() >= 1
