"""The words that a saved spaCy pipeline carries: those of its base and its labels, none of a text it was trained on.

spaCy keeps every string it has ever met in `vocab/strings.json`. A published model would carry the words of each training
text to whoever downloads it, and keep them when the text is erased.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from spacy.language import Language

STRINGS_FILE = Path("vocab") / "strings.json"


def keep_only(folder: Path, base: Language, labels: Collection[str]) -> None:
    """Rewrite the string store of the pipeline saved in `folder`: what `base`, untouched, knows, and `labels`.

    Answers do not change: spaCy's features are hashes, and what rules, vectors and labels name is among what stays.
    """
    known = {*base.vocab.strings, *labels}
    saved = json.loads((folder / STRINGS_FILE).read_text(encoding="utf-8"))
    (folder / STRINGS_FILE).write_text(
        json.dumps(sorted(known.intersection(saved)), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
