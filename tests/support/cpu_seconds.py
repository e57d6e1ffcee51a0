"""`pytest -p tests.support.cpu_seconds`: where the tests' time goes, as seconds of a core, with those of ended child processes.

Told at the end by folder, for the dearest files and for the dearest tests, from all processes of a parallel run. A test pays for
the fixtures that it is the first to ask for. What a killed process's own children used is nobody's and not counted.
"""

from __future__ import annotations

import resource
import time
from collections import defaultdict
from collections.abc import Generator, Iterable
from typing import Any, NamedTuple

import pytest

_FILES, _TESTS = 30, 30
_KEY = "cpu_seconds"
_SMALLEST_S = 0.01


class Spent(NamedTuple):
    """Seconds: of a core in the test process, of a core in its children, and by the clock."""

    own: float
    children: float
    clock: float

    def __add__(self, other: Any) -> Spent:
        return Spent(*(one + more for one, more in zip(self, other, strict=True)))

    def since(self, earlier: Spent) -> Spent:
        return Spent(*(now - before for now, before in zip(self, earlier, strict=True)))


_NOTHING = Spent(0.0, 0.0, 0.0)
_spent: list[tuple[str, str, Spent]] = []
"""What was done (`import` or `test`), its id, and what it took; in a parallel run's first process, that of all others."""


def _now() -> Spent:
    own, children = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Spent(own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime, time.monotonic())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    before = _now()
    try:
        return (yield)
    finally:
        _spent.append(("test", item.nodeid, _now().since(before)))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, object, object]:
    before = _now()
    try:
        return (yield)
    finally:
        if isinstance(collector, pytest.Module):
            _spent.append(("import", collector.nodeid, _now().since(before)))


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_KEY] = [(kind, name, *spent) for kind, name, spent in _spent if spent.own + spent.children > _SMALLEST_S]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _spent.extend((kind, name, Spent(*numbers)) for kind, name, *numbers in getattr(node, "workeroutput", {}).get(_KEY, ()))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    def tell(title: str, found: Iterable[tuple[str, Spent]], limit: int = 100) -> None:
        terminalreporter.write_line(f"\n    own children   clock  {title}")
        for name, spent in sorted(found, key=lambda one: -one[1].own - one[1].children)[:limit]:
            terminalreporter.write_line(f"{spent.own:7.1f} {spent.children:8.1f} {spent.clock:7.1f}  {name}")

    folders: dict[str, Spent] = defaultdict(lambda: _NOTHING)
    files: dict[str, Spent] = defaultdict(lambda: _NOTHING)
    for kind, name, spent in _spent:
        file = name.partition("::")[0]
        folders[f"{kind}s of {'/'.join(file.split('/')[:2])}"] += spent
        if kind == "test":
            files[file] += spent
    terminalreporter.section("seconds of a core")
    tell("folder", folders.items())
    tell("file", files.items(), _FILES)
    tell("test", ((name, spent) for kind, name, spent in _spent if kind == "test"), _TESTS)
