"""Learning from rows whose annotators did not know every type: of a type outside a row's scope its silence says nothing.

spaCy knows a token without annotation, where nothing is learnt, and spans that are not of a type; neither says "no person here,
but a politician perhaps": a forbidden beginning is charged only where the entity could not go on. What can say it is the loss:
at such a token the types outside the scope take no part in the softmax, so that they are neither taught nor untaught, while
"nothing" and the types inside the scope are weighed against each other as ever.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.pipeline import EntityRecognizer
from spacy.training import Example as SpacyExample

from trainers.learners.spacy.rows import TokenRow

_BEGINS = ("B-", "U-")
_NO_PART = -1e9
"""A score whose share in a softmax is nothing, and which is no infinity: differences of two are taken."""

_SETTINGS = ("update_with_oracle_cut_size", "incorrect_spans_key", "beam_width", "beam_density", "beam_update_prob")


class ScopedRecogniser(EntityRecognizer):  # type: ignore[misc]  # compiled, without types
    """Trains the weights of another recogniser, row by row within the scope of each. Beam updates, if any, heed no scope."""

    def __init__(self, recogniser: EntityRecognizer, carried: Collection[str]) -> None:
        """Share the model and the moves of `recogniser`, which stays as it is and learns all the same.

        `carried` are the types that some row carries: only these can be out of another row's scope. A type that nothing teaches
        would be answered at random if nothing spoke against it either.
        """
        self._carried = frozenset(carried)
        settings = {name: recogniser.cfg[name] for name in _SETTINGS}
        super().__init__(recogniser.vocab, recogniser.model, recogniser.name, recogniser.moves, **settings)
        self._masks: dict[int, tuple[NDArray[np.intp], NDArray[np.bool_]]] = {}
        self._columns: dict[frozenset[str], NDArray[np.intp]] = {}

    def learn(self, nlp: Language, rows: Sequence[TokenRow], **options: Any) -> float:  # noqa: ANN401 - spaCy's own
        """Update once by `rows` and return the loss; `options` are those of spaCy's `update`."""
        examples = [row.example(nlp) for row in rows]
        self._masks = {
            id(each.predicted): mask for row, each in zip(rows, examples, strict=True) if (mask := self._mask(row, each))
        }
        return float(self.update(examples, **options)[self.name])

    def get_batch_loss(
        self, states: Sequence[Any], golds: Sequence[Any], scores: NDArray[np.float32], losses: dict[str, float]
    ) -> NDArray[np.float32]:
        """Return the gradient of the scores (states, moves), after those that take no part were put out of the way."""
        for at, state in enumerate(states):
            mask = self._masks.get(id(state.doc))
            if mask is not None and (token := state.B(0)) >= 0 and mask[1][token]:
                # In place: the next state follows these scores, so that no move is made that nothing here can judge.
                scores[at, mask[0]] = _NO_PART
        gradient: NDArray[np.float32] = super().get_batch_loss(states, golds, scores, losses)
        return gradient

    def _mask(self, row: TokenRow, example: SpacyExample) -> tuple[NDArray[np.intp], NDArray[np.bool_]] | None:
        """Return the moves that begin a type outside the row's scope, and at which tokens they take no part."""
        if row.scope is None:
            return None
        columns = self._begin(self._carried - row.scope)
        if not len(columns):
            return None
        silent = np.ones(len(example.predicted), dtype=bool)
        for first, after, _label in row.entities:
            # What was marked as one type is no other.
            silent[first:after] = False
        return columns, silent

    def _begin(self, types: frozenset[str]) -> NDArray[np.intp]:
        if types not in self._columns:
            names = [self.moves.get_class_name(move) for move in range(self.moves.n_moves)]
            chosen = [move for move, name in enumerate(names) if name.startswith(_BEGINS) and name[2:] in types]
            self._columns[types] = np.asarray(chosen, dtype=np.intp)
        return self._columns[types]
