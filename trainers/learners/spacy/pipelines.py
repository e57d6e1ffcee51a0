"""The pipeline that a run begins with: the champion's, a blank language, or an installed one, with a recogniser of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.pipeline import EntityRecognizer

from config.errors import RunFailedError
from config.tasks import TaskSpec
from perennial_artifact.description import MODEL_FILE, Description, Input, versions_of
from perennial_artifact.pieces import SHORT_PIECE_CHARS
from perennial_artifact.spacy.entities import FORMAT, recogniser_of, types_of, vector_sources
from perennial_artifact.spacy.layers import CURATED_FACTORY, has_curated, unknown_part
from perennial_artifact.spacy.tokens import make_linear
from trainers.learners.spacy import strings
from trainers.learners.spacy.rows import TokenRow

BLANK = "blank:"
_CURATED_PACKAGE = "spacy_curated_transformers"
_INITIALIZE_ROWS = 10
_META_KEY = "perennial"
"""Where programs of the first release look for the types that a pipeline may answer with."""


def base(spec: TaskSpec) -> Language:
    """Return the pipeline that the task's base model names. Raises `RunFailedError` where it cannot be used."""
    if not spec.base_model.startswith(BLANK):
        # Before it is loaded: a part that no installed package brings would end in a riddle.
        config = _config_of(spec.base_model)
        if unknown := unknown_part(config, curated=True):
            # Its models could be trained, and never opened again.
            message = (
                f"base_model {spec.base_model!r} of task {spec.name!r} cannot be used: {unknown}. Choose a pipeline whose "
                f"transformer is a {CURATED_FACTORY} (en_core_web_trf from 3.7 on), one without parts of other packages, such as "
                "en_core_web_lg, or blank:en"
            )
            raise RunFailedError(message)
        if has_curated(config) and find_spec(_CURATED_PACKAGE) is None:
            message = (
                f"base_model {spec.base_model!r} of task {spec.name!r} has a {CURATED_FACTORY}, and the package for it is not "
                "installed; pip install 'perennial[spacy-transformers]', here and where its models are served"
            )
            raise RunFailedError(message)
        return open_pipeline(spec.base_model)
    language = spec.base_model.removeprefix(BLANK)
    try:
        return make_linear(spacy.blank(language))
    except ImportError:
        message = (
            f"base_model {spec.base_model!r} of task {spec.name!r}: spaCy has no language {language!r}, or a package it needs is "
            "missing; use a code such as blank:en, or blank:xx for any language"
        )
        raise RunFailedError(message) from None


def open_pipeline(name_or_path: str) -> Language:
    """Return an installed or published pipeline. Raises `RunFailedError`."""
    try:
        return make_linear(_read(name_or_path))
    except Exception as error:  # a damaged folder fails in msgpack, JSON, config, numpy or thinc
        message = (
            f"the spaCy pipeline {name_or_path} cannot be loaded ({type(error).__name__}: {error}). Nothing was changed; check "
            "that it is installed, fits this spaCy version, and is complete"
        )
        raise RunFailedError(message) from error


def ready(nlp: Language, types: Sequence[str], rows: Sequence[TokenRow]) -> EntityRecognizer:
    """Return the pipeline's recogniser, added where there is none, knowing `types` and owning its token vectors."""
    found = recogniser_of(nlp)
    # spaCy's default recogniser: HashEmbedCNN of width 96 and depth 4, about 4 MB.
    recogniser: EntityRecognizer = nlp.add_pipe("ner", config=_on_its_transformer(nlp)) if found is None else found
    for label in types:
        recogniser.add_label(label)
    if found is None:
        sample = [row.example(nlp) for row in rows[:_INITIALIZE_ROWS]]
        recogniser.initialize(lambda: sample, nlp=nlp)
    for source in vector_sources(nlp, recogniser):
        # Training a shared layer would change the pipes that are to stay as they are.
        nlp.replace_listeners(source, recogniser.name, ["model.tok2vec"])
        upstream: Any = nlp.get_pipe(source)
        if not upstream.listening_components:
            # Nobody asks it any more, and a transformer is most of a pipeline's size.
            nlp.remove_pipe(source)
    return recogniser


def write(nlp: Language, output: Path, *, spec: TaskSpec, types: Sequence[str]) -> None:
    """Write a pipeline that answers with `types`, and its `model.json`, into the new folder `output`."""
    curated = has_curated(nlp.config)
    if curated:
        from perennial_artifact.spacy.curated import FORMAT as CURATED_FORMAT  # noqa: PLC0415 - its package may be missing
        from perennial_artifact.spacy.curated import use_safetensors  # noqa: PLC0415 - same

        use_safetensors(nlp)
    nlp.meta[_META_KEY] = {"types": list(types)}
    nlp.to_disk(output)
    strings.keep_only(output, base(spec), types_of(nlp))
    Description(
        kind=spec.kind, backend=spec.backend, format=CURATED_FORMAT if curated else FORMAT, base=spec.base_model,
        labels=tuple(types), input=Input(piece_chars=SHORT_PIECE_CHARS),
        libraries=versions_of("spacy", *(["spacy-curated-transformers", "torch"] if curated else [])),
    ).write(output)  # fmt: skip


def _read(name_or_path: str) -> Language:
    if Path(name_or_path, MODEL_FILE).exists() and has_curated(_config_of(name_or_path)):
        from perennial_artifact.spacy.curated import CuratedEntities  # noqa: PLC0415 - its package may not be installed

        return CuratedEntities.read(Path(name_or_path))
    return spacy.load(name_or_path)


def _config_of(name_or_path: str) -> Mapping[str, Any]:
    """Return the configuration of a pipeline; empty where none is found, which loading it will tell."""
    folder = Path(name_or_path) if Path(name_or_path).exists() else Path()
    if spacy.util.is_package(name_or_path):
        package = spacy.util.get_package_path(name_or_path)
        folder = package / f"{package.name}-{spacy.util.get_package_version(name_or_path)}"
    try:
        return spacy.util.load_config(folder / "config.cfg")
    except (OSError, ValueError):
        return {}


def _on_its_transformer(nlp: Language) -> dict[str, Any]:
    """Return how a new recogniser is built: on the pipeline's transformer where it has one, else as spaCy's default."""
    pipe = next((name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory == CURATED_FACTORY), None)
    if pipe is None:
        return {}
    transformer: Any = nlp.get_pipe(pipe)
    listener = {
        "@architectures": "spacy-curated-transformers.LastTransformerLayerListener.v1",
        "width": transformer.model.get_dim("nO"),
        "pooling": {"@layers": "reduce_mean.v1"},
        "upstream": pipe,
    }
    return {"model": {"tok2vec": listener}}
