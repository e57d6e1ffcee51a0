"""What tests of several kinds share."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from tests.support import lasting

# The processes that tests start find the packages of the repository as pytest itself does, installed or not.
_ROOT = Path(__file__).parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT / "artifact"), os.environ.get("PYTHONPATH", ""))))

# How long an example takes says nothing on a machine that does other things too.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# They compile each module once, whatever a container image says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Several test processes share the cores: a pool of threads in each, which spins while it waits, would take them from the others.
for _pool in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_pool] = "1"
# Nor does one spin where a test asks for a second thread, or a program starts with its own number.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

# A training child steps back for what else runs on a machine. Beside other test processes it would hardly advance at all.
os.environ["PERENNIAL_TRAINING__NICE"] = "0"

# Parallel test processes are given the width of a terminal that they do not have.
os.environ.pop("COLUMNS", None)


# Collecting tests is importing, each process for itself: the garbage collector rests meanwhile, and leaves alone what stays.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    lasting.at_end.close()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT to train, and the same as a sentence encoder."""
    from tests.support.daemons import make_models  # noqa: PLC0415 - brings torch, which most tests do without

    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command run in this process sets its logs up; the next test must hear what it would hear alone."""
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers = handlers
    logging.root.setLevel(level)


# What `make quick` runs starts no process, unless it is marked. Seen to in every run, so that it stays true.
_HERE = Path(__file__).parent
_QUICK = (_HERE / "unit", _HERE / "property")
_STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system")
_must_not_start: list[str] = []


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    # torch asks where the system's libraries lie when it is first imported.
    if event in _STARTS and _must_not_start and "ldconfig" not in str(arguments[0]):
        message = f"{_must_not_start[-1]} starts a process ({event}) and is not marked for it: pytest.mark.process"
        raise RuntimeError(message)


sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def _no_process(request: pytest.FixtureRequest) -> Iterator[None]:
    node = request.node
    if not any(folder in node.path.parents for folder in _QUICK) or any(map(node.get_closest_marker, ("process", "slow"))):
        yield
        return
    _must_not_start.append(node.nodeid)
    try:
        yield
    finally:
        _must_not_start.pop()
