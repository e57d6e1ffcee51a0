"""The head of a token classifier, learnt by itself: its new rows before all is tuned, or all of it while the rest stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainers.learners.encoders.losses.labels import loss_of_rows
from trainers.learners.heads.solving import solve
from trainers.learners.tagging.rows import TaggedRow, Window, targets
from trainers.learners.tagging.tagger import Tagger

_MOST_OF_A_TYPE = 64
"""Rows that stand for a type."""
_STRENGTH = 10.0
"""What the loss of all words counts beside half the squared length of the weights, for features of length 1."""
_WINDOWS_PER_BATCH = 32
_MOST_STEPS = 60


@dataclass(frozen=True, slots=True)
class _Words:
    """What the head is given for words."""

    features: Tensor
    """Float32, shape (words, features)."""
    may: Tensor
    """Which tags may be right of each, booleans of shape (words, tags)."""
    weights: Tensor

    @property
    def length(self) -> float:
        """The mean length of the features of a word."""
        return float(self.features.norm(dim=1).mean()) or 1.0


def begin(tagger: Tagger, rows: Sequence[TaggedRow], new: Tensor) -> None:
    """Set the head's `new` rows (booleans, one for each tag) to those of a logistic regression on a sample of `rows`.

    Only words whose tag is certain take part. Where no tag can be told from another the new rows stay as they are.
    """
    if not bool(new.any()):
        return
    words = _words(tagger, _sample(rows), len(new))
    certain = words.may.sum(dim=1) == 1
    labels = words.may[certain].int().argmax(dim=1).numpy()
    if len(np.unique(labels)) < 2:  # noqa: PLR2004 - one tag is nothing to tell apart
        return
    # The strength is meant for features of length 1; the solution is brought back to theirs.
    features = words.features[certain] / words.length
    solved = solve(features.numpy(), labels, words.weights[certain].double().numpy(), strength=_STRENGTH)
    head = tagger.head
    with torch.no_grad():
        # What the sample does not show is not likely.
        head.bias[new] = float(solved.bias.min())
        for row, tag in enumerate(solved.labels.tolist()):
            if new[tag]:
                head.weight[tag].copy_(torch.from_numpy(solved.weight[row] / words.length))
                head.bias[tag] = float(solved.bias[row])


def learn(tagger: Tagger, windows: Sequence[Window], answered: Sequence[int], tell: Callable[[str], None]) -> float:
    """Solve the head anew on all words of `windows`, and return the loss of a word; what is below stays.

    `answered` are the tags that are learnt. The solution stays near the head that is there, so that what the rows do not speak
    of is not lost.
    """
    head = tagger.head
    words = _words(tagger, windows, head.out_features, tell)
    closed = torch.ones(head.out_features, dtype=torch.bool)
    closed[list(answered)] = False
    features, length = words.features / words.length, words.length
    start = torch.cat([head.weight.detach().cpu() * length, head.bias.detach().cpu()[:, None]], dim=1)
    change = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.LBFGS([change], max_iter=_MOST_STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-7)
    last = 0.0

    def loss() -> Tensor:
        nonlocal last
        optimizer.zero_grad()
        logits = features @ (start + change)[:, :-1].T + (start + change)[:, -1]
        # Each word as a row of one.
        each = loss_of_rows(logits[:, None], words.may[:, None], words.weights, closed)
        mean = each.mean()
        last = float(mean.detach())
        total = mean + change.square().sum() / (2 * _STRENGTH * len(each))
        total.backward()  # type: ignore[no-untyped-call]  # the library leaves it without types
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]  # as above
    with torch.no_grad():
        solved = start + change
        head.weight.copy_(solved[:, :-1] / length)
        head.bias.copy_(solved[:, -1])
    return last


def _sample(rows: Sequence[TaggedRow]) -> list[Window]:
    """Return the windows of at most 64 rows of each type, spread evenly over all that carry it, and of as many of none."""
    by_type: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        for label in {label for _first, _after, label in row.entities} or {""}:
            by_type.setdefault(label, []).append(at)
    chosen = {at for found in by_type.values() for at in found[:: -(-len(found) // _MOST_OF_A_TYPE)]}
    return [window for at in sorted(chosen) for window in rows[at].windows]


def _words(tagger: Tagger, windows: Sequence[Window], count: int, tell: Callable[[str], None] = lambda _message: None) -> _Words:
    """Return the head's input for each word of which something is said."""
    inputs: list[Tensor] = []

    def keep(_layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        inputs.append(given[0].detach().float().cpu())

    handle = tagger.head.register_forward_pre_hook(keep)
    features: list[Tensor] = []
    may: list[Tensor] = []
    weights: list[Tensor] = []
    tagger.model.train(mode=False)
    try:
        with torch.inference_mode():
            for start in range(0, len(windows), _WINDOWS_PER_BATCH):
                batch = windows[start : start + _WINDOWS_PER_BATCH]
                padded: dict[str, Any] = tagger.pad([window.input_ids for window in batch])
                tagger.model(**{name: tensor.to(tagger.model.device) for name, tensor in padded.items()})
                right = targets(batch, count)
                said = right.any(dim=-1)
                features.append(inputs.pop()[said])
                may.append(right[said])
                weights.append(torch.tensor([window.weight for window in batch])[said.nonzero()[:, 0]])
                tell(f"{start + len(batch):,} of {len(windows):,} windows read")
    finally:
        handle.remove()
    # Tensors of inference mode take part in no gradient.
    return _Words(torch.cat(features).clone(), torch.cat(may).clone(), torch.cat(weights).clone())
