"""`/openapi.json`: exactly what the server does. A test with schemathesis finds differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from consumers.events.schemas import Feedback
from daemon.serving.access.callers import OPEN_PATHS
from daemon.serving.http.schemas import ClassifyRequest, CorrectionOfLabel, PredictRequest, ReviewAnswer

_REF = "#/components/schemas/{model}"
_BEARER = "bearer"
_NOT_OURS = ("HTTPValidationError", "ValidationError")
_FILLED_IN = ("event_id", "occurred_at", "type")
"""What serving fills in where feedback leaves it out."""


def _given(part: str, kind: str = "string", *, without: Sequence[str] = ()) -> dict[str, Any]:
    """Return the schema of an object that carries `part`, not null, and none of `without`."""
    properties = {part: {"type": kind}, **{name: {"type": "null"} for name in without}}
    return {"required": [part], "properties": properties}


_ONE_FORM = [
    _given("texts", "array", without=("text", "title", "body", "article_id")),
    _given("text", without=("texts", "title", "body")),
    {"anyOf": [_given("title", without=("texts", "text")), _given("body", without=("texts", "text"))]},
]
_NAMES_A_TEXT = [_given(part) for part in ("prediction_id", "article_id", "text")]

PREDICT_BODY = {"$ref": _REF.format(model="PredictRequest"), "oneOf": _ONE_FORM}
_ACTS = {"target": "object", "cannot_tell": "boolean", "skip": "boolean", "accept": "string", "reject": "boolean"}
REVIEW_BODY = {
    "$ref": _REF.format(model="ReviewAnswer"),
    "oneOf": [_given(name, kind, without=tuple(other for other in _ACTS if other != name)) for name, kind in _ACTS.items()],
}
CORRECTION_BODY = {"$ref": _REF.format(model="CorrectionOfLabel")}
CLASSIFY_BODY = {"$ref": _REF.format(model="ClassifyRequest"), "anyOf": [_given("title"), _given("description")]}
_SAYS_WHAT = [
    _given("target", "object"),
    {"allOf": [_given("prediction_id"), {"properties": {"verdict": {"const": "confirmation"}}}]},
]
FEEDBACK_BODY = {"$ref": _REF.format(model="Feedback"), "allOf": [{"anyOf": _NAMES_A_TEXT}, {"anyOf": _SAYS_WHAT}]}


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    [kind] = [part for part in schema["anyOf"] if part != {"type": "null"}]
    return {**{name: value for name, value in schema.items() if name not in ("anyOf", "default")}, **kind}


def body_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Return FastAPI's `openapi_extra` for an address that reads a JSON body by itself."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def install(app: FastAPI, *, open_to_all: Callable[[], bool]) -> None:
    """Make `app` describe itself; `open_to_all` tells whether requests need no key at this moment."""

    @lru_cache(maxsize=2)
    def document(is_open: bool) -> dict[str, Any]:
        return _document(app, is_open=is_open)

    # FastAPI's own hook.
    app.openapi = lambda: document(open_to_all())  # type: ignore[method-assign]


def _document(app: FastAPI, *, is_open: bool) -> dict[str, Any]:
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = made.setdefault("components", {})
    _refs, bodies = models_json_schema(
        [
            (PredictRequest, "validation"),
            (ClassifyRequest, "validation"),
            (Feedback, "validation"),
            (ReviewAnswer, "validation"),
            (CorrectionOfLabel, "validation"),
        ],
        ref_template=_REF,
    )
    components["schemas"] |= bodies["$defs"]
    feedback = components["schemas"]["Feedback"] = dict(components["schemas"]["Feedback"])
    feedback["required"] = [name for name in feedback["required"] if name not in _FILLED_IN]
    # Left out rather than null, so that generated clients have one type for it.
    feedback["properties"] = feedback["properties"] | {"target": _not_null(feedback["properties"]["target"])}
    components["securitySchemes"] = {
        _BEARER: {"type": "http", "scheme": "bearer", "description": "An API key (`perennial keys create`), or serving's token."}
    }
    # FastAPI's own refusals, which never leave this app in their own shape.
    for name in _NOT_OURS:
        components["schemas"].pop(name, None)
    for path, item in made["paths"].items():
        for operation in item.values():
            if "422" in operation["responses"] and _NOT_OURS[0] in str(operation["responses"]["422"]):
                del operation["responses"]["422"]
            if not is_open:
                operation["security"] = [] if path in OPEN_PATHS else [{_BEARER: []}]
    return made
