"""A news desk's web app: answers with the champion in its own process, posts corrections, says which version answers.

PERENNIAL_URL=http://127.0.0.1:8310 PERENNIAL_TASK=news-topics uvicorn fastapi_app:app
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from perennial_client import AsyncClient, Client, Model, RefusedError, UnavailableError

URL = os.environ.get("PERENNIAL_URL", "http://127.0.0.1:8310")
KEY = os.environ.get("PERENNIAL_API_KEY")
TASK = os.environ.get("PERENNIAL_TASK", "news-topics")
CACHE = os.environ.get("PERENNIAL_CACHE", "models")
STALE_S = 3600
"""If serving has not confirmed the model for this many seconds, the app reports itself as unhealthy."""


class Story(BaseModel):
    """What the desk is writing."""

    text: str


class Correction(BaseModel):
    """What the desk says is right."""

    text: str
    user: str
    version: str
    target: dict[str, Any]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Follow the champion for as long as the app runs. Here and not at import: a worker that is forked later follows nothing."""
    with Client(URL, api_key=KEY) as client, Model.follow(TASK, client=client, cache_dir=CACHE) as model:
        async with AsyncClient(URL, api_key=KEY) as desk:
            app.state.model, app.state.desk = model, desk
            yield


def the_model(request: Request) -> Model:
    """Return the model that follows."""
    model: Model = request.app.state.model
    return model


def the_desk(request: Request) -> AsyncClient:
    """Return the client that posts feedback."""
    desk: AsyncClient = request.app.state.desk
    return desk


app = FastAPI(title="News desk", lifespan=lifespan)


@app.post("/answer")
def answer(story: Story, model: Annotated[Model, Depends(the_model)]) -> dict[str, Any]:
    """Answer here, without a request to serving; as a plain function it runs on a thread and holds up nobody."""
    [prediction] = model.predict([story.text])
    return {"version": prediction.version, **prediction.answer}


@app.post("/correct", status_code=202)
async def correct(correction: Correction, desk: Annotated[AsyncClient, Depends(the_desk)]) -> dict[str, str]:
    """Post a correction; an answer given here has no prediction id, so the text goes with it."""
    receipt = await desk.feedback(
        TASK, user_id=correction.user, verdict="correction", target=correction.target, text=correction.text,
        model_version=correction.version,
    )  # fmt: skip
    return {"event_id": receipt.event_id}


@app.get("/health")
def health(model: Annotated[Model, Depends(the_model)]) -> Response:
    """Say which version answers, how old its confirmation is, and what goes wrong."""
    body = {"version": model.version, "age_s": round(model.age_s, 1), "last_error": model.last_error}
    return JSONResponse(body, status_code=200 if model.age_s < STALE_S else 503)


@app.exception_handler(RefusedError)
async def refused(_request: Request, error: RefusedError) -> Response:
    """Tell the desk what is wrong with what it sent."""
    return JSONResponse({"what": error.what, "where": error.where, "remedy": error.remedy}, status_code=422)


@app.exception_handler(UnavailableError)
async def unavailable(_request: Request, error: UnavailableError) -> Response:
    """Tell the desk to come again."""
    return JSONResponse({"what": error.what, "where": error.where, "remedy": error.remedy}, status_code=503)
