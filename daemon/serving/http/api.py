"""The HTTP interface: predictions, feedback and its fate, tasks, models, health, metrics."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Annotated
from urllib.parse import quote

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError

from config.errors import DeadLetterError, RetryError
from consumers.events import cloud_events, wire
from consumers.events import errors as event_errors
from daemon.flow.accepted import Accepted
from daemon.serving.access.callers import Guard
from daemon.serving.feedback.corrections import Corrected
from daemon.serving.http import document, downloads, errors, schemas
from daemon.serving.http.errors import ApiError
from daemon.serving.http.lane import Lane
from daemon.serving.http.refusals import EVERYWHERE, GUARDED, declared
from daemon.serving.http.security import BodyLimit, HeadAsGet
from daemon.serving.metrics import Measured
from daemon.serving.models.batching import OverloadedError, OverTimeError
from daemon.serving.models.slot import NoModelError, Slot
from daemon.serving.service import Service
from daemon.views import tasks
from daemon.views.feedback import FeedbackFate, Progress
from daemon.views.models import versions
from daemon.views.view import as_json
from perennial_artifact.abstaining import abstains
from perennial_artifact.predictor import Answer

_CLIENT_GONE = 499
"""What the metrics count for a request whose client did not wait; nobody reads it."""


def create_app(service: Service) -> FastAPI:
    """Return the app over an open service. It neither opens nor closes the service."""
    app = FastAPI(
        title="Perennial",
        description="Predictions of the champion, feedback on them, and what an app needs to run the champion itself.",
        # Their pages load from another host.
        docs_url=None,
        redoc_url=None,
        responses=declared(*EVERYWHERE),
        generate_unique_id_function=lambda route: route.name,
    )
    errors.install(app)
    document.install(app, open_to_all=lambda: service.access.open_to_all)
    settings = service.settings.serving
    # The last one added sees a request first: measured, then identified, then read.
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, all_bytes=settings.max_bodies_bytes)
    app.add_middleware(Guard, access=service.access, max_body_bytes=settings.max_body_bytes)
    app.add_middleware(Measured, metrics=service.metrics)
    app.add_middleware(HeadAsGet)
    _add_predict(app, service)
    _add_feedback(app, service)
    _add_views(app, service)
    downloads.add(app, service, partial(_slot, service))
    _add_health(app, service)
    return app


def _add_predict(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/tasks/{task}/predict",
        response_model=schemas.predict_response(),
        responses=declared(*GUARDED, "not_found", "no_champion", "unsupported_type", "invalid"),
        openapi_extra=document.body_of(document.PREDICT_BODY),
    )
    async def predict(task: str, request: Request) -> Response:
        """Answer with the task's champion; every answer carries its version and prediction id.

        A text that a trusted person has corrected gets that correction, until a champion has learnt it: `answered_by` tells.
        """
        slot = _slot(service, task)
        asked = _predict_request(await _json_bytes(request))
        texts = asked.as_texts()
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
            raise _no_model(_slot(service, task)) from None
        except OverloadedError:
            message = f"task {task!r} has too many texts waiting"
            raise ApiError(503, message, "send it again in a second", field="task", headers={"Retry-After": "1"}) from None
        by_model = await _unless_gone(request, future)
        if by_model is None:
            return Response(status_code=_CLIENT_GONE)
        rest = iter(by_model)
        answers = [corrected[place].answer if place in corrected else next(rest) for place in range(len(texts))]
        ids = service.predictions.add(
            task, version, texts, answers, asked.article_id, kind=slot.spec.kind, corrected=corrected.keys()
        )
        service.metrics.answered(task, version, len(texts), corrected=len(corrected))
        # The task file of now, whatever it said when the model was made.
        below = slot.spec.abstain_below
        predictions = [
            # A backend that reads every text whole says nothing of it.
            {
                "prediction_id": one,
                "truncated": False,
                "abstained": abstains(answer, below),
                **_whose(corrected.get(place)),
                **answer,
            }
            for place, (one, answer) in enumerate(zip(ids, answers, strict=True))
        ]
        return JSONResponse({"task": task, "version": version, "predictions": predictions})


def _add_feedback(app: FastAPI, service: Service) -> None:
    posts, acknowledgements = Lane(threads=16, waiting=1000), Lane(threads=2, waiting=200)
    fates, strangers = Lane(threads=2, waiting=100), Lane(threads=1, waiting=20)

    @app.post(
        "/v1/feedback",
        status_code=202,
        response_model=schemas.FeedbackAccepted,
        responses=declared(*GUARDED, "not_found", "conflict", "unsupported_type", "invalid"),
        openapi_extra=document.body_of(document.FEEDBACK_BODY),
    )
    async def post_feedback(request: Request, idempotency_key: Annotated[str | None, Header()] = None) -> Response:
        """Make feedback durable and acknowledge it; `event_id` and `occurred_at` may be left out.

        CloudEvents are taken too: structured, binary, and a batch, which is answered with `{"events": [...]}`.
        """
        body, key = await _json_bytes(request), request.state.caller.key
        headers = cloud_events.from_http(request.headers.items())
        batch = cloud_events.batch_in(body, headers)
        if batch is None:
            one = await posts.run(
                lambda: _acknowledgement(service, service.desk.accept(body, idempotency_key, api_key=key, headers=headers))
            )
            return JSONResponse(one.model_dump(mode="json"), status_code=202)
        if len(batch) > service.settings.serving.max_texts:
            message = f"the batch has {len(batch)} events, more than serving.max_texts ({service.settings.serving.max_texts})"
            raise ApiError(422, message, "send them in several batches", field="body")
        events = await posts.run(
            lambda: [_acknowledgement(service, one) for one in service.desk.accept_batch(batch, api_key=key)]
        )
        return JSONResponse({"events": [one.model_dump(mode="json") for one in events]}, status_code=202)

    @app.get(
        "/v1/feedback/{event_id:path}",
        response_model=FeedbackFate,
        responses=declared(*GUARDED, "not_found", "invalid"),
    )
    async def feedback_fate(event_id: str) -> Response:
        """Tell what became of one feedback event, up to the version that learnt from it."""
        try:
            # Who was acknowledged does not wait behind questions about anything at all.
            lane = fates if await acknowledgements.run(service.fates.was_acknowledged, event_id) else strangers
            found = await lane.run(service.fates.of, event_id)
        except RetryError as error:
            raise ApiError(503, str(error), "ask again in a moment", headers={"Retry-After": "2"}) from None
        if found is None:
            message = f"event_id: no feedback {event_id[:200]!r} is known here"
            raise ApiError(404, message, "use the event_id of the 202 answer", field="event_id")
        return JSONResponse(as_json(found))


def _add_views(app: FastAPI, service: Service) -> None:
    @app.get("/v1/tasks", responses=declared(*GUARDED))
    async def list_tasks() -> schemas.Tasks:
        """List the tasks, what answers for each and why one is not ready."""
        return schemas.Tasks(tasks=[_task_view(slot) for slot in service.slots.all()])

    @app.get("/v1/models", responses=declared(*GUARDED, "not_found", "invalid"))
    def list_models(task: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> schemas.Models:
        """List the registry's newest versions (`?limit=`), newest first, of one task (`?task=`) or of all."""
        if task is not None:
            _slot(service, task)
        try:
            found = versions.newest(service.registry, task, limit)
        except RetryError as error:
            raise ApiError(503, str(error), "ask again in a moment", headers={"Retry-After": "2"}) from None
        serving = {slot.status().serving for slot in service.slots.all()}
        return schemas.Models(models=[schemas.ModelView(**dict(one), serving=one.name in serving) for one in found])


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def healthz() -> schemas.Alive:
        """Say that the process runs and its event loop turns."""
        return schemas.Alive(pid=os.getpid())

    @app.get(
        "/readyz",
        response_model=schemas.Readiness,
        responses={503: {"model": schemas.Readiness, "description": "It is not ready; `reasons` says why."}},
    )
    async def readyz() -> Response:
        """Answer 200 once every task that has a champion has a loaded model and every thread works, else 503.

        A task that a reload brought is only noted.
        """
        views = [_task_view(slot) for slot in service.slots.all()]
        reasons = {view.name: view.problem for view in views if not view.ready and not service.slots.came_later(view.name)}
        reasons |= {name: found.reason for name, found in service.troubles().items()}
        notes = {view.name: view.problem for view in views if view.problem and view.name not in reasons}
        body = {"ready": not reasons, "reasons": reasons, "notes": notes, "serving": {view.name: view.serving for view in views}}
        return JSONResponse(body, status_code=503 if reasons else 200)

    exposition = {"description": "The metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}

    @app.get("/metrics", response_class=Response, responses={200: exposition, **declared(*GUARDED)})
    async def metrics() -> Response:
        """Expose the process's metrics in Prometheus' text format."""
        return Response(service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _acknowledgement(service: Service, accepted: Accepted) -> schemas.FeedbackAccepted:
    progress = Progress()
    if accepted.repeated:
        # What was durable a moment ago was neither judged nor learnt.
        with suppress(RetryError):
            progress = service.fates.progress(accepted.event_id, accepted.task)
    return schemas.FeedbackAccepted(
        answers_since=progress.answers_since,
        learnt_in=progress.learnt_in,
        in_champion=progress.in_champion,
        event_id=accepted.event_id,
        task=accepted.task,
        accepted_at=accepted.accepted_at,
        fate=f"/v1/feedback/{quote(accepted.event_id, safe='')}",
    )


async def _unless_gone(request: Request, future: Future[list[Answer]]) -> list[Answer] | None:
    """Return the answers; None when the client went away meanwhile, whose texts are dropped then. Raises `ApiError` (422)."""
    answered = asyncio.wrap_future(future)
    # The body was read to its end: what comes now is that the client has gone.
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((answered, gone), return_when=asyncio.FIRST_COMPLETED)
        return await answered if answered.done() else None
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


def _whose(corrected: Corrected | None) -> dict[str, str | None]:
    if corrected is None:
        return {"answered_by": "model", "correction_id": None}
    return {"answered_by": "correction", "correction_id": corrected.event_id}


async def _json_bytes(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # Insisting on JSON also keeps web pages from posting here through a visitor's browser without asking.
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        message = f"the body is declared as {kind[:80] or 'nothing'!r}"
        raise ApiError(415, message, "send JSON with the header Content-Type: application/json", field="Content-Type")
    return await request.body()


def _predict_request(body: bytes) -> schemas.PredictRequest:
    try:
        return schemas.PredictRequest.model_validate(wire.decode(body, noun="body"))
    except DeadLetterError as error:
        raise errors.of_malformed(error) from None
    except ValidationError as error:
        raise errors.of_dead_letter(event_errors.explain(error, noun="request")) from None


def _slot(service: Service, task: str) -> Slot:
    slot = service.slots.get(task)
    if slot is None:
        raise errors.unknown_task(task, service.slots)
    return slot


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


def _task_view(slot: Slot) -> schemas.TaskView:
    status, spec = slot.status(), slot.spec
    if not status.looked:
        problem = "the registry was not read yet"
    elif status.failure is not None:
        problem = status.failure
    elif status.champion is None:
        problem = "no champion yet"
    elif status.serving is None:
        problem = f"{status.champion} is being loaded"
    else:
        problem = None
    short = tasks.summary(spec, status.champion)
    return schemas.TaskView(**dict(short), serving=status.serving, ready=status.ready, problem=problem)
