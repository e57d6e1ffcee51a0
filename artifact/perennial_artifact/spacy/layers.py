"""What a spaCy pipeline from an artifact may be built of: known components and layers, by name.

Its configuration names functions that build it. Those that wrap another framework would read that framework's own data from the
published bytes, and components of other packages may do anything; neither is built here. The transformers of
`spacy-curated-transformers` are known too, where the caller reads their weights by a way of its own (`curated`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_FACTORIES = frozenset({
    "attribute_ruler", "beam_ner", "beam_parser", "doc_cleaner", "entity_linker", "entity_ruler", "future_entity_ruler",
    "lemmatizer", "merge_entities", "merge_noun_chunks", "merge_subtokens", "morphologizer", "ner", "parser", "sentencizer",
    "senter", "span_finder", "span_ruler", "spancat", "spancat_singlelabel", "tagger", "textcat", "textcat_multilabel",
    "tok2vec", "token_splitter", "trainable_lemmatizer",
})  # fmt: skip
_ARCHITECTURES = frozenset({
    "CharacterEmbed", "EntityLinker", "HashEmbedCNN", "MaxoutWindowEncoder", "MishWindowEncoder", "MultiHashEmbed",
    "SpanCategorizer", "SpanFinder", "Tagger", "TextCatBOW", "TextCatCNN", "TextCatEnsemble", "TextCatLowData",
    "TextCatParametricAttention", "TextCatReduce", "Tok2Vec", "Tok2VecListener", "TransitionBasedParser",
})  # fmt: skip
_LAYERS = frozenset({
    "CharEmbed", "FeatureExtractor", "LinearLogistic", "PrecomputableAffine", "StaticVectors", "TransitionModel",
    "extract_ngrams", "extract_spans", "mean_max_reducer",
})  # fmt: skip
_OWN = re.compile(r"(?:spacy|spacy-legacy)\.(?P<name>\w+)\.v\d+")
_OTHERS = re.compile(r"spacy(?:-legacy)?\.[\w.]+")
"""Tokenizers, scorers and the like, which hold no weights."""
_CHECKED = {"@architectures": _ARCHITECTURES, "@layers": _LAYERS}
_SECTIONS = ("nlp", "components")
"""What loading builds; the others speak of training."""

CURATED_FACTORY = "curated_transformer"
_CURATED = re.compile(r"spacy-curated-transformers\.(?P<name>\w+)\.v1")
_CURATED_ARCHITECTURES = frozenset({
    "AlbertTransformer", "BertTransformer", "BertWordpieceEncoder", "ByteBpeEncoder", "CamembertSentencepieceEncoder",
    "CamembertTransformer", "CharEncoder", "LastTransformerLayerListener", "RobertaTransformer", "ScalarWeight",
    "ScalarWeightingListener", "SentencepieceEncoder", "TransformerLayersListener", "WithStridedSpans", "WordpieceEncoder",
    "XlmrSentencepieceEncoder", "XlmrTransformer",
})  # fmt: skip
_POOLING = re.compile(r"reduce_(?:first|last|max|mean|sum)\.v1")
"""thinc's, which a listener makes one vector of a word's pieces with."""


def unknown_part(config: Mapping[str, object], *, curated: bool = False) -> str | None:
    """Return the first part of a pipeline's configuration that is not known, in words; None when all are.

    Curated transformers are known where `curated` is true; no TorchScript, which is a program and not weights.
    """
    for section in _SECTIONS:
        for path, key, value in _settings(config.get(section, {}), section):
            if key == "source" or (key == "factory" and not _is_known_factory(value, curated=curated)):
                return f"{path}: the component {str(value)[:80]!r} is not one of spaCy's own"
            if key.startswith("@") and not (_is_known(key, value) or (curated and _is_curated(key, value))):
                return f"{path}: {key} {str(value)[:80]!r} is not one of spaCy's own"
            if key == "torchscript" and value is not False:
                return f"{path}: it is read as TorchScript, which is a program"
    return None


def has_curated(config: Mapping[str, object]) -> bool:
    """Return whether a pipeline needs `spacy-curated-transformers`."""
    return any(
        (key == "factory" and value == CURATED_FACTORY) or (key == "@architectures" and _is_curated(key, value))
        for _path, key, value in _settings(config.get("components", {}), "components")
    )


def _is_known_factory(value: object, *, curated: bool) -> bool:
    return value in _FACTORIES or (curated and value == CURATED_FACTORY)


def _is_known(registry: str, value: object) -> bool:
    if not isinstance(value, str):
        return False
    names = _CHECKED.get(registry)
    if names is None:
        return _OTHERS.fullmatch(value) is not None
    own = _OWN.fullmatch(value)
    return own is not None and own["name"] in names


def _is_curated(registry: str, value: object) -> bool:
    if not isinstance(value, str):
        return False
    if registry == "@layers":
        return _POOLING.fullmatch(value) is not None
    found = _CURATED.fullmatch(value) if registry == "@architectures" else None
    return found is not None and found["name"] in _CURATED_ARCHITECTURES


def _settings(part: object, path: str) -> Iterator[tuple[str, str, object]]:
    """Yield (where it stands, its key, its value) of everything within."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            yield path, str(key), value
            yield from _settings(value, f"{path}.{key}")
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _settings(value, path)
