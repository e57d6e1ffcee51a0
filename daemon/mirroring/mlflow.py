"""The calls of MLflow's REST interface that a mirror of a model registry needs.

They are those of its version 2, with aliases (MLflow 2.3 and newer). Of an answer only what is needed is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from config.errors import PerennialError, RetryError

_API = "/api/2.0/mlflow"
_TIMEOUT_S = 10.0
_PAGE = 200
_MOST_PAGES = 100
_MOST_METRICS = 1_000
"""That a server takes in one call."""
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_THERE = "RESOURCE_ALREADY_EXISTS"
_TRY_AGAIN = frozenset({408, 425, 429})
_SERVER_ERROR = 500


class MirrorRefusedError(PerennialError):
    """The server refuses this for good: the same call again changes nothing."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where a server is, and who asks."""

    url: str
    username: str = ""
    password: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version as the server has it."""

    number: str
    tags: Mapping[str, str]


class Mlflow:
    """An MLflow server. Every call ends within seconds and raises `RetryError` or `MirrorRefusedError`."""

    def __init__(self, access: Access) -> None:
        basic = (access.username, access.password) if access.username else None
        headers = {"authorization": f"Bearer {access.token}"} if access.token else {}
        self._host = urlsplit(access.url).hostname
        self._client = httpx.Client(
            base_url=f"{access.url}{_API}", auth=basic, headers=headers, timeout=_TIMEOUT_S, follow_redirects=False
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def aliases(self, model: str) -> dict[str, str] | None:
        """Return the version number of each alias of a registered model; None where there is no such model."""
        found = self._ask("GET", "/registered-models/get", {"name": model}, or_none=True)
        if found is None:
            return None
        listed = found.get("registered_model", {}).get("aliases", [])
        return {str(one["alias"]): str(one["version"]) for one in listed}

    def create_model(self, model: str, *, tags: Mapping[str, str], description: str) -> None:
        """Register a model; one that is there stays as it is."""
        self._ask("POST", "/registered-models/create", {"name": model, "tags": _pairs(tags), "description": description})

    def versions(self, model: str) -> Iterator[ModelVersion]:
        """Yield the versions of a registered model."""
        asked: dict[str, Any] = {"filter": f"name='{model}'", "max_results": _PAGE}
        for _page in range(_MOST_PAGES):
            found = self._ask("GET", "/model-versions/search", asked) or {}
            for one in found.get("model_versions", []):
                yield ModelVersion(str(one["version"]), {tag["key"]: tag.get("value", "") for tag in one.get("tags", [])})
            if not (token := found.get("next_page_token")):
                return
            asked["page_token"] = token

    def create_version(self, model: str, source: str, run_id: str, tags: Mapping[str, str], description: str) -> str:
        """Add a version to a registered model, its tags with it or not at all; return its number."""
        body = {"name": model, "source": source, "run_id": run_id, "tags": _pairs(tags), "description": description}
        found = self._ask("POST", "/model-versions/create", body) or {}
        return str(found["model_version"]["version"])

    def set_version_tag(self, model: str, number: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        self._ask("POST", "/model-versions/set-tag", {"name": model, "version": number, "key": key, "value": value})

    def set_alias(self, model: str, alias: str, number: str) -> None:
        """Let an alias name a version."""
        self._ask("POST", "/registered-models/alias", {"name": model, "alias": alias, "version": number})

    def delete_alias(self, model: str, alias: str) -> None:
        """Remove an alias; the version stays."""
        self._ask("DELETE", "/registered-models/alias", {"name": model, "alias": alias}, or_none=True)

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, which is made where it is not there."""
        for _attempt in range(2):
            found = self._ask("GET", "/experiments/get-by-name", {"experiment_name": name}, or_none=True)
            if found is not None:
                return str(found["experiment"]["experiment_id"])
            # Somebody else may make it between the two.
            self._ask("POST", "/experiments/create", {"name": name})
        message = f"MLflow ({self._host}) has made the experiment {name!r} and does not find it; it may have been deleted there"
        raise MirrorRefusedError(message)

    def run(self, experiment: str, tag: tuple[str, str]) -> str | None:
        """Return the id of the run that has a tag, None where there is none."""
        key, value = tag
        body = {"experiment_ids": [experiment], "filter": f"tags.`{key}` = '{value}'", "max_results": 1}
        listed = (self._ask("POST", "/runs/search", body) or {}).get("runs", [])
        return str(listed[0]["info"]["run_id"]) if listed else None

    def create_run(self, experiment: str, name: str, *, tags: Mapping[str, str], began_ms: int) -> str:
        """Add a run, its tags with it or not at all; return its id."""
        body = {"experiment_id": experiment, "run_name": name, "start_time": began_ms, "tags": _pairs(tags)}
        return str((self._ask("POST", "/runs/create", body) or {})["run"]["info"]["run_id"])

    def fill_run(self, run_id: str, *, metrics: Mapping[str, float], params: Mapping[str, str], at_ms: int) -> None:
        """Write the figures of a run and end it; the same again changes nothing."""
        logged = [{"key": key, "value": value, "timestamp": at_ms, "step": 0} for key, value in metrics.items()]
        body = {"run_id": run_id, "metrics": logged[:_MOST_METRICS], "params": _pairs(params)}
        self._ask("POST", "/runs/log-batch", body)
        self._ask("POST", "/runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": at_ms})

    def _ask(self, method: str, path: str, said: Mapping[str, Any], *, or_none: bool = False) -> dict[str, Any] | None:
        """Return the answer; None where the thing is not there (`or_none`), or is there already."""
        try:
            answer = self._client.request(method, path, **({"params": dict(said)} if method == "GET" else {"json": dict(said)}))  # type: ignore[arg-type]  # one of the two
            status, content = answer.status_code, _decoded(answer)
        except httpx.HTTPError as error:
            message = f"MLflow ({self._host}) does not answer: {str(error) or type(error).__name__}"
            raise RetryError(message) from error
        if status < 300 and content is not None:  # noqa: PLR2004 - it went well
            return content
        code = str((content or {}).get("error_code", ""))
        if (or_none and code == _ABSENT) or code == _THERE:
            return None
        said_why = str((content or {}).get("message", "") or f"status {status}, and no JSON")[:300]
        message = f"MLflow ({self._host}) refuses {path} with {status}: {said_why}"
        raise (RetryError if status >= _SERVER_ERROR or status in _TRY_AGAIN else MirrorRefusedError)(message)


def _decoded(answer: httpx.Response) -> dict[str, Any] | None:
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _pairs(values: Mapping[str, str]) -> Sequence[Mapping[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]
