"""A process that enriches a buffer and dies, as the kernel would kill it, whenever it encodes a text that says `poison`.

`python -m tests.support.enrich_victim FOLDER`
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from config.settings import load_settings
from consumers.enrichment.enrich import Enricher, EnrichOutcome
from tests.support.buffers import FEEDBACK, opened
from tests.support.encoders import WordEncoder


class DeadlyEncoder(WordEncoder):
    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if any("poison" in text for text in texts):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(texts)


if __name__ == "__main__":
    with opened(Path(sys.argv[1])) as buffer:
        enricher = Enricher(buffer, load_settings().enrich, FEEDBACK, encoder=DeadlyEncoder())
        while enricher.step() != EnrichOutcome():
            pass
