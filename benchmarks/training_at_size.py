"""What gradient checkpointing costs and saves on `minilm`, and two processes beside one; each case in processes of its own.

Memory: a few steps of 32 rows that fill the window, plain and with layers computed once more; the peak beyond what the process
held before, beside what is counted before the first step (`tuning.fitting`). Processes: the same rows tuned by one process and by
two that `torchrun` starts, one thread each; seconds, and accuracy on other headlines.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.gpu import texts
from benchmarks.training_throughput import headlines

SEED = 0
ROWS_PER_STEP = 32
_MIB = 1 << 20
_TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


def main() -> None:
    """Measure every case, or one that a process of its own is asked for."""
    if sys.argv[1:2] == ["case"]:
        case(json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")), Path(sys.argv[3]))
        return
    arguments = report.parser(__doc__ or "")
    arguments.add_argument("--steps", type=int, default=4, help="steps of a memory case (default 4)")
    arguments.add_argument("--rows", type=int, default=960, help="rows that one process and two learn from (default 960)")
    chosen = arguments.parse_args()
    if chosen.quick:
        chosen.steps, chosen.rows = 2, 320
    results: dict[str, Any] = {}
    for tokens in (128, 256):
        learnt = texts(ROWS_PER_STEP * chosen.steps, tokens)
        for recompute in (False, True):
            asked = {
                "texts": learnt,
                "labels": [at % 8 for at in range(len(learnt))],
                "max_tokens": tokens,
                "recompute": recompute,
            }
            results[f"{tokens} tokens, {'checkpointing' if recompute else 'plain'}"] = in_own_process(asked, 1)
    rows = headlines()
    names = sorted({label for _text, label in rows})
    taught, other = rows[: chosen.rows], rows[chosen.rows : chosen.rows + 500]
    asked = {
        "texts": [text for text, _ in taught], "labels": [names.index(label) for _, label in taught],
        "other_texts": [text for text, _ in other], "other_labels": [names.index(label) for _, label in other],
        "max_tokens": 128, "recompute": False,
    }  # fmt: skip
    for count in (1, 2):
        results[f"{chosen.rows} headlines, {count} process{'es' if count > 1 else ''}"] = in_own_process(asked, count)
    report.write("training_at_size", chosen, results, chosen.json)


def in_own_process(asked: dict[str, Any], count: int) -> dict[str, Any]:
    """Return what a case measured in `count` processes; `cpu_s` and `wall_s` are those of the tuning, of all of them."""
    with tempfile.TemporaryDirectory() as scratch:
        path, found = Path(scratch) / "case.json", Path(scratch) / "found"
        path.write_text(json.dumps(asked), encoding="utf-8")
        launcher = (*_TORCHRUN, str(count)) if count > 1 else ()
        command = [sys.executable, *launcher, "-m", "benchmarks.training_at_size", "case", str(path), str(found)]
        subprocess.run(command, check=True)
        parts = [json.loads(part.read_text()) for part in sorted(found.parent.glob("found-*"))]
    assert len(parts) == count
    whole: dict[str, Any] = parts[0]
    whole["cpu_s"] = sum(part["cpu_s"] for part in parts)
    return whole


def case(asked: dict[str, Any], found: Path) -> None:
    """Tune on a case as the classification task does, on one thread, and write what was measured."""
    import torch

    from config.settings import load_settings
    from trainers import hardware
    from trainers.learners.encoders import encoder as encoders
    from trainers.learners.encoders.encoder import Tuned
    from trainers.learners.encoders.fine_tuning import Recipe, Row, Trainable, fine_tune
    from trainers.learners.tuning import processes

    together = processes.here()
    where = hardware.resolve(load_settings().training.model_copy(update={"threads": 1, "device": "cpu"}))
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    encoder = encoders.open_base("minilm", max_tokens=asked["max_tokens"])
    count = max(asked["labels"]) + 1
    model = Tuned(encoder.pooled, count, encoders.width(encoder.pooled))
    read, _cut = encoder.read(asked["texts"])
    rows = [Row(ids, label, 1.0) for ids, label in zip(read, asked["labels"], strict=True)]
    recipe = Recipe(
        epochs=1, learning_rate=2e-4, batch_size=ROWS_PER_STEP, seed=SEED, hardware=where,
        gradient_checkpointing=asked["recompute"],
    )  # fmt: skip
    trainable = Trainable(model, encoder.pooled.transformer, encoder.pad, count)
    measured: dict[str, Any] = {"hardware": hardware.describe(where)}
    before, cpu, wall = _peak_mib(), time.process_time(), time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            fine_tune(trainable, rows, range(count), recipe, checkpoints=Path(scratch, "work"), report=lambda _step: None)
    except processes.LeftError:
        pass
    finally:
        measured |= {
            "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "peak_mib_beyond": _peak_mib() - before,
        }  # fmt: skip
    if together.first:
        measured |= _counted(trainable, rows, recipe) if together.count == 1 else {}
        measured |= _accuracy(model, encoder, asked) if "other_texts" in asked else {}
    found.with_name(f"found-{together.rank}").write_text(json.dumps(measured))


def _counted(trainable: Any, rows: Any, recipe: Any) -> dict[str, float]:  # noqa: ANN401 - types of libraries that are imported late
    """Return what `tuning.fitting` counts for such a step."""
    from structlog.testing import capture_logs

    from trainers.learners.encoders.fine_tuning import within_memory

    with capture_logs() as logs:
        within_memory(trainable, rows, recipe, limit_mib=0)
    [said] = [line for line in logs if line["event"] == "batch_size_chosen"]
    return {"counted_mib": said["fixed_mib"] + ROWS_PER_STEP * said["mib_per_row"], "counted_mib_per_row": said["mib_per_row"]}


def _accuracy(model: Any, encoder: Any, asked: dict[str, Any]) -> dict[str, float]:  # noqa: ANN401 - as above
    import torch

    model.eval()
    read, _cut = encoder.read(asked["other_texts"])
    right = 0
    with torch.inference_mode():
        for ids, label in zip(read, asked["other_labels"], strict=True):
            right += int(model(**encoder.pad([ids])).logits.argmax()) == label
    return {"accuracy": right / len(read)}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MIB


if __name__ == "__main__":
    main()
