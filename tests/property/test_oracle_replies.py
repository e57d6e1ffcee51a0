"""Whatever an endpoint sends in the place of a completion or a batch, it is read or refused, and nothing else happens."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.labelling.oracle.batches import jobs
from consumers.labelling.oracle.batches.batching import Batching
from consumers.labelling.oracle.batches.endpoint import BatchEndpoint
from consumers.labelling.oracle.endpoint import Endpoint, Reply, UnavailableError, read
from consumers.labelling.oracle.ledger import Cap, Ledger, Price
from tests.support import oracles

_KEYS = st.sampled_from(
    ["choices", "message", "content", "finish_reason", "usage", "prompt_tokens", "refusal", "response", "status_code", "body",
     "custom_id", "error", "id", "status", "metadata", "errors", "data", "output_file_id"]
)  # fmt: skip
_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([200, "completed", "b-1"])
)
ANYTHING = st.recursive(_LEAVES, lambda one: st.lists(one, max_size=3) | st.dictionaries(_KEYS, one, max_size=4), max_leaves=12)


@given(ANYTHING)
def test_a_completion_of_any_shape_is_read_or_refused(whole: Any) -> None:
    found = read(whole)
    assert found is None or isinstance(found, Reply)


@given(ANYTHING)
def test_a_batch_of_any_shape_is_read_or_asked_for_again(whole: Any) -> None:
    endpoint = Endpoint(oracles.settings())
    try:
        with patch.object(Endpoint, "send", lambda *_all: (200, {}, json.dumps(whole).encode())):
            BatchEndpoint(endpoint).get("b-1")
            BatchEndpoint(endpoint).named("x")
    except UnavailableError:
        pass
    finally:
        endpoint.close()


@settings(max_examples=25)
@given(st.lists(ANYTHING, max_size=4), st.lists(ANYTHING, min_size=1, max_size=3))
def test_output_of_any_shape_is_noted_or_left(foreign: list[Any], answers: list[Any]) -> None:
    said, sha = oracles.settings(), "a" * 64
    with TemporaryDirectory() as folder:
        ledger, endpoint = Ledger(Path(folder), Price(1, 1), Cap(0, 0)), Endpoint(said)
        try:
            made = Batching(oracles.task(), said, ledger, endpoint, prompt="p", texts={}, sleep=lambda _s: None)
            noted = jobs.note(ledger, "mine", "p", [(sha, 1, 10)] * len(answers), 10)
            assert noted is not None
            job, questions = noted
            mine = [
                {"custom_id": f"{job.name}-{one.call}", "response": answer}
                for one, answer in zip(questions, answers, strict=True)
            ]
            with patch.object(BatchEndpoint, "lines", lambda *_all: iter([*foreign, *mine, *mine])):
                made._take(job, "file")
            assert jobs.waiting(ledger, job) == {}
            assert made.told.answered + made.told.failed == len(answers)
        finally:
            ledger.close()
            endpoint.close()
