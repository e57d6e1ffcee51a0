"""What a spaCy pipeline from an artifact may be built of: spaCy's own components and layers, known by name.

Its configuration names functions that build it. Those that wrap another framework would read that framework's own data from the
published bytes, and components of other packages may do anything; neither is built here.
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


def unknown_part(config: Mapping[str, object]) -> str | None:
    """Return the first part of a pipeline's configuration that is not known, in words; None when all are."""
    for section in _SECTIONS:
        for path, key, value in _settings(config.get(section, {}), section):
            if key == "source" or (key == "factory" and value not in _FACTORIES):
                return f"{path}: the component {str(value)[:80]!r} is not one of spaCy's own"
            if key.startswith("@") and not _is_known(key, value):
                return f"{path}: {key} {str(value)[:80]!r} is not one of spaCy's own"
    return None


def _is_known(registry: str, value: object) -> bool:
    if not isinstance(value, str):
        return False
    names = _CHECKED.get(registry)
    if names is None:
        return _OTHERS.fullmatch(value) is not None
    own = _OWN.fullmatch(value)
    return own is not None and own["name"] in names


def _settings(part: object, path: str) -> Iterator[tuple[str, str, object]]:
    """Yield (where it stands, its key, its value) of everything within."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            yield path, str(key), value
            yield from _settings(value, f"{path}.{key}")
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _settings(value, path)
