"""`python -m daemon` is `perennial`."""

from __future__ import annotations

from daemon.cli.main import main

main()
