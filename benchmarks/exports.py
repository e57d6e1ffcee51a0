"""Every variant of an encoder beside its weights and beside `transformers.pipeline`, on headlines and on full texts.

The encoder is the base model as a run publishes it that does not tune. Of each way of computing: texts per second at 32 texts a
call, time of one text, processor seconds, memory and size, each in a process of its own; and the accuracy of a head that is
fitted on older texts' features of that way and asked about newer ones (HuffPost's sections; of Reuters documents with one topic,
which). The ways take turns: processor seconds say more than the clock where others work beside it.

`python -m benchmarks.exports one NAME FOLDER CASE.json` is one such process.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import huffpost, report, reuters

Vectors = npt.NDArray[np.float32]

VARIANTS = ("bf16", "onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-bf16", "openvino-int8")
PIPELINE, WEIGHTS = "transformers.pipeline", "weights-fp32"
_CALL, _ALONE = 32, 200
_TOKENS = {"headlines": 128, "full_texts": 256}
_MIB = 1 << 20


class RefusedError(Exception):
    """This machine cannot build a variant, or cannot compute by it."""


def main() -> None:
    """Read the arguments, measure, report."""
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(_one(sys.argv[2], Path(sys.argv[3]), json.loads(Path(sys.argv[4]).read_bytes()))))
        return
    arguments = report.parser(__doc__ or "")
    arguments.add_argument("--texts", type=int, help="texts that are answered (default 3000, quick 300)")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--kinds", nargs="+", choices=sorted(_TOKENS), default=sorted(_TOKENS))
    arguments.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    chosen = arguments.parse_args()
    count = chosen.texts or (300 if chosen.quick else 3_000)
    results: dict[str, Any] = {"texts": count, "threads": chosen.threads}
    with tempfile.TemporaryDirectory() as folder:
        for kind in chosen.kinds:
            results[kind] = _kind(kind, count, Path(folder) / kind, chosen.threads, chosen.variants)
    report.write("exports", chosen, results, chosen.json)


def _kind(kind: str, count: int, folder: Path, threads: int, variants: Sequence[str]) -> dict[str, Any]:
    texts, labels = _headlines(count) if kind == "headlines" else _full_texts(count)
    folder.mkdir()
    rows, tokens = _publish(folder / "model", texts, _TOKENS[kind])
    found: dict[str, Any] = {"tokens_per_text": tokens}
    case = folder / "case.json"
    case.write_text(json.dumps({"texts": texts, "threads": threads, "tokens": _TOKENS[kind], "rows": rows}), encoding="utf-8")
    features = {}
    for name in (PIPELINE, WEIGHTS, *variants):
        measured = _process(name, folder / "model", case)
        if (where := measured.pop("features", None)) is not None:
            features[name] = np.load(where)
            measured["accuracy"] = _accuracy(features[name], labels)
        found[name] = measured
    weights = features[WEIGHTS]
    # A variant that this machine refuses has no features, and its reason stands in the result.
    for name, made in features.items():
        told = found[name]
        told["accuracy_lost"] = found[WEIGHTS]["accuracy"] - told["accuracy"]
        told["agree"] = float(np.mean(_said(made, labels) == _said(weights, labels)))
        told["least_cosine"] = float((made * weights).sum(axis=1).min())
        told["times_pipeline"] = told["texts_per_s"] / found[PIPELINE]["texts_per_s"]
        told["times_pipeline_by_processor"] = found[PIPELINE]["cpu_ms_per_text"] / told["cpu_ms_per_text"]
    return found


def _headlines(count: int) -> tuple[list[str], list[str]]:
    rows = [row for month, found in huffpost.by_month().items() if month >= "2016" for row in found]
    drawn = huffpost.sample(rows, count, 1)
    return [row.text for row in drawn], [row.label for row in drawn]


def _full_texts(count: int) -> tuple[list[str], list[str]]:
    train, test, _topics = reuters.documents()
    rows = [one for one in (*train, *test) if len(one.topics) == 1]
    step = max(1, len(rows) // count)
    rows = sorted(rows, key=lambda one: one.at)[::step][:count]
    return [one.text for one in rows], [next(iter(one.topics)) for one in rows]


def _publish(folder: Path, texts: Sequence[str], tokens: int) -> tuple[list[list[int]], float]:
    """Write the base model as an encoder; return token ids of texts to calibrate on, and tokens a text."""
    from perennial_artifact.sentence.encoder import save_encoder
    from trainers.learners.encoders.encoder import open_base

    encoder = open_base("minilm", max_tokens=tokens)
    folder.mkdir()
    rows, _cut = encoder.read(texts)
    save_encoder(encoder.pooled, encoder.tokenizer, folder, max_tokens=tokens)
    return rows[: len(rows) // 2][:: max(1, len(rows) // 400)][:200], float(np.mean([len(row) for row in rows]))


def _process(name: str, folder: Path, case: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.exports", "one", name, str(folder), str(case)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _one(name: str, folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Measure one way of computing, in this process."""
    import torch

    torch.set_num_threads(case["threads"])
    found: dict[str, Any] = {}
    if name == PIPELINE:
        compute = _pipeline(folder, case["tokens"])
    else:
        try:
            compute, found = _encoder(name, folder, case)
        except RefusedError as error:
            return {"refused": str(error)}
    texts = case["texts"]
    for text in (texts[:_CALL], *([text] for text in texts[:20])):
        compute(text)
    began, cpu = time.perf_counter(), time.process_time()
    parts = [compute(texts[at : at + _CALL]) for at in range(0, len(texts), _CALL)]
    found["texts_per_s"] = len(texts) / (time.perf_counter() - began)
    found["cpu_ms_per_text"] = 1_000 * (time.process_time() - cpu) / len(texts)
    alone = []
    for text in texts[-_ALONE:]:
        began = time.perf_counter()
        compute([text])
        alone.append(1_000 * (time.perf_counter() - began))
    found["p50_ms"], found["p99_ms"] = (float(np.percentile(alone, share)) for share in (50, 99))
    found["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    if name != PIPELINE:
        path = folder.parent / f"{name}.npy"
        np.save(path, np.concatenate(parts))
        found["features"] = str(path)
    return found


def _pipeline(folder: Path, tokens: int) -> Callable[[list[str]], Any]:
    """Return what the library's front page shows, on the same transformer with a head of 42 labels."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=42)
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=tokens)
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, truncation=True, device=-1)
    return lambda texts: classify(texts, batch_size=_CALL)


def _encoder(name: str, folder: Path, case: dict[str, Any]) -> tuple[Callable[[list[str]], Vectors], dict[str, Any]]:
    """Return an encoder that computes by a variant, and what building it cost."""
    from perennial_artifact.compute import Compute
    from perennial_artifact.sentence.encoder import SentenceEncoder
    from perennial_artifact.variants.note import EXPORT_FOLDER
    from trainers.export.building import Limits, build, size_of
    from trainers.hardware import Hardware

    told: dict[str, Any] = {}
    place = folder
    if name != WEIGHTS:
        place = folder.parent / name
        _linked(folder, place)
        built = build(
            name, folder, folder.parent / f"{name}-built", case["rows"], Hardware("cpu", "fp32", case["threads"]), Limits()
        )
        if built.variant is None:
            raise RefusedError(built.reason)
        (folder.parent / f"{name}-built" / EXPORT_FOLDER).rename(place / EXPORT_FOLDER)
        told = {"build_cpu_s": built.cpu_s, "size_mib": built.size_bytes / _MIB}
    else:
        told = {"size_mib": size_of(folder) / _MIB}
    encoder = SentenceEncoder.open(place, Compute("cpu", "fp32"), max_tokens=case["tokens"])
    assert encoder.used.passed_over is None, encoder.used
    return lambda texts: encoder.features(texts)[0], told


def _linked(folder: Path, place: Path) -> None:
    from trainers.learners.heads.published.links import link_encoder

    place.mkdir()
    link_encoder(folder, place)


def _accuracy(features: Vectors, labels: Sequence[str]) -> float:
    return float(np.mean(_said(features, labels) == np.array(labels[len(labels) // 2 :])))


def _said(features: Vectors, labels: Sequence[str]) -> npt.NDArray[np.str_]:
    """Return what a head that is fitted on the older half of the texts says of the newer half."""
    from sklearn.linear_model import LogisticRegression

    half = len(labels) // 2
    head = LogisticRegression(C=10.0, max_iter=2_000).fit(features[:half], labels[:half])
    found: npt.NDArray[np.str_] = head.predict(features[half:])
    return found


if __name__ == "__main__":
    main()
