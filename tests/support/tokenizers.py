"""Small tokenizers of the usual families, each with its own idea of what a word is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from trainers.learners.encoders.bases import source_of

_TEXTS = ["Ada Lovelace left Oslo. The café's owner paid $2.1 million in the U.S.!", "東京は naïve 😀 नमस्ते"]


def byte_level() -> PreTrainedTokenizerFast:
    """Return one like RoBERTa's: pieces of bytes, a space belonging to the word behind it."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>"]
    made.train_from_iterator(
        _TEXTS, trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    )
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False)
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>", bos_token="<s>")


def unigram() -> PreTrainedTokenizerFast:
    """Return one like XLM-R's: words are told by spaces alone, and the full stop is a piece of one."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(_TEXTS, trainers.UnigramTrainer(vocab_size=80, special_tokens=["<pad>", "<unk>"], unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", unk_token="<unk>")


def minilm() -> PreTrainedTokenizerFast:
    """Return BERT's: pieces of lower-case words, accents stripped."""
    found = AutoTokenizer.from_pretrained(source_of("minilm"))
    assert isinstance(found, PreTrainedTokenizerFast)
    return found


FAMILIES: Mapping[str, Callable[[], PreTrainedTokenizerFast]] = {"bytes": byte_level, "unigram": unigram, "pieces": minilm}
