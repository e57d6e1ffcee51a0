"""Which rows are one piece of evidence: those of one story or one document, and so on through both."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def clusters_of(rows: pa.Table) -> NDArray[np.intp]:
    """Return each row's cluster as a number from 0: rows of one story or one document belong together, and so on through both.

    `rows` has the columns example_id, story_id and document_id.
    """
    # A row without a story or a document is one of its own.
    alone = pc.binary_join_element_wise("row:", rows["example_id"].cast(pa.string()), "")
    stories, documents = (_numbered(rows[column], alone) for column in ("story_id", "document_id"))
    count = int(stories.max(initial=-1)) + 1
    # The first story of each document, by number, and then that of what shares a document with each story.
    of_document, of_story = np.full(int(documents.max(initial=-1)) + 1, count), np.full(count, count)
    np.minimum.at(of_document, documents, stories)
    np.minimum.at(of_story, stories, of_document[documents])
    if (of_story[stories] == of_document[documents]).all():
        # Stories lie within documents, or documents within stories: nothing ties further.
        return np.asarray(np.unique(of_story[stories], return_inverse=True)[1], dtype=np.intp)
    # Only where it is used: a child near its memory limit starts with a quarter less.
    from scipy.sparse import coo_array  # noqa: PLC0415 - see above
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - see above

    size = count + int(documents.max(initial=-1)) + 1
    # Each row ties its story to its document.
    ties = coo_array((np.ones(rows.num_rows), (stories, count + documents)), shape=(size, size))
    _number, parts = connected_components(ties, directed=False)
    return np.asarray(np.unique(parts[stories], return_inverse=True)[1], dtype=np.intp)


def _numbered(names: pa.ChunkedArray, alone: pa.ChunkedArray) -> NDArray[np.intp]:
    """Return each row's name as a number from 0 in the order of names: that of `alone` where it has none, or an empty one."""
    there = pc.if_else(pc.equal(pc.fill_null(names, ""), ""), alone, names.cast(pa.string()))
    distinct = there.combine_chunks().dictionary_encode()
    order = np.empty(len(distinct.dictionary), dtype=np.intp)
    order[pc.sort_indices(distinct.dictionary).to_numpy()] = np.arange(len(order))
    return np.asarray(order[distinct.indices.to_numpy()])
