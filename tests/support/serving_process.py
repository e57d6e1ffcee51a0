"""Starts the real serving process, as the daemon does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from config.settings import Settings, environment_of


def spawn(settings: Settings, **options: Any) -> subprocess.Popen[str]:
    """Start `python -m daemon.serving` in a session of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
    return subprocess.Popen(
        [sys.executable, "-m", "daemon.serving"],
        env=clean | environment_of(settings) | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
        **options,
    )


@contextmanager
def serving(settings: Settings, **options: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield the process and its address once it listens; stop it at the end."""
    process = spawn(settings, **options)
    try:
        line = process.stdout.readline()
        assert line, f"it ended with {process.wait()} before it listened"
        said = json.loads(line)
        assert said["event"] == "serving"
        yield process, said["address"]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(25)
        process.stdout.close()
