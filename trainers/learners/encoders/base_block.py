"""The base model as it came, beside the encoder that was tuned from it: a second folder in the model's, and its features."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from perennial_artifact.sentence.encoder import Pooled, save_encoder
from perennial_artifact.sentence.layout import BASE_FOLDER
from trainers.learners.encoders import encoder as encoders
from trainers.learners.encoders.bases import NOT_READ
from trainers.learners.encoders.encoder import TextEncoder
from trainers.learners.encoders.stored import features_of
from trainers.learners.features import Features
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.tried import Tried


def base_beside(
    plan: TrainingPlan, encoder: TextEncoder, rows: Sequence[Example], output: Path, *, tuned: bool
) -> Features | None:
    """Write the base model into the model folder `output` and return what it makes of the rows, shape (rows, features).

    None where the task does not ask for it, and where `encoder`, which this run tuned or did not, is the base model itself: then
    the block would say everything twice, is left out, and the plan is told. `encoder` must not have been moved to be served yet.
    """
    if "base" not in plan.spec.training.feature_blocks:
        return None
    base = encoders.open_base(plan.spec.base_model, max_tokens=plan.spec.training.max_tokens)
    if not tuned and _same(encoder.pooled, base.pooled):
        name = "feature block base left out: the encoder is the base model as it came"
        plan.note_tried(Tried(name=name, scores={}, cpu_s=0.0, chosen=True))
        return None
    plan.tell(f"reading {len(rows)} rows with the base model")
    began = time.process_time()
    tokenised, _cut = base.read([row.text for row in rows])
    # Only now: a tokenizer that has read is saved with how far it reads, and every encoder has the same files.
    save_encoder(base.pooled, base.tokenizer, output / BASE_FOLDER, max_tokens=base.max_tokens)
    ids = [row.example_id for row in rows]
    features, computed = features_of(base.as_served(plan.hardware.compute), ids, tokenised, plan.base_features)
    what = "all rows" if computed == len(rows) else f"{computed} of {len(rows)} rows"
    cpu_s = time.process_time() - began
    plan.note_tried(Tried(name=f"features of {what} computed by the base model", scores={}, cpu_s=cpu_s, chosen=True))
    return features


def _same(first: Pooled, second: Pooled) -> bool:
    ours, theirs = (
        {name: tensor.cpu() for name, tensor in each.state_dict().items() if NOT_READ not in name} for each in (first, second)
    )
    return (
        first.layout == second.layout
        and ours.keys() == theirs.keys()
        and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    )
