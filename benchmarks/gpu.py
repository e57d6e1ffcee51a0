"""What a card does in training and in answering: tokens and texts a second, and which share of its peak that is.

`python -m benchmarks.gpu --json FILE` takes under five minutes (a case that would come later is left out). Bases: `minilm` with
its own weights, and the shape of BERT-base with random ones; both train as the classification task does, on made-up texts that
fill a window. Without a card it says so and measures nothing; `--cpu` tries the same steps on the processor, small, so that they
are known to run.

Operations a token are 2 N + 4 L d T forward, and three times that in training, of N weights outside the embeddings, L layers of
width d and T tokens (Chowdhery and others, "PaLM", arXiv 2204.02311, appendix B). The peak is the data sheet's where the card is
known, and beside it what a plain product of large matrices reaches here.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import report

if TYPE_CHECKING:
    from trainers.hardware import Hardware
    from trainers.learners.encoders.encoder import TextEncoder

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "minilm": {},
    "bert-base-shape": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3_072},
}
"""By name; an empty one has weights of its own."""
PEAKS = {
    "H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A30": 165e12,
    "A10": 125e12, "RTX 4090": 165e12,
}  # fmt: skip
"""Dense bf16 operations a second by the makers' data sheets; the first name that occurs in the card's counts."""
SEED = 20
_LABELS = 8
_LONGEST_S = 210.0
"""After which no further case is begun."""
_WORDS = ("the market", "rose", "after", "a", "storm", "over", "coastal", "cities", "while", "voters", "and", "teams", "waited")


def texts(count: int, tokens: int) -> list[str]:
    """Return made-up texts of at least so many tokens each."""
    chance = random.Random(SEED)
    return [" ".join(chance.choice(_WORDS) for _word in range(tokens)) for _text in range(count)]


def peak_of(name: str) -> float | None:
    """Return a card's operations a second by its data sheet; None where it is not known here."""
    return next((peak for card, peak in PEAKS.items() if card in name), None)


def operations(weights: int, layers: int, width: int, tokens: int) -> float:
    """Return the operations that a token takes forward in a text of so many tokens."""
    return 2.0 * weights + 4.0 * layers * width * tokens


def main(given: Sequence[str] | None = None) -> int:
    """Measure every base at every batch size; return the exit code."""
    arguments = report.parser(__doc__ or "")
    arguments.add_argument("--cpu", action="store_true", help="try the steps on the processor, small")
    arguments.add_argument("--bases", default=",".join(SHAPES), help="names by commas (default: all)")
    arguments.add_argument("--batches", help="rows per batch, by commas (default 32,128,512; on the processor 4)")
    arguments.add_argument("--tokens", type=int, help="tokens of a text (default 128; on the processor 32)")
    arguments.add_argument("--steps", type=int, help="steps of a training (default 60; on the processor 3)")
    chosen = arguments.parse_args(given)

    import torch

    if not chosen.cpu and not torch.cuda.is_available():
        print("No CUDA card is here: nothing was measured. `--cpu` tries the steps on the processor.")
        return 0
    report.write("gpu", chosen, measured(chosen), chosen.json)
    return 0


def measured(chosen: Namespace) -> dict[str, Any]:
    """Return what was measured, by base and batch size."""
    import torch

    from config.settings import load_settings
    from trainers import hardware

    settings = load_settings().training.model_copy(update={"device": "cpu" if chosen.cpu else "cuda", "threads": 0})
    where = hardware.resolve(settings)
    tokens = chosen.tokens or (32 if chosen.cpu else 128)
    steps = chosen.steps or (3 if chosen.cpu else 20 if chosen.quick else 60)
    batches = [int(rows) for rows in (chosen.batches or ("4" if chosen.cpu else "32,128,512")).split(",")]
    name = "processor" if chosen.cpu else torch.cuda.get_device_name()
    product = matrix_product(where, size=512 if chosen.cpu else 8_192)
    found: dict[str, Any] = {
        "hardware": hardware.describe(where), "tokens": tokens, "steps": steps, "matrix_product_tflops": product / 1e12,
        "data_sheet_tflops": None if (peak := peak_of(name)) is None else peak / 1e12,
    }  # fmt: skip
    began = time.perf_counter()
    for base in chosen.bases.split(","):
        for rows in batches:
            if time.perf_counter() - began > _LONGEST_S:
                found[f"{base}, {rows} rows"] = "left out: the time is over"
                continue
            try:
                found[f"{base}, {rows} rows"] = case(base, where, rows, tokens, steps, product, peak)
            except torch.OutOfMemoryError:
                found[f"{base}, {rows} rows"] = "out of memory"
                torch.cuda.empty_cache()
    return found


