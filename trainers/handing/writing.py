"""A published model written as other programs open it: one function a way of writing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from perennial_artifact.description import MODEL_FILE, describe
from perennial_artifact.labels import LABELS_FILE
from perennial_artifact.manifest import MANIFEST_FILE
from perennial_artifact.merging import write_merged
from perennial_artifact.sentence.head import HEAD_FILE
from perennial_artifact.sentence.layout import HEAD_FOLDER, REGRESSION_FORMAT, WITH_THRESHOLDS
from perennial_artifact.variants.note import EXPORT_FOLDER

CURATED_FORMAT = "spacy-curated-ner"
TAGGING_FORMAT = "transformers-ner"
FIRST_CLASSIFIER_FORMAT = "transformers-classification"


def write_as_published(published: Path, target: Path) -> None:
    """Write the files of a version into the new folder `target`, an adapter added to the weights: `merging.write_merged`."""
    write_merged(published, target)


def write_plain(published: Path, target: Path) -> None:
    """Write the same without variants for one processor or another, which only this program opens."""
    write_merged(published, target)
    shutil.rmtree(target / EXPORT_FOLDER, ignore_errors=True)


def write_transformers(published: Path, target: Path) -> None:
    """Write a model as `transformers.pipeline` opens it. Raises `UnusableError`, `ImportError`, `OSError`."""
    if describe(published).format in (TAGGING_FORMAT, FIRST_CLASSIFIER_FORMAT):
        write_plain(published, target)
        for name in (MODEL_FILE, LABELS_FILE):
            (target / name).unlink(missing_ok=True)
        return
    _write_text_classifier(published, target)


def write_spacy(published: Path, target: Path) -> None:
    """Write a pipeline as `spacy.load` opens it. Raises `UnusableError`, `ImportError`, `OSError`."""
    if describe(published).format != CURATED_FORMAT:
        apart = (MANIFEST_FILE, MODEL_FILE, EXPORT_FOLDER)
        shutil.copytree(published, target, ignore=lambda where, _names: apart if Path(where) == published else ())
        return
    from thinc.shims import pytorch  # noqa: PLC0415 - heavy

    from perennial_artifact.spacy.curated import CuratedEntities, layers_of_torch  # noqa: PLC0415 - heavy

    nlp = CuratedEntities.read(published)
    for shim in layers_of_torch(nlp):
        # What plain thinc reads: the weights as torch keeps them.
        shim._serialize_model = pytorch.default_serialize_torch_model  # noqa: SLF001 - thinc takes it as an argument alone
    nlp.to_disk(target)


def text_classifier_of(published: Path) -> tuple[Any, Any]:
    """Return an encoder and its head as one model of `text_classifier`, and its tokenizer. Raises `UnusableError`."""
    import torch  # noqa: PLC0415 - heavy

    from perennial_artifact.sentence.encoder import open_pooled  # noqa: PLC0415 - heavy
    from perennial_artifact.sentence.head import Head  # noqa: PLC0415 - heavy
    from perennial_artifact.sentence.numbers import NumberHead  # noqa: PLC0415 - heavy
    from trainers.handing import text_classifier as plain  # noqa: PLC0415 - heavy

    described = describe(published)
    pooled, tokenizer = open_pooled(published)
    if described.format == REGRESSION_FORMAT:
        numbers = NumberHead.read(published)
        names, weight, bias = [one.name for one in numbers.dimensions], numbers.weight, numbers.bias
        ranges, problem = [(one.low, one.high) for one in numbers.dimensions], "regression"
    else:
        head = Head.read(published)
        names, weight, bias, ranges = list(head.labels.names), head.weight, head.bias, None
        problem = "multi_label_classification" if described.format in WITH_THRESHOLDS else "single_label_classification"
    modules: list[dict[str, Any]] = []
    linears = [layers.get_submodule("0") for layers in pooled.dense]
    of_dense = iter(linears)
    for module in pooled.layout:
        said = {"kind": module.kind, **module.options}
        if module.kind == "Dense":
            linear: Any = next(of_dense)
            said |= {"inputs": linear.in_features, "outputs": linear.out_features}
        modules.append(said)
    encoder: Any = pooled.transformer.config
    config = plain.TextClassifierConfig(
        encoder=encoder.to_diff_dict() | {"model_type": encoder.model_type}, modules=modules, features=int(weight.shape[1]),
        ranges=ranges, num_labels=len(names), problem_type=problem,
        id2label=dict(enumerate(names)), label2id={name: at for at, name in enumerate(names)},
    )  # fmt: skip
    model = plain.TextClassifier(config)
    model.transformer.load_state_dict(pooled.transformer.state_dict())
    for own, linear in zip(model.dense, linears, strict=True):
        own.load_state_dict(linear.state_dict())
    model.head.load_state_dict({"weight": torch.from_numpy(weight.copy()), "bias": torch.from_numpy(bias.copy())})
    if described.input.max_tokens is not None:
        tokenizer.model_max_length = described.input.max_tokens
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.train(mode=False)
    return model, tokenizer


def _write_text_classifier(published: Path, target: Path) -> None:
    """Write an encoder and its head as one model of `text_classifier`, whose file goes with it."""
    from transformers import PreTrainedModel  # noqa: PLC0415 - heavy

    from trainers.handing import text_classifier as plain  # noqa: PLC0415 - heavy

    model, tokenizer = text_classifier_of(published)
    target.mkdir()
    PreTrainedModel.save_pretrained(model, target)
    tokenizer.save_pretrained(target)
    code = Path(plain.__file__)
    shutil.copyfile(code, target / code.name)
    _name_code(target / "config.json", code.stem)
    write_thresholds(published, target)


def write_thresholds(published: Path, target: Path) -> None:
    """Write from which probability on each label is given, where a text may have several."""
    if describe(published).format in WITH_THRESHOLDS:
        thresholds = json.loads((published / HEAD_FOLDER / HEAD_FILE).read_bytes())["thresholds"]
        _write(target / "thresholds.json", thresholds)


def _name_code(path: Path, module: str) -> None:
    """Say in a model's configuration which classes of the file beside it make it."""
    content = json.loads(path.read_bytes())
    content["auto_map"] = {
        "AutoConfig": f"{module}.TextClassifierConfig", "AutoModelForSequenceClassification": f"{module}.TextClassifier",
    }  # fmt: skip
    _write(path, content)


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
