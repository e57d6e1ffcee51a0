"""The batch API of an endpoint: a file of questions goes up, a batch is made of it, and files of answers come down."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from config.errors import UserError
from consumers.labelling.oracle.endpoint import Endpoint, RejectedError, UnavailableError, retry_after

NAMED = "perennial"
"""Key of a batch's metadata that has its name."""
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
_MOST_PAGES = 50
_TRY_AGAIN, _SERVER_ERROR, _SUCCESS = (408, 409, 425, 429), 500, (200, 201)
_NOT_BUILT = (404, 405, 501)
_UNDER_WAY = ("validating", "in_progress", "finalizing", "cancelling")
_OVER = ("completed", "failed", "expired", "cancelled")


class MissingError(Exception):
    """The endpoint does not know what was asked for: the batch, or the whole API."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the endpoint tells of it."""

    batch_id: str
    status: str
    name: str
    input_file: str | None
    output_file: str | None
    error_file: str | None
    problems: tuple[str, ...] = ()
    """Codes of why it failed as a whole."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self.status in _OVER


class BatchEndpoint:
    """One endpoint. Each method raises `UnavailableError`, and `UserError` where asking again cannot help."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def upload(self, name: str, lines: bytes) -> str:
        """Send a file of questions and return its id there."""
        mark = secrets.token_hex(16)
        part = f'--{mark}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{mark}\r\n'
        part += f'Content-Disposition: form-data; name="file"; filename="{name}.jsonl"\r\nContent-Type: application/jsonl\r\n\r\n'
        body = part.encode() + lines + f"\r\n--{mark}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        found = _id(self._sent("POST", "/files", body, kind).get("id"))
        if found is None:
            message = f"{self._endpoint.where} did not say how it calls the file that it took"
            raise UnavailableError(message, may_cost=False)
        return found

    def create(self, name: str, file_id: str) -> Batch:
        """Make a batch of a file."""
        body = {
            "input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {NAMED: name},
        }  # fmt: skip
        headers = {"Content-Type": "application/json", "Idempotency-Key": name}
        return self._batch(self._sent("POST", "/batches", json.dumps(body).encode(), headers))

    def get(self, batch_id: str) -> Batch:
        """Return how a batch stands. Raises `MissingError` where there is none."""
        return self._batch(self._sent("GET", f"/batches/{batch_id}"))

    def named(self, name: str) -> Batch | None:
        """Return the batch of a name; None where the endpoint has none.

        Raises `MissingError` where it cannot list all of its batches: one that is not seen would be sent, and paid, again.
        """
        after = ""
        for _page in range(_MOST_PAGES):
            page = self._sent("GET", f"/batches?limit=100{after}")
            there = page.get("data")
            if not isinstance(there, list) or not all(isinstance(row, dict) for row in there):
                break
            for row in there:
                metadata = row.get("metadata")
                if isinstance(metadata, dict) and metadata.get(NAMED) == name:
                    return self._batch(row)
            if not page.get("has_more"):
                return None
            if (last := _id(there[-1].get("id")) if there else None) is None:
                break
            after = f"&after={last}"
        raise MissingError

    def lines(self, file_id: str) -> Iterator[Any]:
        """Yield what stands in a file of answers, line by line; None for a line that cannot be read."""
        for line in self._endpoint.lines(f"/files/{file_id}/content"):
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError):
                    yield None

    def remove(self, file_id: str) -> None:
        """Remove a file there, which holds articles or answers; one that stays is no trouble of ours."""
        with suppress(UnavailableError, RejectedError, MissingError, UserError):
            self._sent("DELETE", f"/files/{file_id}")

    def abandon(self, batch_id: str | None, file_id: str | None) -> None:
        """Cancel a batch that nobody waits for any more, and remove its articles there, as far as the endpoint does it."""
        if batch_id is not None:
            with suppress(UnavailableError, RejectedError, MissingError, UserError):
                self._sent("POST", f"/batches/{batch_id}/cancel")
        if file_id is not None:
            self.remove(file_id)

    def _batch(self, row: dict[str, Any]) -> Batch:
        batch_id, status, metadata = _id(row.get("id")), row.get("status"), row.get("metadata")
        if batch_id is None or status not in (*_UNDER_WAY, *_OVER):
            message = f"{self._endpoint.where} told of a batch in a form that is not known"
            raise UnavailableError(message, may_cost=True)
        errors = row.get("errors")
        rows = errors.get("data") if isinstance(errors, dict) else None
        problems = [_id(one.get("code")) for one in rows if isinstance(one, dict)] if isinstance(rows, list) else []
        name = metadata.get(NAMED) if isinstance(metadata, dict) else None
        return Batch(
            batch_id, status, name if isinstance(name, str) else "", _id(row.get("input_file_id")),
            _id(row.get("output_file_id")), _id(row.get("error_file_id")), tuple(filter(None, problems[:5])),
        )  # fmt: skip

    def _sent(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> dict[str, Any]:
        status, answered, content = self._endpoint.send(method, path, body, headers)
        where = self._endpoint.where
        if status in _NOT_BUILT:
            raise MissingError
        if status in _TRY_AGAIN or status >= _SERVER_ERROR:
            message = f"{where} answered {status}"
            wait = retry_after(answered.get("retry-after"), time.time())
            # A gateway may answer in the place of a server that has done what it was asked for.
            raise UnavailableError(message, may_cost=status >= _SERVER_ERROR, wait_s=wait)
        if status not in _SUCCESS:
            message = (
                f"{where} refused with {status}; check oracle.base_url, oracle.model and oracle.api_key, and your account there"
            )
            raise RejectedError(message)
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            message = f"{where} answered something else than the batch API does"
            raise UnavailableError(message, may_cost=True)
        return found


def _id(value: object) -> str | None:
    """Return an id that can stand in an address; None for anything else."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None
