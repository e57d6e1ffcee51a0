"""What `extensions.modules` names: registers the kind, what learns it, how its models are opened, and its metric."""

from __future__ import annotations

from config.kinds import catalog as kinds
from perennial_artifact import formats
from trainers.compare.metrics import catalog as metrics
from trainers.learners import catalog as learners

from .kind import Tone
from .metric import TONE_ERROR

kinds.register(Tone())
learners.register("tone", "counts", f"{__package__}.learner:ToneLearner")
formats.register("tone-words", f"{__package__}.learner:WordTones")
metrics.register(TONE_ERROR)
