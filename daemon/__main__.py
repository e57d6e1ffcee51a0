"""`python -m daemon` is `perennial`."""

from __future__ import annotations

from daemon.cli import main

main()
