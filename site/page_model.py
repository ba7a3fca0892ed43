"""Build the model in the page: scripts that a browser can load from a disk, where it loads neither modules nor files.

``python site/page_model.py FOLDER`` writes a page of its own, which works from a disk and from a server. The landing
page takes ``section()`` instead, with the same files beside it.
"""

import base64
import html
import json
import re
import sys
from pathlib import Path

from rsutils.drawing import COLOURS

SOURCES = Path(__file__).parent / "model"
MODEL = Path(__file__).parents[1] / "rsutils" / "data" / "embedded"
IN_WORKER = ("transformer.mjs", "tokenizer.mjs", "worker.mjs")
IN_PAGE = ("drawing.mjs", "page.mjs")


def section() -> str:
    """The section that a page includes, with ``model.css`` in its head and ``model.js`` at its end."""
    page = (SOURCES / "index.html").read_text()
    source = html.escape((SOURCES / "transformer.mjs").read_text(), quote=False)
    found = re.search(r"<section.*</section>", page, re.DOTALL)[0]
    return found.replace('data-part="source">', f'data-part="source">{source}')


def build(folder: Path) -> None:
    """Write ``index.html``, ``model.css``, ``model.js`` and ``weights.js`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    page = (SOURCES / "index.html").read_text()
    whole = re.sub(r"<section.*</section>", lambda _: section(), page, flags=re.DOTALL)
    (folder / "index.html").write_text(whole)
    (folder / "model.css").write_text(palette() + (SOURCES / "model.css").read_text())
    worker = json.dumps(classic(IN_WORKER)).replace("</", "<\\/")
    script = f"const WORKER_SOURCE = {worker};\n{classic(IN_PAGE)}"
    (folder / "model.js").write_text(f'(() => {{\n"use strict";\n{script}}})();\n')
    (folder / "weights.js").write_text(f"globalThis.PAGE_MODEL = {json.dumps(files(), ensure_ascii=False)};\n")


def palette() -> str:
    """The course's colours as custom properties, for light and for dark: which of them, ``color-scheme`` says."""
    pairs = (f"--{kind}: light-dark({light}, {dark});" for kind, (light, dark) in COLOURS.items())
    return f":root {{ {' '.join(pairs)} }}\n"


def classic(names: tuple[str, ...]) -> str:
    """Modules as one classic script: their imports name each other, so together they need none."""
    joined = "\n".join((SOURCES / name).read_text() for name in names)
    return re.sub(r"^import .*;\n|^export ", "", joined, flags=re.MULTILINE)


def files() -> dict:
    """What the worker is handed: the configuration, what tokenizer.json holds, and the weights in base64."""
    return {
        "config": json.loads((MODEL / "config.json").read_text()),
        "vocabulary": json.loads((MODEL / "tokenizer.json").read_text()),
        "weights": base64.b64encode((MODEL / "model.safetensors").read_bytes()).decode(),
    }


if __name__ == "__main__":
    build(Path(sys.argv[1]))
