"""A process that opens the registry, says `ready`, waits for a file and then does one thing. Prints the outcome as JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from registry import promotion
from registry.promotion import ChampionMovedError
from registry.store import Registry
from tests.support.registries import TASK


def main(url: str, go: Path, what: str, *arguments: str) -> None:
    with Registry.open(url) as registry:
        say("ready")
        while not go.exists():
            time.sleep(0.001)
        if what == "lease":
            outcome: object = registry.lease.acquire(arguments[0], ttl_s=60)
        else:
            version, expected = arguments
            try:
                promotion.promote(registry, TASK, version, expected=expected, actor="racer", reason="race")
                outcome = "moved"
            except ChampionMovedError as error:
                outcome = type(error).__name__
        say(json.dumps(outcome))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
