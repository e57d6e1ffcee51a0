"""Which rows are one piece of evidence: those of one story or one document, and so on through both."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def clusters_of(rows: pa.Table) -> NDArray[np.intp]:
    """Return each row's cluster as a number from 0: rows of one story or one document belong together, and so on through both.

    `rows` has the columns example_id, story_id and document_id.
    """
    # Only where it is used: a child near its memory limit starts with a quarter less.
    from scipy.sparse import coo_array  # noqa: PLC0415 - see above
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - see above

    numbers = []
    for column in ("story_id", "document_id"):
        # A row without one is one of its own.
        names = [
            name or f"row:{example}"
            for name, example in zip(rows[column].to_pylist(), rows["example_id"].to_pylist(), strict=True)
        ]
        numbers.append(np.unique(np.array(names, dtype=str), return_inverse=True)[1])
    stories, documents = numbers
    count = int(stories.max(initial=-1)) + 1
    size = count + int(documents.max(initial=-1)) + 1
    # Each row ties its story to its document.
    ties = coo_array((np.ones(rows.num_rows), (stories, count + documents)), shape=(size, size))
    _number, parts = connected_components(ties, directed=False)
    return np.asarray(np.unique(parts[stories], return_inverse=True)[1], dtype=np.intp)
