"""The embedded model's tokenizer: byte-level BPE trained on the corpus, so that any text encodes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from training import corpus
from training.recipe import Recipe

END = "<|endoftext|>"
N_DOCUMENTS = 40_000


def training_text(seed: int) -> Iterator[str]:
    """Documents, and every name in both its forms: at the start of a text and after a space."""
    yield from islice(corpus.documents(seed), N_DOCUMENTS)
    yield from (f"{name} {name}" for name in corpus.NAMES * 200)


def build_tokenizer(folder: Path, recipe: Recipe) -> PreTrainedTokenizerFast:
    """Train the tokenizer into `folder`, or read the one that is there."""
    if not (folder / "tokenizer.json").exists():
        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=recipe.vocab_size,
            special_tokens=[END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        bpe.train_from_iterator(training_text(recipe.seed), trainer)
        PreTrainedTokenizerFast(
            tokenizer_object=bpe, bos_token=END, eos_token=END, unk_token=END, model_max_length=recipe.n_ctx
        ).save_pretrained(folder)
    # TransformerBridge reads name_or_path, which only a tokenizer read from a folder has.
    return PreTrainedTokenizerFast.from_pretrained(folder)
