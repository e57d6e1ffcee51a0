"""The ways a version can be written for other programs, by name, and which kinds of model each is for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.errors import PerennialError, UserError
from perennial_artifact.description import Description, describe
from perennial_artifact.errors import UnusableError
from perennial_artifact.sentence.layout import (
    FORMAT,
    HEAD_FOLDER,
    MULTILABEL_FORMAT,
    REGRESSION_FORMAT,
    SIGNALS_FORMAT,
)
from trainers.handing import writing

_SENTENCES = frozenset({FORMAT, MULTILABEL_FORMAT, REGRESSION_FORMAT})
_KEYWORDS_FILE = "keywords.json"

AS_PUBLISHED = "perennial"


@dataclass(frozen=True, slots=True)
class Format:
    """One way of writing."""

    name: str
    library: str
    """What opens it, as the Hub names libraries."""
    opens: Callable[[Path, Description], bool]
    """Whether it is there for a published model."""
    write: Callable[[Path, Path], None]
    """Writes the published folder into a new one."""
    usage: Callable[[Description], str]
    """Python that opens what was written, from `MODEL`, and asks it."""
    opens_folders: bool = False
    """Whether these lines open a folder only, and no name of the Hub."""


def _of(*formats: str) -> Callable[[Path, Description], bool]:
    return lambda _folder, described: described.format in formats


def _in_sentence_transformers(folder: Path, described: Description) -> bool:
    # The heads of signals may read hits of keywords too, which only this program counts.
    without_keywords = not (folder / HEAD_FOLDER / _KEYWORDS_FILE).exists()
    return described.format in _SENTENCES or (described.format == SIGNALS_FORMAT and without_keywords)


def _as_published(_described: Description) -> str:
    return """
from pathlib import Path

from perennial_artifact.compute import Compute
from perennial_artifact.formats import open_model

model = open_model(Path("MODEL"), Compute())
print(model.predict(["Parliament passes the budget"]))
"""


def _pipeline(described: Description) -> str:
    if described.kind == "ner":
        return """
from transformers import pipeline

ask = pipeline("token-classification", model="MODEL", aggregation_strategy="first")
print(ask("Parliament passes the budget"))
"""
    trusts = "" if described.format == writing.FIRST_CLASSIFIER_FORMAT else ", trust_remote_code=True"
    numbers = "  # the numbers of all dimensions" if described.kind == "regression" else ""
    several = "  # a label is given from its probability in thresholds.json on" if described.kind == "multilabel" else ""
    return f"""
from transformers import pipeline

ask = pipeline("text-classification", model="MODEL"{trusts})
print(ask("Parliament passes the budget", top_k=None, truncation=True)){numbers}{several}
"""


def _encode(described: Description) -> str:
    after = {
        "classification": ".softmax(-1)", "multilabel": ".sigmoid()", "regression": "", "signals": "",
    }.get(described.kind, "")  # fmt: skip
    return f"""
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("MODEL")
# What the library calls an embedding are the head's outputs, one for each of `labels.json`, or of a file in `head/`.
print(model.encode(["Parliament passes the budget"], convert_to_tensor=True){after})
"""


def _load(described: Description) -> str:
    needs = "  # needs spacy-curated-transformers" if described.format == writing.CURATED_FORMAT else ""
    return f"""
import spacy

nlp = spacy.load("MODEL"){needs}
print([(entity.text, entity.label_) for entity in nlp("Parliament passes the budget").ents])
"""


def _run_onnx(_described: Description) -> str:
    return """
from onnxruntime import InferenceSession
from transformers import AutoTokenizer

tokenizer, model = AutoTokenizer.from_pretrained("MODEL"), InferenceSession("MODEL/model.onnx")
read = tokenizer(["Parliament passes the budget"], truncation=True, padding=True, return_tensors="np")
# One number for each output that outputs.json names: logits of labels or tags, or the numbers themselves.
print(model.run(None, {name: read[name] for name in ("input_ids", "attention_mask")})[0])
"""


def _run_openvino(_described: Description) -> str:
    return """
import openvino
from transformers import AutoTokenizer

# Without this a processor that computes bf16 itself does so: quicker, and less exact.
exact = {"INFERENCE_PRECISION_HINT": "f32"}
tokenizer, model = AutoTokenizer.from_pretrained("MODEL"), openvino.compile_model("MODEL/openvino_model.xml", "CPU", exact)
read = tokenizer(["Parliament passes the budget"], truncation=True, padding=True, return_tensors="np")
# One number for each output that outputs.json names: logits of labels or tags, or the numbers themselves.
print(model([read["input_ids"], read["attention_mask"]])[0])
"""


def _write_onnx(published: Path, target: Path) -> None:
    from trainers.handing.graphs import write_onnx  # noqa: PLC0415 - heavy

    with _convertible("onnx"):
        write_onnx(published, target)


def _write_openvino(published: Path, target: Path) -> None:
    from trainers.handing.graphs import write_openvino  # noqa: PLC0415 - heavy

    with _convertible("openvino"):
        write_openvino(published, target)


@contextmanager
def _convertible(form: str) -> Iterator[None]:
    """Say that a model cannot be converted. Raises `UserError`."""
    try:
        yield
    except (PerennialError, OSError, ImportError, MemoryError, UnusableError):
        raise
    except Exception as error:  # whatever a converter raises for an architecture that it does not know
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        message = f"this model could not be converted to {form} ({type(error).__name__}: {first}); take another --format"
        raise UserError(message) from error


_FORMATS = (
    Format(AS_PUBLISHED, "perennial", lambda _folder, _described: True, writing.write_as_published, _as_published,
           opens_folders=True),
    Format(
        "hf", "transformers", _of(writing.TAGGING_FORMAT, writing.FIRST_CLASSIFIER_FORMAT, *_SENTENCES),
        writing.write_transformers, _pipeline,
    ),
    Format(
        "sentence-transformers", "sentence-transformers", _in_sentence_transformers, writing.write_plain, _encode
    ),
    Format(
        "onnx", "onnx", _of(writing.TAGGING_FORMAT, writing.FIRST_CLASSIFIER_FORMAT, *_SENTENCES), _write_onnx, _run_onnx,
        opens_folders=True,
    ),
    Format(
        "openvino", "openvino", _of(writing.TAGGING_FORMAT, writing.FIRST_CLASSIFIER_FORMAT, *_SENTENCES), _write_openvino,
        _run_openvino, opens_folders=True,
    ),
    Format("spacy", "spacy", _of("spacy-ner", writing.CURATED_FORMAT), writing.write_spacy, _load),
)  # fmt: skip

_PLAINEST = ("sentence-transformers", "spacy", "hf", AS_PUBLISHED)
"""What runs no code of ours comes first."""


def names() -> tuple[str, ...]:
    """Return the formats that there are."""
    return tuple(one.name for one in _FORMATS)


def find(name: str | None, version: str, published: Path) -> Format:
    """Return a format for the model in a published folder; None: the first of `_PLAINEST` that there is for it.

    Raises `UserError` for a format that is not there, or not for such a model, with those that are.
    """
    described = describe(published)
    fits: Collection[str] = [one.name for one in _FORMATS if one.opens(published, described)]
    name = name or next(one for one in _PLAINEST if one in fits)
    if name not in names():
        message = f"format {name!r} is not known; {version} can be written as {' or '.join(fits)}"
        raise UserError(message)
    if name not in fits:
        message = (
            f"{version} cannot be written as {name}: no library of that format computes what a model of format "
            f"{described.format} does. It can be written as {' or '.join(fits)}"
        )
        raise UserError(message)
    return next(one for one in _FORMATS if one.name == name)
