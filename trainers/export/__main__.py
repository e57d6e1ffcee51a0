"""The process that writes one variant into the folder that its order names: `python -m trainers.export ORDER.json`.

A library that crashes, hangs or takes all memory ends this process alone. What went wrong is its last line on standard error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from config import extensions
from trainers import orphans
from trainers.hardware import Hardware


def main() -> int:
    """Carry out the order in the file that the command names; return the exit code."""
    orphans.die_with_parent()
    order = json.loads(Path(sys.argv[1]).read_bytes())
    extensions.load(order["modules"])
    import torch  # noqa: PLC0415 - after what sizes its threads

    from trainers.export.writing import write  # noqa: PLC0415 - heavy

    hardware = Hardware(**order["hardware"])
    torch.set_num_threads(hardware.threads)
    try:
        write(
            order["name"], Path(order["source"]), Path(order["target"]), order["rows"], hardware, retreat=order["retreat"]
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001 - the edge of the process
        print(f"{type(error).__name__}: {error}".replace("\n", " "), file=sys.stderr)  # noqa: T201 - see above
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
