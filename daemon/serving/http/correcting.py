"""Corrections of labels over HTTP: a label that was wrong says something else from now on."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from daemon.dashboard.sources import Sources
from daemon.serving.http import document, schemas
from daemon.serving.http.lane import Lane
from daemon.serving.http.predicting import asked_in, json_bytes
from daemon.serving.http.refusals import GUARDED, declared
from daemon.serving.http.reviewing import annotator_of, explained
from registry.people.audit import By
from registry.store import Registry


def add(app: FastAPI, sources: Sources) -> None:
    """Add the address to `app`; `sources` are the page's."""
    lane = Lane(threads=1, waiting=50)

    @app.post(
        "/v1/labels/correct",
        response_model=schemas.Corrected,
        responses=declared(*GUARDED, "unsupported_type", "invalid"),
        openapi_extra=document.body_of(document.CORRECTION_BODY),
    )
    async def correct_label(request: Request) -> Response:
        """Correct a label that was wrong, by the event id that it came under.

        It is durable when this is answered, and in force within seconds: its target is another wherever it is stored, verdicts
        that it took part in are marked, and no alias moves.
        """
        asked = asked_in(schemas.CorrectionOfLabel, await json_bytes(request))
        return JSONResponse(await lane.run(_corrected, sources, request.state.caller.key, asked))


def _corrected(sources: Sources, key: str | None, asked: schemas.CorrectionOfLabel) -> dict[str, Any]:
    from daemon.labelling import correcting  # noqa: PLC0415 - brings LanceDB, which a process that nobody asks needs not

    remedy = "see what the label says: `perennial lineage row ID`"
    with explained(remedy), Registry.open(sources.settings.registry_url, clock=sources.clock, create=False) as registry:
        name = annotator_of(key, asked.annotator)
        at = correcting.At(sources.settings, sources.tasks, registry, sources.reader.buffer)
        by = By(f"HTTP, {name}"[:200], asked.reason)
        led = correcting.correct(at, asked.label_id, asked.target, annotator=name, by=by)
        return {"label_id": asked.label_id, "in_force": "within seconds" if led else "once a daemon runs"}
