"""The HTTP interface: predictions, feedback and its fate, tasks, models, health, metrics."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import Annotated
from urllib.parse import quote

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from config.errors import DeadLetterError, RetryError, UserError
from consumers.events import cloud_events
from daemon.dashboard.sources import Sources
from daemon.flow.accepted import Accepted
from daemon.serving import page
from daemon.serving.access.callers import Guard
from daemon.serving.access.visitors import Visitors, is_page
from daemon.serving.http import correcting, document, downloads, errors, predicting, reviewing, schemas
from daemon.serving.http.errors import ApiError
from daemon.serving.http.lane import Lane
from daemon.serving.http.predicting import json_bytes
from daemon.serving.http.refusals import EVERYWHERE, GUARDED, declared
from daemon.serving.http.security import BodyLimit, HeadAsGet
from daemon.serving.metrics import Measured
from daemon.serving.models.slot import Slot
from daemon.serving.service import Service
from daemon.views import tasks
from daemon.views.feedback.overview import FeedbackFate, Progress
from daemon.views.models import versions
from daemon.views.task.explanation import Explanation
from daemon.views.view import as_json


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
    app.state.dashboard = dashboard = page.dashboard_of(service)
    service.at_close(dashboard.close)
    visitors = Visitors(service.access)
    # The last one added sees a request first: measured, then identified, then read.
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, all_bytes=settings.max_bodies_bytes)
    app.add_middleware(page.PageGuard, dashboard=dashboard, visitors=visitors, max_body_bytes=settings.max_body_bytes)
    app.add_middleware(Guard, access=service.access, max_body_bytes=settings.max_body_bytes, elsewhere=is_page)
    app.add_middleware(Measured, metrics=service.metrics)
    app.add_middleware(HeadAsGet)
    predicting.add(app, service, partial(_slot, service))
    _add_feedback(app, service)
    _add_views(app, service)
    downloads.add(app, service, partial(_slot, service))
    reviewing.add(app, service, dashboard.sources)
    correcting.add(app, dashboard.sources)
    _add_health(app, service)
    page.add(app, dashboard, visitors)
    return app


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
        body, key = await json_bytes(request), request.state.caller.key
        headers = cloud_events.from_http(request.headers.items())
        try:
            batch = await posts.run(cloud_events.batch_in, body, headers)
        except DeadLetterError as error:
            raise errors.of_dead_letter(error) from None
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

    explanations = Lane(threads=1, waiting=20)
    sources: Sources = app.state.dashboard.sources

    @app.get(
        "/v1/tasks/{task}/explain",
        response_model=Explanation,
        responses=declared(*GUARDED, "not_found", "invalid"),
    )
    async def explain(task: str) -> Response:
        """Tell why a task did or did not train and promote, and when it is expected to."""
        _slot(service, task)
        return JSONResponse(as_json(await explanations.run(_explained, sources, task)))


def _explained(sources: Sources, task: str) -> Explanation:
    from daemon.views.task import explaining  # noqa: PLC0415 - brings LanceDB, and few ask

    try:
        status = sources.status()
        if all(one.task != task for one in status.tasks):
            sources.look_anew()
            status = sources.status()
        return explaining.of(sources.reader, status, task, sources.settings)
    except RetryError as error:
        raise ApiError(503, str(error), "ask again in a moment", headers={"Retry-After": "2"}) from None
    except UserError as error:
        raise ApiError(404, str(error), "start the daemon", field="task") from None


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
        body = {
            "ready": not reasons, "reasons": reasons, "notes": notes, "serving": {view.name: view.serving for view in views},
            "computes_by": {view.name: view.computes_by for view in views if view.computes_by},
            "passed_over": {view.name: view.passed_over for view in views if view.passed_over},
        }  # fmt: skip
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


def _slot(service: Service, task: str) -> Slot:
    slot = service.slots.get(task)
    if slot is None:
        raise errors.unknown_task(task, service.slots)
    return slot


def _task_view(slot: Slot) -> schemas.TaskView:
    status, spec = slot.status(), slot.spec
    if not status.looked:
        problem = "the registry was not read yet"
    elif status.failure is not None:
        problem = status.failure
    elif status.champion is None:
        problem = "no champion yet; keywords answer" if spec.keywords is not None else "no champion yet"
    elif status.serving is None:
        problem = f"{status.champion} is being loaded"
    else:
        problem = None
    short = tasks.summary(spec, status.champion)
    used = status.used
    return schemas.TaskView(
        **dict(short), serving=status.serving, ready=status.ready, problem=problem,
        computes_by=used.name if used else None, passed_over=used.passed_over if used else None,
    )  # fmt: skip