def case(  # noqa: PLR0917 - all of them are what is measured
    base: str, where: Hardware, rows: int, tokens: int, steps: int, product: float, peak: float | None
) -> dict[str, Any]:
    """Return what one base does at one batch size, in training and in answering."""
    import torch

    from trainers.learners.tuning.rates import size_of

    torch.manual_seed(SEED)
    encoder = opened(base, tokens)
    config: Any = encoder.pooled.transformer.config
    forward = operations(size_of(encoder.pooled.transformer), config.num_hidden_layers, config.hidden_size, tokens)
    found: dict[str, Any] = {}
    if where.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for what, per_token, rate in (
        ("training", 3 * forward, training_rate(encoder, where, rows, tokens, steps)),
        ("answering", forward, answering_rate(encoder, where, rows, tokens, steps)),
    ):
        reached = rate * tokens * per_token
        found[what] = {
            "texts_per_s": rate, "tokens_per_s": rate * tokens, "tflops": reached / 1e12,
            "share_of_matrix_product": reached / product,
            "share_of_data_sheet": None if peak is None else reached / peak,
        }  # fmt: skip
    if where.device == "cuda":
        found["peak_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return found


def opened(base: str, tokens: int) -> TextEncoder:
    """Return a base to tune; one without weights of its own has random ones, and the tokenizer of `minilm`."""
    from transformers import BertConfig, BertModel

    from perennial_artifact.sentence.encoder import Pooled
    from perennial_artifact.sentence.layout import sentence_modules
    from trainers.learners.encoders import encoder as encoders
    from trainers.learners.encoders.bases import without_dropout

    encoder = encoders.open_base("minilm", max_tokens=tokens)
    if not SHAPES[base]:
        return encoder
    config = without_dropout(BertConfig(vocab_size=len(encoder.tokenizer), **SHAPES[base]))
    pooled = Pooled(BertModel(config), sentence_modules(dimensions=config.hidden_size))
    return encoders.TextEncoder(pooled, encoder.tokenizer, tokens)


def training_rate(encoder: TextEncoder, where: Hardware, rows: int, tokens: int, steps: int) -> float:
    """Return the texts a second that are learnt from, the first step left out."""
    from trainers.learners.encoders.checkpoints import Pace
    from trainers.learners.encoders.encoder import Tuned
    from trainers.learners.encoders.fine_tuning import Recipe, Row, Trainable, fine_tune

    encoder.pooled.to(where.device)
    model = Tuned(encoder.pooled, _LABELS, int(encoder.pooled.transformer.config.hidden_size))
    read, _cut = encoder.read(texts(min(rows * steps, 2_000), tokens))
    learnt = [Row(read[at % len(read)], at % _LABELS, 1.0) for at in range(rows * steps)]
    recipe = Recipe(epochs=1, learning_rate=1e-5, batch_size=rows, seed=SEED, hardware=where, max_steps=steps)
    times: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        fine_tune(
            Trainable(model, encoder.pooled.transformer, encoder.pad, _LABELS), learnt, range(_LABELS), recipe,
            checkpoints=Path(scratch), report=lambda step: times.update({step.step: time.perf_counter()}),
            pace=Pace(interval_s=float("inf")),
        )  # fmt: skip
    first, last = min(times), max(times)
    # A report reads the loss, which waits for the card.
    return (last - first) * rows / (times[last] - times[first])


def answering_rate(encoder: TextEncoder, where: Hardware, rows: int, tokens: int, steps: int) -> float:
    """Return the texts a second whose features are read, tokenizing included, as a run reads its rows."""
    served = encoder.as_served(where.compute)
    asked = texts(rows * steps, tokens)
    served.features(asked[:rows])
    return len(asked) / _seconds(lambda: served.features(asked))


def matrix_product(where: Hardware, *, size: int, times: int = 20) -> float:
    """Return the operations a second of a product of two square matrices, in the precision that is trained in."""
    import torch

    kind = torch.bfloat16 if where.precision == "bf16" else torch.float32
    one, other = (torch.randn(size, size, dtype=kind, device=where.device) for _ in range(2))

    def multiply() -> None:
        for _time in range(times):
            torch.mm(one, other)
        if where.device == "cuda":
            torch.cuda.synchronize()

    multiply()
    return times * 2.0 * size**3 / _seconds(multiply)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
