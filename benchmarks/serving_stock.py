"""What a user would write instead: a plain FastAPI app that calls the library in its endpoint, the model in a global variable.

`python -m benchmarks.serving_stock KIND FOLDER PORT` prints its port (0: a free one). Of kind `same_model` it is around what
serving opens, without all else that serving does. `POST /reload` loads a folder into
the global variable, the usual way to change a model without a restart.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

Model = Callable[[list[str]], list[Any]]


class Texts(BaseModel):
    """A request."""

    texts: list[str]


class Folder(BaseModel):
    """Where the next model lies."""

    folder: str


def load(kind: str, folder: str) -> Model:
    """Load as the libraries' front pages show."""
    if kind == "ner":
        import spacy

        nlp = spacy.load(folder)
        return lambda texts: [
            [{"start": ent.start_char, "end": ent.end_char, "label": ent.label_} for ent in nlp(text).ents] for text in texts
        ]
    if kind == "same_model":
        from perennial_artifact.compute import Compute
        from perennial_artifact.formats import open_model
        from trainers.hardware import native_bf16

        model = open_model(Path(folder), Compute(precision="bf16" if native_bf16() else "fp32"))
        return lambda texts: list(model.predict(texts))
    from transformers import pipeline

    classify = pipeline("text-classification", model=folder, top_k=None, truncation=True, device=-1)
    return lambda texts: list(classify(texts))


def main() -> None:
    """Serve until stopped."""
    kind, folder, port = sys.argv[1:]
    app = FastAPI()
    held: dict[str, Any] = {"model": load(kind, folder), "version": folder}

    @app.post("/predict")
    def predict(asked: Texts) -> dict[str, Any]:
        return {"version": held["version"], "predictions": held["model"](asked.texts)}

    @app.post("/reload")
    def reload(asked: Folder) -> dict[str, Any]:
        held["model"] = load(kind, asked.folder)
        held["version"] = asked.folder
        return {}

    # With the protocol named, as uvicorn's own sockets have it: asyncio leaves Nagle's delay of 40 ms on any other.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(port)))
    listener.listen(100)
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
