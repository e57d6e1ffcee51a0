"""A report as a Word document (DOCX), charts included; needs the package python-docx."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from config.errors import UserError
from registry.reports.run.blocks import Block, Examples, Items, Picture, Section, Standing, Table, Text
from registry.reports.run.html import inert, title_of
from registry.reports.run.told import Told

if TYPE_CHECKING:
    from docx.document import Document
    from docx.text.paragraph import Paragraph

_MOST_ROWS = 200
_WIDTH_CM = 16.0
_SMALL_PT, _TABLE_PT = 9, 9
_COLORS = {"DEPLOY": "1A6E4A", "REVIEW": "7D5200", "FAIL": "AB2119"}

log = structlog.get_logger(__name__)


def word(told: Told, sections: Sequence[Section]) -> bytes:
    """Return the report. Raises `UserError` where python-docx is not installed."""
    try:
        import docx  # noqa: PLC0415 - an extra
    except ImportError:
        message = "a DOCX needs python-docx, which is not installed; `pip install 'perennial[docx]'`, or ask for --format html"
        raise UserError(message) from None
    document = docx.Document()
    run = told.run
    document.core_properties.title = inert(title_of(told))
    document.core_properties.author = "Perennial"
    document.add_heading(inert(title_of(told)), 0)
    document.add_paragraph(f"Report of run {run.run_id} ({run.kind}) of {run.task}, written {told.made_at:%Y-%m-%d %H:%M} UTC.")
    for section in sections:
        document.add_heading(section.title, 1)
        for block in section.blocks:
            _add(document, block)
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


def _add(document: Document, block: Block) -> None:
    if isinstance(block, Standing):
        _standing(document.add_paragraph(), block)
    elif isinstance(block, Text):
        said = document.add_paragraph().add_run(inert(block.text))
        said.italic = block.quiet or None
    elif isinstance(block, Items):
        for item in block.items:
            document.add_paragraph(inert(item), style="List Bullet")
    elif isinstance(block, Table):
        _table(document, block)
    elif isinstance(block, Picture):
        _picture(document, block)
    else:
        _examples(document, block)


def _standing(paragraph: Paragraph, block: Standing) -> None:
    from docx.shared import RGBColor  # noqa: PLC0415 - an extra

    if block.level is not None:
        level = paragraph.add_run(f"{block.level}  ")
        level.bold = True
        level.font.color.rgb = RGBColor.from_string(_COLORS[block.level])
    paragraph.add_run(inert(block.words))


def _table(document: Document, block: Table) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH  # noqa: PLC0415 - an extra
    from docx.shared import Pt  # noqa: PLC0415 - an extra

    head = any(block.head)
    rows = [*([block.head] if head else []), *block.rows[:_MOST_ROWS]]
    table = document.add_table(rows=len(rows), cols=len(block.head), style="Light Grid Accent 1" if head else "Light List")
    # `table.cell` counts through the whole table each time.
    for place, (row, values) in enumerate(zip(table.rows, rows, strict=True)):
        for column, (cell, value) in enumerate(zip(row.cells, values, strict=True)):
            paragraph = cell.paragraphs[0]
            said = paragraph.add_run(inert(value))
            said.font.size = Pt(_TABLE_PT)
            said.bold = (head and place == 0) or None
            if column in block.numbers:
                paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
    more = len(block.rows) - _MOST_ROWS
    document.add_paragraph(f"{more:,} more rows are in the HTML report." if more > 0 else "")


def _picture(document: Document, block: Picture) -> None:
    from docx.shared import Cm  # noqa: PLC0415 - an extra

    from registry.reports.run import charts  # noqa: PLC0415 - matplotlib takes half a second to import

    try:
        drawn = charts.png(block.draw)
    except Exception:  # a chart that cannot be drawn leaves the rest of the report as it is
        log.exception("report.chart_failed", chart=block.alt)
        document.add_paragraph("This chart could not be drawn.")
        return
    shape = document.add_picture(io.BytesIO(drawn), width=Cm(_WIDTH_CM))
    shape._inline.docPr.set("descr", inert(block.alt))  # noqa: SLF001 - python-docx has no other way to a picture's description


def _examples(document: Document, block: Examples) -> None:
    from docx.enum.text import WD_COLOR_INDEX  # noqa: PLC0415 - an extra
    from docx.shared import Pt  # noqa: PLC0415 - an extra

    document.add_heading(block.title, 2)
    for row in block.rows:
        about = document.add_paragraph().add_run(inert(f"{row.role} · {row.example_id}"))
        about.font.size = Pt(_SMALL_PT)
        if not row.text:
            document.add_paragraph("The text is gone.")
        elif not block.in_text:
            document.add_paragraph(inert(row.text) + (" …" if row.cut else ""))
        for who, pieces in (("right", row.gold), ("this version", row.candidate), ("opponent", row.champion)):
            line = document.add_paragraph(style="List Bullet")
            line.add_run(f"{who}: ")
            for piece in pieces:
                said = line.add_run(inert(piece.text))
                if piece.style == "strong":
                    said.bold = True
                    said.font.highlight_color = WD_COLOR_INDEX.YELLOW if block.in_text and row.text else None
                elif piece.style == "faint":
                    said.font.size = Pt(_SMALL_PT)
