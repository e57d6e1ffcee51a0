"""First weights for labels that a head has not learnt: a label's row points where its examples lie.

A row of random numbers needs hundreds of steps before it answers, and a run over a hundred new examples has a dozen. After
Qi, Brown and Lowe, "Low-Shot Learning with Imprinted Weights" (CVPR 2018), adapted to a linear head with a bias.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import structlog
import torch
from torch import Tensor, nn

from perennial_artifact.transformer.encoder import Encoder, by_length
from trainers.hardware import Hardware
from trainers.learners.encoders.fine_tuning import Row

MOST_ROWS = 64
"""Rows of a label that are looked at: its mean is known well enough from so many."""
_ROWS_PER_BATCH = 32

_LOG = structlog.get_logger(__name__)


def imprint(encoder: Encoder, rows: Sequence[Row], unlearnt: Collection[int], hardware: Hardware) -> None:
    """Set the head's weights of the labels in `unlearnt` from their rows; a label without rows keeps what it has.

    With f the head's input, m_k its mean over rows of label k and m the mean of all m_k, row k becomes (m_k - m) / |m_k - m|,
    as long as the learnt rows are on average (1 where there are none). At m it scores what the learnt rows score there on average
    (0 where there are none). A head that is not linear is left as it is.
    """
    head = _head(encoder)
    chosen = _chosen(rows)
    # Most incremental runs bring no new label and need no pass; one label alone has nothing to differ from.
    if head is None or chosen.keys().isdisjoint(unlearnt) or len(chosen) < 2:  # noqa: PLR2004 - see above
        return
    means = _means(encoder, head, chosen, hardware)
    if means is None:
        _LOG.info("not_imprinted", reason="the head does not read one vector per text", model=encoder.model.config.model_type)
        return
    centre = torch.stack(list(means.values())).mean(dim=0)
    learnt = [number for number in means if number not in unlearnt]
    with torch.no_grad():
        length = head.weight[learnt].norm(dim=1).mean() if learnt else torch.tensor(1.0)
        level = (head.weight[learnt] @ centre + head.bias[learnt]).mean() if learnt else torch.tensor(0.0)
        for number in sorted(means.keys() & set(unlearnt)):
            away = means[number] - centre
            weight = away / away.norm().clamp_min(1e-9) * length
            head.weight[number] = weight
            # In the middle of all labels a new one scores as the learnt ones do on average: it decides for none.
            head.bias[number] = level - weight @ centre


def _head(encoder: Encoder) -> nn.Linear | None:
    """Return the last linear layer with one output per label."""
    outputs = encoder.model.config.num_labels
    found = [part for part in encoder.model.modules() if isinstance(part, nn.Linear) and part.out_features == outputs]
    return found[-1] if found and found[-1].bias is not None else None


def _chosen(rows: Sequence[Row]) -> dict[int, list[Row]]:
    """Return up to `MOST_ROWS` rows of each label, spread evenly over all it has."""
    by_label: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_label[row.label].append(row)
    return {number: found[:: -(-len(found) // MOST_ROWS)] for number, found in sorted(by_label.items())}


def _means(encoder: Encoder, head: nn.Linear, chosen: dict[int, list[Row]], hardware: Hardware) -> dict[int, Tensor] | None:
    """Return the mean of the head's input over each label's rows; None when it is not one vector per text."""
    rows = [(number, row.input_ids) for number, found in chosen.items() for row in found]
    seen: list[Tensor] = []
    watched = head.register_forward_pre_hook(lambda _head, inputs: seen.append(inputs[0].detach().float().cpu()))
    features = torch.zeros(len(rows), head.in_features)
    model = encoder.model.to(hardware.device)  # type: ignore[arg-type]  # the library's stub knows fewer kinds of device
    model.eval()
    try:
        with torch.inference_mode(), torch.autocast(hardware.device, torch.bfloat16, enabled=hardware.precision == "bf16"):
            for batch in by_length([len(ids) for _number, ids in rows], _ROWS_PER_BATCH):
                seen.clear()
                model(**{name: tensor.to(hardware.device) for name, tensor in encoder.pad([rows[at][1] for at in batch]).items()})
                if len(seen) != 1 or seen[0].shape != (len(batch), head.in_features):
                    return None
                features[batch] = seen[0]
    finally:
        watched.remove()
    places = {number: at for at, number in enumerate(chosen)}
    sums = torch.zeros(len(chosen), head.in_features).index_add_(
        0, torch.tensor([places[number] for number, _ in rows]), features
    )
    return {number: sums[at] / len(chosen[number]) for number, at in places.items()}
