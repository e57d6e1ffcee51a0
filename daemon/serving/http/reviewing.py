"""The desk over HTTP: what a person is asked next, and their answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response

from config.errors import RetryError, UserError
from config.tasks import TaskSpec
from daemon.dashboard.sources import Sources
from daemon.serving.http import document, errors, schemas
from daemon.serving.http.errors import ApiError
from daemon.serving.http.lane import Lane
from daemon.serving.http.predicting import asked_in, json_bytes
from daemon.serving.http.refusals import GUARDED, declared
from daemon.serving.service import Service
from daemon.views.desk.models import Desk
from daemon.views.view import as_json
from registry.store import Registry

_AGAIN = {"Retry-After": "2"}
Name = Annotated[str, Query(max_length=100, description="Whose desk: with an API key its name, whatever is given here.")]


def add(app: FastAPI, service: Service, sources: Sources) -> None:
    """Add the addresses to `app`; `sources` are the page's."""
    lane = Lane(threads=2, waiting=50)

    @app.get("/v1/review", response_model=Desk, responses=declared(*GUARDED, "not_found", "invalid"))
    async def next_for_review(
        request: Request, task: Annotated[str, Query(max_length=63)], annotator: Name = "",
        lane_name: Annotated[
            str, Query(alias="lane", max_length=40, description="Left out, the first lane in which something waits.")
        ] = "",
        limit: Annotated[int, Query(ge=1, le=100, description="At most so many texts.")] = 1,
    ) -> Response:  # fmt: skip
        """Tell what a person is asked next: texts, the labels to choose from, and how far the task has come.

        In lane `disagreement` nothing tells what a model says of a text, nor on which of them models differ.
        """
        spec, who = _task(service, task), (request.state.caller.key, annotator)
        return JSONResponse(as_json(await lane.run(_looked, sources, spec, who, lane_name, limit)))

    @app.post(
        "/v1/review",
        response_model=schemas.Reviewed,
        responses=declared(*GUARDED, "not_found", "unsupported_type", "invalid"),
        openapi_extra=document.body_of(document.REVIEW_BODY),
    )
    async def answer_review(request: Request) -> Response:
        """Take in one answer: a target, `skip`, `cannot_tell`, or a decision about feedback.

        It is durable when this is answered. `done` is false where another person was quicker, or the text is not asked about any
        more; then nothing was changed.
        """
        asked = asked_in(schemas.ReviewAnswer, await json_bytes(request))
        spec, who = _task(service, asked.task), (request.state.caller.key, asked.annotator)
        return JSONResponse(await lane.run(_answered, sources, spec, who, asked))


def _task(service: Service, name: str) -> TaskSpec:
    found = service.tasks.get(name)
    if found is None:
        raise errors.unknown_task(name, service.slots)
    return found


def _looked(sources: Sources, task: TaskSpec, who: tuple[str | None, str], lane: str, limit: int) -> Desk:
    from daemon.views.desk import reading  # noqa: PLC0415 - brings LanceDB, which a process that nobody asks needs not

    with explained():
        reader = sources.reader
        return reading.look(
            task, annotator_of(*who), lane, registry=reader.registry, buffer=reader.buffer, settings=sources.settings, limit=limit
        )


def _answered(sources: Sources, task: TaskSpec, who: tuple[str | None, str], asked: schemas.ReviewAnswer) -> dict[str, Any]:
    from daemon.labelling import lines  # noqa: PLC0415 - as above
    from daemon.labelling.answering import Desk as Person  # noqa: PLC0415 - as above

    with explained(), Registry.open(sources.settings.registry_url, clock=sources.clock, create=False) as registry:
        name = annotator_of(*who)
        desk = Person(task, name, f"HTTP, {name}"[:200], sources.settings, registry, sources.reader.buffer)
        told = lines.answer(desk, asked.act())
        return {"done": told.done, "said": told.words}


def annotator_of(key: str | None, given: str) -> str:
    """Return whose answer it is: with an API key its name, else the one that was given."""
    from daemon.labelling import answering  # noqa: PLC0415 - as above

    if key is not None:
        return answering.annotator_of(f"{answering.KEY}{key}", key=True)
    return answering.annotator_of(given or "nobody")


@contextmanager
def explained(remedy: str = "see what `GET /v1/review` offers") -> Iterator[None]:
    """Turn the errors of the desk into refusals."""
    try:
        yield
    except RetryError as error:
        raise ApiError(503, str(error), "ask again in a moment", headers=_AGAIN) from None
    except UserError as error:
        raise ApiError(422, str(error), remedy, field="body") from None
