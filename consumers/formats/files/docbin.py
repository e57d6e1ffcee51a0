"""spaCy's `.spacy` files (DocBin): texts with their entities and categories."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from config.errors import UserError
from consumers.formats.files.open import ImportFile
from consumers.formats.rows import Row


def read(file: ImportFile) -> Iterator[Row]:
    """Yield one row per document, numbered from 1: `text`, `cats`, and `spans` where it says which tokens are entities.

    The file is read whole. Raises `UserError` when it is not a DocBin.
    """
    from spacy.tokens import DocBin  # noqa: PLC0415 - heavy
    from spacy.vocab import Vocab  # noqa: PLC0415

    try:
        found = DocBin().from_bytes(file.binary.read())
        for number, document in enumerate(found.get_docs(Vocab()), start=1):
            # What `consumers.formats.written.docbin` keeps beside a text; spaCy's own extensions have other keys.
            kept = {name: value for name, value in document.user_data.items() if isinstance(name, str)}
            values: dict[str, object] = {**kept, "text": document.text, "cats": dict(document.cats)}
            if document.has_annotation("ENT_IOB") or kept.get("partial"):
                values["spans"] = [
                    {"start": entity.start_char, "end": entity.end_char, "label": entity.label_} for entity in document.ents
                ]
            yield Row(number, values)
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        message = f"{file.path} cannot be read as spaCy's DocBin ({str(error)[:200]}); check the file or give --format"
        raise UserError(message) from None
