"""Answers over HTTP: of several texts, and of one article's title and description in categories."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError

from config.errors import DeadLetterError
from config.kinds import catalog as kinds
from consumers.events import errors as event_errors
from consumers.events import wire
from daemon.serving.feedback.corrections import Corrected
from daemon.serving.http import direct, document, errors, schemas
from daemon.serving.http.errors import ApiError
from daemon.serving.http.refusals import GUARDED, declared
from daemon.serving.models.batching import OverloadedError, OverTimeError
from daemon.serving.models.slot import NoModelError, Slot
from daemon.serving.service import Service
from perennial_artifact.abstaining import abstains
from perennial_artifact.keywords import is_version_of_keywords
from perennial_artifact.predictor import Answer

_CLIENT_GONE = 499
"""What the metrics count for a request whose client did not wait; nobody reads it."""
_SIGNALS = "signals"
_REFUSALS = (*GUARDED, "not_found", "no_champion", "unsupported_type", "invalid")

AskedT = TypeVar("AskedT", bound=BaseModel)

PREDICT = "/v1/tasks/{task}/predict"


def add(app: FastAPI, service: Service, slot_of: Callable[[str], Slot]) -> None:
    """Add the addresses to `app`; `slot_of` returns a task's slot or refuses."""

    @direct.post(
        app,
        PREDICT,
        response_model=schemas.predict_response(),
        responses=declared(*_REFUSALS),
        openapi_extra=document.body_of(document.PREDICT_BODY),
    )
    async def predict(task: str, request: Request) -> Response:
        """Answer with the task's champion; every answer carries its version and prediction id.

        A text that a trusted person has corrected gets that correction, until a champion has learnt it; a task without a champion
        answers by its keywords, where its file lists any: `answered_by` tells.
        """
        slot_of(task)
        asked = asked_in(schemas.PredictRequest, await json_bytes(request))
        found = await _answered(service, slot_of, request, task, asked.as_texts(), asked.article_id)
        if found is None:
            return Response(status_code=_CLIENT_GONE)
        version, predictions = found
        return JSONResponse({"task": task, "version": version, "predictions": predictions})

    @direct.post(
        app,
        "/v1/tasks/{task}/classify",
        response_model=schemas.ClassifyResponse,
        responses=declared(*_REFUSALS),
        openapi_extra=document.body_of(document.CLASSIFY_BODY),
    )
    async def classify(task: str, request: Request) -> Response:
        """Answer the score and the tag of each category, for the title and description of one text (tasks of kind `signals`).

        The same as `predict`, of one text; `answered_by` tells whether the champion spoke, a correction or the task's keywords.
        """
        if (kind := kinds.get(slot_of(task).spec.kind)).key != _SIGNALS:
            message = f"task: {task!r} is of kind {kind.name}, which has no categories"
            raise ApiError(422, message, f"ask /v1/tasks/{task}/predict", field="task")
        asked = asked_in(schemas.ClassifyRequest, await json_bytes(request))
        found = await _answered(service, slot_of, request, task, [asked.as_text()], asked.article_id)
        if found is None:
            return Response(status_code=_CLIENT_GONE)
        version, [prediction] = found
        if _SIGNALS not in prediction:
            # Its champion is from before the task was changed.
            raise errors.no_champion(task)
        said = {name: prediction[name] for name in schemas.ClassifyResponse.model_fields if name in prediction}
        return JSONResponse({"task": task, "version": version, **said})


