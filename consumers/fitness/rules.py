"""The rules of a task file's section `quality`, over columns of facts; pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from config.task_files.sections.quality import Finding, Quality
from consumers.text.language import UNKNOWN

Mask = npt.NDArray[np.bool_]

FACTS = ("language", "quality", "quality_reasons", "words")
"""The columns that rules look at, beside `source`."""
REASONS: Mapping[Finding, tuple[str, ...]] = {
    "boilerplate": ("boilerplate",),
    "capitals": ("shouting",),
    "digits": ("mostly digits",),
    "encoding": ("wrongly decoded",),
    "links": ("link farm",),
    "markup": ("markup remnants", "HTML entities"),
    "menu": ("menu",),
    "paywall": ("paywall",),
    "repetition": ("repeated lines", "repeated words"),
    "short": ("no letters", "too short", "short"),
}
"""How the reasons begin that `consumers/text/quality.py` gives, by finding."""


def broken(policy: Quality, rows: pa.Table) -> dict[str, Mask]:
    """Return of each rule in force which rows break it; rows have `FACTS`, and `source` where a rule is about sources.

    What is not known of a row breaks no rule, but for a source: one that is not known is not among those allowed.
    """
    return {rule: _broken(policy, rule, rows) for rule in policy.rules}


def first_broken(policy: Quality, rows: pa.Table) -> npt.NDArray[np.int8]:
    """Return of each row the first rule that it breaks, as its number in `policy.rules` counted from 1; 0: none."""
    found = np.zeros(rows.num_rows, np.int8)
    masks = list(broken(policy, rows).values())
    for number in range(len(masks), 0, -1):
        found[masks[number - 1]] = number
    return found


def findings(reasons: str) -> list[Finding]:
    """Return what was found in a text, from its reasons (JSON)."""
    return [name for name, begins in REASONS.items() if any(f'"{begin}' in reasons for begin in begins)]


def _broken(policy: Quality, rule: str, rows: pa.Table) -> Mask:
    if rule == "min_score":
        return _mask(pc.less(rows["quality"], pa.scalar(policy.min_score, pa.float32())))
    if rule == "min_words":
        return _mask(pc.less(rows["words"], policy.min_words))
    if rule == "max_words":
        return _mask(pc.greater(rows["words"], policy.max_words))
    if rule == "languages":
        allowed = pa.array([*policy.languages, UNKNOWN])
        return _mask(pc.and_(pc.is_valid(rows["language"]), pc.invert(pc.is_in(rows["language"], value_set=allowed))))
    if rule == "refuse":
        # A text without any finding has the reasons "[]", as most have: few different ones are looked into.
        coded = rows["quality_reasons"].combine_chunks().dictionary_encode()
        refused = np.array([_refused(policy, reasons) for reasons in coded.dictionary.to_pylist()] + [False])
        places = pc.fill_null(coded.indices, len(coded.dictionary)).to_numpy(zero_copy_only=False)
        return np.asarray(refused[places], dtype=bool)
    names = pa.array(policy.allow_sources if rule == "allow_sources" else policy.deny_sources, pa.string())
    among = _mask(pc.is_in(rows["source"], value_set=names))
    return ~among if rule == "allow_sources" else among


def _refused(policy: Quality, reasons: str | None) -> bool:
    return reasons is not None and not set(findings(reasons)).isdisjoint(policy.refuse)


def _mask(found: pa.ChunkedArray) -> Mask:
    return np.asarray(pc.fill_null(found, False).to_numpy(), dtype=bool)  # noqa: FBT003 - Arrow's argument
