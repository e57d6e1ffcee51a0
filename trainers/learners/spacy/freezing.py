"""A recogniser whose token vectors stay: what makes them answers once for each text, and takes no part in the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray
from spacy.pipeline import EntityRecognizer
from spacy.tokens import Doc
from spacy.util import replace_model_node
from thinc.api import Model

Vectors = NDArray[Any]


@contextmanager
def frozen_below(recogniser: EntityRecognizer) -> Iterator[None]:
    """Let only the layers above the token vectors learn: one that maps these, and the two that score moves.

    A text's vectors are computed when it is first seen, and kept meanwhile.
    """
    # spaCy's own builder, the only one that is opened, makes a chain of vectors, a concatenation and that first layer.
    below = recogniser.model.get_ref("tok2vec").layers[0]
    stand_in = _remembering(below)
    replace_model_node(recogniser.model, below, stand_in)
    try:
        yield
    finally:
        replace_model_node(recogniser.model, stand_in, below)


def _remembering(below: Model[Any, Any]) -> Model[list[Doc], list[Vectors]]:
    known: dict[str, Vectors] = {}

    def forward(
        _model: Model[Any, Any],
        docs: Sequence[Doc],
        is_train: bool,  # noqa: ARG001 - both ways alike
    ) -> tuple[list[Vectors], Callable[[Any], Sequence[Doc]]]:
        unknown = [doc for doc in docs if doc.text not in known]
        known.update(zip((doc.text for doc in unknown), below.predict(unknown) if unknown else (), strict=True))
        return [known[doc.text] for doc in docs], lambda _gradient: []

    return Model("remembered_vectors", forward, dims={"nO": below.get_dim("nO")})