async def _answered(  # noqa: PLR0917 - all of them are what one request has
    service: Service, slot_of: Callable[[str], Slot], request: Request, task: str, texts: Sequence[str], article_id: str | None
) -> tuple[str, list[dict[str, Any]]] | None:
    """Return the version that answers and one prediction a text; None when the client went away. Raises `ApiError`."""
    slot = slot_of(task)
    if len(texts) > service.settings.serving.max_texts:
        message = f"texts: {len(texts)} texts are more than serving.max_texts ({service.settings.serving.max_texts})"
        raise ApiError(422, message, "send them in several requests", field="texts")
    service.access.charge(request.state.caller, len(texts))
    corrected = service.corrections.of(task, texts)
    left = [text for place, text in enumerate(texts) if place not in corrected]
    try:
        version, future = slot.predict(left) if left else (slot.version(), _nothing())
    except NoModelError:
        # Its task file may have been removed since the request came in; then this says so.
        raise _no_model(slot_of(task)) from None
    except OverloadedError:
        message = f"task {task!r} has too many texts waiting"
        raise ApiError(503, message, "send it again in a second", field="task", headers={"Retry-After": "1"}) from None
    by_model = await _unless_gone(request, future)
    if by_model is None:
        return None
    rest = iter(by_model)
    answers = [corrected[place].answer if place in corrected else next(rest) for place in range(len(texts))]
    ids = service.predictions.add(task, version, texts, answers, article_id, kind=slot.spec.kind, corrected=corrected.keys())
    service.metrics.answered(task, version, len(texts), corrected=len(corrected))
    # The task file of now, whatever it said when the model was made.
    below = slot.spec.abstain_below
    return version, [
        # A backend that reads every text whole says nothing of it.
        {
            "prediction_id": one,
            "truncated": False,
            "abstained": abstains(answer, below),
            **_whose(corrected.get(place), version),
            **answer,
        }
        for place, (one, answer) in enumerate(zip(ids, answers, strict=True))
    ]


async def json_bytes(request: Request) -> bytes:
    """Return the body of a request that is declared as JSON. Raises `ApiError` (415)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # Insisting on JSON also keeps web pages from posting here through a visitor's browser without asking.
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        message = f"the body is declared as {kind[:80] or 'nothing'!r}"
        raise ApiError(415, message, "send JSON with the header Content-Type: application/json", field="Content-Type")
    return await request.body()


def asked_in(model: type[AskedT], body: bytes) -> AskedT:
    """Return what a JSON body asks for. Raises `ApiError` (400, 422)."""
    try:
        return model.model_validate(wire.decode(body, noun="body"))
    except DeadLetterError as error:
        raise errors.of_malformed(error) from None
    except ValidationError as error:
        raise errors.of_dead_letter(event_errors.explain(error, noun="request")) from None


def _whose(corrected: Corrected | None, version: str) -> dict[str, str | None]:
    if corrected is not None:
        return {"answered_by": "correction", "correction_id": corrected.event_id}
    return {"answered_by": "keywords" if is_version_of_keywords(version) else "model", "correction_id": None}


async def _unless_gone(request: Request, future: Future[list[Answer]]) -> list[Answer] | None:
    """Return the answers; None when the client went away meanwhile, whose texts are dropped then. Raises `ApiError` (422)."""
    if future.done() and future.exception() is None:
        return future.result()
    answered = asyncio.wrap_future(future)
    # The body was read to its end: what comes now is that the client has gone. What is cancelled is not computed further.
    gone = asyncio.ensure_future(request.receive())
    gone.add_done_callback(lambda _gone: answered.cancel())
    try:
        return await answered
    except asyncio.CancelledError:
        if gone.done():
            return None
        raise
    except OverTimeError as error:
        message = f"texts: {error}"
        remedy = "shorten that text or leave it out; the others can be sent without it, and sending it again changes nothing"
        raise ApiError(422, message, remedy, field="texts") from None
    finally:
        answered.cancel()
        gone.cancel()


def _nothing() -> Future[list[Answer]]:
    """Return what a model is done with at once."""
    future: Future[list[Answer]] = Future()
    future.set_result([])
    return future


def _no_model(slot: Slot) -> ApiError:
    status = slot.status()
    if status.failure is not None:
        message = f"task {status.task!r} has no working model: {status.failure}"
        remedy = "tell the operator; loading is retried automatically"
    elif status.champion is None and status.looked:
        return errors.no_champion(status.task)
    else:
        message, remedy = f"the champion of task {status.task!r} is being loaded", "send it again in a moment"
    return ApiError(503, message, remedy, field="task", headers={"Retry-After": "1"})
