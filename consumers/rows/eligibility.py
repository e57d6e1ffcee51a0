"""What a row is for in a training set: one answer for counting, freezing and the fate of an answer; pure."""

from __future__ import annotations

from typing import Literal

from config.task_files.sections.feedback import FeedbackPolicy

Role = Literal["train", "test", "anchor", "corrections"]
"""`test` rows decide comparisons; `corrections` are reported beside them and never decide."""

# Chosen without looking at a model's answer: only these may decide a comparison.
RANDOM = "random"
"""Drawn at random among the texts that a model was asked about: a test row, unless its document or story trains already."""
INDEPENDENT = ("gold", "import", "audit", "held_out", RANDOM)
WITHHELD = "disagreement"
"""Chosen because two models disagree: such a row judges that pair alone, weighted, and is for nothing else while it is open."""
WEAK = "weak"
"""What rules make of a text: it trains where nobody has said anything of the text, and never tests."""
ORACLE = "oracle"
"""What a language model makes of a text: as `WEAK`, and rules leave such a text to it."""
MADE = (WEAK, ORACLE)
"""Labels that no person gave."""
WITHDRAWN = "label withdrawn: "
"""Begins the reason of a label of `MADE` that was taken out of training; its story is none the worse for it."""
RELEASED = "disagreement, released"
"""What the copy of it in `example_enrichment` says once the pair is decided: from then on the row trains like any label."""
CHOSEN: Literal["model"] = "model"
"""Chosen by what a model makes of the text (what to label next): a person's label that trains and never tests."""
OF_PEOPLE = (*INDEPENDENT, RELEASED, CHOSEN)
"""Labels that people gave and that count: in training they go before answers of users and what rules say."""


def eligibility(split: str, selected_by: str, verdict: str | None, *, good: bool, feedback: FeedbackPolicy) -> Role | None:
    """Return what a row is for in a task of this policy, whatever it and others say; None: for nothing.

    `good`: its text is fit for training (`enrich.min_quality`). Whether a user's answer is in effect is judged
    elsewhere (`consumers.defence`).
    """
    if selected_by == WITHHELD:
        return None
    if split == "train":
        return "train" if good and feedback.weight(verdict) > 0 else None
    if split == "anchor":
        # Whatever users say of such a text: it is frozen.
        return "anchor" if verdict is None and selected_by != CHOSEN else None
    if split == "test" and selected_by in INDEPENDENT:
        return "test"
    # Corrections of the champion's answers: reported, never deciding. Confirmations never test.
    return "corrections" if split == "test" and verdict == "correction" else None
