"""A data report as sections, which are written as an HTML file and shown on the page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from markupsafe import Markup

from daemon.views.data import suspicious
from daemon.views.data.report import DataReport, Part, leak_in_words
from registry.reports.run.blocks import Block, Items, Picture, Section, Table, Text
from registry.reports.run.html import page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BY_SIDE = ("Rows", "Train", "Test", "Anchor")
_NUMBERS = frozenset({1, 2, 3, 4})


def html(found: DataReport) -> bytes:
    """Return the report as one HTML file that loads nothing."""
    lead = Markup("What the buffer holds for this task ({}).").format(found.kind)
    return page(f"{found.task}: data", lead, sections(found), made_at=found.at).encode()


def sections(found: DataReport) -> list[Section]:
    """Return the report's sections."""
    return [
        Section("To look at", (Items(found.warnings) if found.warnings else Text("Nothing stands out."), *_in_all(found))),
        Section("Labels", _parts("Label", found.labels, found.other_labels, "Rows by label")),
        Section("Sources", _sources(found)),
        Section("Languages", _parts("Language", found.languages, 0, "Rows by language")),
        Section("Time", _months(found)),
        Section("Leaks", _leaks(found)),
        Section("Annotators", _annotators(found)),
        Section("Shifts", _shifts(found)),
        Section("Holes", (Items(tuple(one.words for one in found.holes)) if found.holes else Text("None.", quiet=True),)),
        Section("Quality rules", _rules(found)),
    ]


def _in_all(found: DataReport) -> tuple[Block, ...]:
    counts = [
        ("Labelled rows", found.rows), ("Different texts", found.texts), *found.sides.items(),
        ("Feedback of users", found.feedback), ("Labels by rules", found.weak), ("Being enriched", found.unenriched),
        ("Labels that fit the task no more", found.unusable),
    ]  # fmt: skip
    rows = [(name.capitalize() if name.islower() else name, f"{count:,}") for name, count in counts]
    if found.suspicious is not None:
        told = "; ".join(f"{suspicious.WORDS[sort]}: {count:,}" for sort, count in found.suspicious.items())
        rows.append(("Labels in doubt", told or "none"))
    return (Table(("", ""), tuple(rows)),)


def _parts(head: str, parts: tuple[Part, ...], more: int, title: str) -> tuple[Block, ...]:
    if not parts:
        return (Text("None.", quiet=True),)
    rows = tuple((one.name, *(f"{count:,}" for count in (one.rows, one.train, one.test, one.anchor))) for one in parts)
    blocks: list[Block] = [Table((head, *_BY_SIDE), rows, _NUMBERS)]
    if len(parts) > 1:
        blocks.insert(0, Picture(f"{title} and side", partial(_by_name, title, parts)))
    if more:
        blocks.append(Text(f"{more:,} more are not listed.", quiet=True))
    return tuple(blocks)


def _sources(found: DataReport) -> tuple[Block, ...]:
    blocks = _parts("Source", found.sources, found.other_sources, "Rows by source")
    if found.without_source:
        return (*blocks, Text(f"Of {found.without_source:,} rows nobody says where they come from.", quiet=True))
    return blocks


def _months(found: DataReport) -> tuple[Block, ...]:
    if not found.months:
        return (Text("None.", quiet=True),)
    rows = tuple((one.name, *(f"{count:,}" for count in (one.rows, one.train, one.test, one.anchor))) for one in found.months)
    return (Picture("Rows by month and side", partial(_by_month, found.months)), Table(("Month", *_BY_SIDE), rows, _NUMBERS))


