"""What lives as long as a test process: services that its tests share. Its conftest ends them, as it may end without `atexit`."""

from __future__ import annotations

from contextlib import ExitStack

at_end = ExitStack()
