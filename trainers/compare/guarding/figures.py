"""Guards of figures that stand for themselves: time, memory, size, and the examples that must not break. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from config.task_files.sections.promotion import Promotion
from config.words import counted
from trainers.compare.comparison import Comparison
from trainers.compare.guarding.guard import Guard
from trainers.compare.guarding.served import Served

MUST_NOT_BREAK = "must_not_break"


def judge(seen: Comparison, policy: Promotion, served: Served | None) -> Iterator[Guard]:
    """Yield each guard that there is a figure or a limit for."""
    yield from _latency(seen, policy)
    size = _Limit("size", "MiB", "Too large", policy.max_size_mib, "promotion.max_size_mib")
    yield size.of(seen.size_mib)
    yield from _served(policy, served)
    found = served or Served()
    if found.examples:
        right = f"{found.examples - found.broken} of {counted(found.examples, 'example')} of {MUST_NOT_BREAK}"
        yield Guard(
            name=MUST_NOT_BREAK, result="broken" if found.broken else "holds", in_words=f"{right} answered as they must be.",
            rows=found.examples, measured=float(found.broken), allowed=0.0, unit="broken",
        )  # fmt: skip


def _latency(seen: Comparison, policy: Promotion) -> Iterator[Guard]:
    ours, theirs = seen.candidate_latency, seen.champion_latency
    if ours is None or theirs is None:
        return
    # An earlier release measured p99 alone.
    tail = ("p95", ours.p95_ms, theirs.p95_ms)
    which, candidate, champion = tail if None not in tail else ("p99", ours.p99_ms, theirs.p99_ms)
    assert candidate is not None  # noqa: S101 - chosen above; narrows the type
    assert champion is not None  # noqa: S101 - likewise
    most = policy.max_latency_ratio * champion
    told = (
        f"{which} is {candidate:.1f} ms against the champion's {champion:.1f} ms; at most {policy.max_latency_ratio:g} times as "
        "long is allowed (promotion.max_latency_ratio)."
    )
    broken = candidate > most
    yield Guard(
        name="latency", result="broken" if broken else "holds", in_words=f"{'Too slow' if broken else 'Latency holds'}: {told}",
        measured=candidate, allowed=most, unit="ms",
    )  # fmt: skip


def _served(policy: Promotion, served: Served | None) -> Iterator[Guard]:
    found = served or Served()
    limits = (
        (_Limit("p95 as served", "ms", "Too slow as served", policy.max_p95_ms, "promotion.max_p95_ms"), found.p95_ms),
        (_Limit("memory", "MiB", "Too much memory", policy.max_memory_mib, "promotion.max_memory_mib"), found.peak_memory_mib),
    )
    for limit, value in limits:
        # Of a head alone that is new neither is measured: what takes time and memory is what the champion has.
        if limit.most is not None and (value is not None or served is None):
            yield limit.of(value)


class _Limit:
    """The largest figure that is allowed."""

    def __init__(self, name: str, unit: str, too_much: str, most: float | None, setting: str) -> None:
        self.name, self.unit, self.too_much, self.most, self.setting = name, unit, too_much, most, setting

    def of(self, value: float | None) -> Guard:
        """Return what follows from a figure; None: nobody has measured it."""
        most, name = self.most or 0.0, f"{self.name[:1].upper()}{self.name[1:]}"
        if value is None:
            words = f"{name} cannot be judged: the sandbox has not measured it."
            return Guard(name=self.name, result="not judged", in_words=words, allowed=most, unit=self.unit)
        told = f"{value:,.1f} {self.unit}; at most {most:,g} {self.unit} allowed ({self.setting})."
        broken = value > most
        words = f"{self.too_much if broken else f'{name} holds'}: {told}"
        return Guard(
            name=self.name, result="broken" if broken else "holds", in_words=words, measured=value, allowed=most, unit=self.unit
        )