def _leaks(found: DataReport) -> tuple[Block, ...]:
    blocks: list[Block] = [
        Items(tuple(map(leak_in_words, found.leaks))) if found.leaks else Text("No text, document or story stands on both sides.")
    ]
    near = found.near_copies
    if near is None:
        told = f"Nobody has looked for near copies: the command perennial data report {found.task} does; then they stand here."
        blocks.append(Text(told, quiet=True))
    else:
        blocks.append(
            Text(
                f"Near copies: of the newest {near.test:,} test rows {near.either:,} are much like one of the newest "
                f"{near.train:,} training rows: {near.by_embedding:,} by embedding, {near.by_words:,} by words (TF-IDF)."
                + (f" Looked for at {near.at:%Y-%m-%d %H:%M} UTC." if near.at else "")
            )
        )
        rows = tuple((f"{one.alike:.2f}", one.test_id, one.test_begins, one.train_id, one.train_begins) for one in near.examples)
        blocks += [Table(("Alike", "Test row", "begins", "Training row", "begins"), rows)] if rows else []
    return tuple(blocks)


def _annotators(found: DataReport) -> tuple[Block, ...]:
    told = found.annotators
    if not told.people:
        return (Text("No label tells who gave it.", quiet=True),)
    blocks: list[Block] = [Items(told.one_sided)] if told.one_sided else []
    if not told.agreement:
        about = "no text has the labels of two of them, so nobody knows how far they agree"
        return (*blocks, Text(f"{told.people:,} people with a name; {about}." if told.people > 1 else "One person with a name."))
    rows = tuple((one.who, f"{one.compared:,}", f"{one.share:.0%}", _alpha(one.alpha)) for one in told.agreement)
    blocks.append(Table(("Between", "Pairs of answers", "Same", "Alpha (nominal)"), rows, frozenset({1, 2, 3})))
    numbers = tuple(
        (one.who, number.name, f"{number.pairs:,}", f"{number.apart:.3g}", _alpha(number.alpha))
        for one in told.agreement
        for number in one.numbers
    )
    if numbers:
        head = ("Between", "Dimension", "Pairs", "Apart on average", "Alpha (interval)")
        blocks.append(Table(head, numbers, frozenset({2, 3, 4})))
    about = "Krippendorff's alpha: 1 is perfect, 0 is what chance gives, below 0 they contradict each other."
    return (*blocks, Text(about, quiet=True))


def _alpha(alpha: float | None) -> str:
    return "" if alpha is None else f"{alpha:.2f}"


def _shifts(found: DataReport) -> tuple[Block, ...]:
    rows = tuple(
        (
            f"{one.what}, {one.between}", f"{one.distance:.3f}", f"{one.chance:.2g}", f"{one.rows[0]:,} / {one.rows[1]:,}",
            ", ".join(f"{moved.name} {moved.before:.1%} to {moved.after:.1%}" for moved in one.moved),
        )
        for one in found.shifts
    )  # fmt: skip
    head = ("What, between", "Distance", "By chance", "Rows", "Moved most")
    about = (
        "Distance: half the sum of the differences of shares (total variation), 0 to 1. By chance: how often as much is seen "
        "without a shift."
    )
    return (
        (Text(about, quiet=True), Table(head, rows, frozenset({1, 2}))) if rows else (Text("Too few rows to tell.", quiet=True),)
    )


def _rules(found: DataReport) -> tuple[Block, ...]:
    effect = found.policy
    blocks: list[Block] = [Text(f"{effect.kept:,} of {effect.rows:,} rows of the train side are fit to learn from.")]
    rows = tuple(
        (rule.told, f"{rule.rows:,}", f"{rule.alone:,}", " · ".join(one.begins[:80] for one in rule.examples))
        for rule in effect.rules
    )
    blocks.append(Table(("Rule", "Leaves out", "it alone", "such as"), rows, frozenset({1, 2})))
    if effect.found:
        told = ", ".join(f"{name} {count:,}" for name, count in effect.found.items())
        blocks.append(Text(f"Found in rows, whether a rule refuses it or not: {told}.", quiet=True))
    return tuple(blocks)


def _by_name(title: str, parts: tuple[Part, ...]) -> Figure:
    from registry.reports.side_charts import Sides, by_name  # noqa: PLC0415 - matplotlib takes half a second to import

    return by_name(title, [Sides(one.name, one.train, one.test) for one in parts])


def _by_month(parts: tuple[Part, ...]) -> Figure:
    from registry.reports.side_charts import Sides, by_month  # noqa: PLC0415 - likewise

    return by_month([Sides(one.name, one.train, one.test) for one in parts])
