"""Build the course's pages: ``python site/build.py FOLDER`` (``make site``); they work from a disk, without a network.

Each chapter is executed, and every figure and explorer becomes data beside the page's text, drawn in the browser.
``RSUTILS_MODEL`` chooses the model, as everywhere.
"""

import html
import json
import re
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template

import latex2mathml.converter
import nbformat
import page_model
import picture
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html_mistune
from plotly.offline import get_plotlyjs
from publish import FIGURE, SETTINGS
from pygments.formatters import HtmlFormatter

import rsutils
from rsutils.drawing.charts import TEMPLATE

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))
import run_notebooks  # noqa: E402

PAGE = Template((HERE / "pages" / "page.html").read_text())
LANDING = Template((HERE / "pages" / "landing.html").read_text())
MATH = re.compile(r"\$\$(.+?)\$\$|(?<![\w$\\])\$([^$\n]+?)\$(?!\w)", re.S)


def build(folder: Path, names: list[str]) -> None:
    """Write every page, and what they share, into ``folder``; ``names`` as for ``run_notebooks`` (none: all)."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as executed, ThreadPoolExecutor(2) as pool:
        paths = run_notebooks.find(names)
        runs = list(pool.map(lambda path: run_notebooks.execute(path, Path(executed), shown="pages"), paths))
        if failed := [f"{path.name}: {run.failure}" for path, run in zip(paths, runs, strict=True) if run.failure]:
            sys.exit("course: " + "; ".join(failed))
        notebooks = {path.stem: nbformat.read(Path(executed) / path.name, as_version=4) for path in paths}
    titles = {name: re.search(r"^# (.+)$", notebook.cells[0].source, re.M)[1] for name, notebook in notebooks.items()}
    bodies = {name: body(notebook) for name, notebook in notebooks.items()}
    for name, text in bodies.items():
        (folder / f"{name}.html").write_text(page(name, titles, text))
    (folder / "index.html").write_text(landing(titles))
    share(folder, titles, bodies)


def body(notebook: nbformat.NotebookNode) -> str:
    """A chapter as HTML: prose, code, and for each figure and explorer a place that the page's script fills."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = links(mathml(cell.source))
        for output in cell.get("outputs", []):
            found = output.get("data", {})
            given = found.pop(SETTINGS, None) or _still(found.pop(FIGURE, None))
            if given:
                found["text/html"] = explorer(given)
            found.pop("application/vnd.jupyter.widget-view+json", None)
            found.pop("application/vnd.plotly.v1+json", None)
    shown = [cell for cell in notebook.cells if "colab" not in cell.metadata.get("tags", [])]
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    text, _ = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=shown))
    return text.replace('class="output_area', 'class="output output_area').replace("¶", "#")


def _still(figure: dict | None) -> dict | None:
    return figure and {"controls": [], "figures": {"": figure}, "start": ""}


def explorer(given: dict) -> str:
    """Controls, a stage and words for one explorer, or one figure, with everything that it can show."""
    data = json.dumps(given, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    words = html.escape(given["figures"][given["start"]].get("words", ""), quote=False)
    title = html.escape(words.split("\n")[0])
    return (
        f'<div class="explorer" role="group" aria-label="{title}"><div class="controls"></div>'
        '<p class="problem" role="alert"></p><div class="stage"></div>'
        f'<details><summary>This figure in words</summary><div class="words" aria-live="polite">{words}</div></details>'
        f'<script type="application/json">{data}</script></div>'
    )


def mathml(source: str) -> str:
    """Formulas between dollars as MathML, which browsers draw by themselves; code is left alone."""
    pieces = re.split(r"(```.*?```|`[^`\n]*`)", source, flags=re.S)
    for i in range(0, len(pieces), 2):
        pieces[i] = MATH.sub(_formula, pieces[i])
    return "".join(pieces)


def _formula(match: re.Match) -> str:
    drawn = latex2mathml.converter.convert(match[1] or match[2], display="block" if match[1] else "inline")
    return f'<span class="formula">{drawn}</span>'  # a formula does not wrap: on a phone its place scrolls


def links(source: str) -> str:
    """Links lead to pages and to the repository; badges, whose pictures come from elsewhere, become words."""
    source = re.sub(r"\[!\[([^]]*)\]\([^)]*\)\]", r"[\1]", source)
    source = re.sub(r"\]\((\d\d_\w+)\.ipynb(#[\w-]*)?\)", r"](\1.html\2)", source)
    return re.sub(r"\]\(\.\./([\w./-]+)\)", rf"]({repository()}/blob/main/\1)", source)


def repository() -> str:
    """The repository's address, from pyproject.toml."""
    return re.search(r'Repository = "(.+)"', (ROOT / "pyproject.toml").read_text())[1]


def page(name: str, titles: dict[str, str], text: str) -> str:
    """A chapter's page: navigation, contents, text."""
    contents = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title in headings(text))
    return PAGE.substitute(
        title=html.escape(titles[name]),
        navigation=navigation(titles, name),
        contents=contents,
        body=text,
        template=json.dumps(TEMPLATE.to_plotly_json()),
    )


def headings(text: str) -> list[tuple[str, str]]:
    """Anchor and words of every second-level heading."""
    found = re.findall(r'<h2 id="([^"]+)">(.*?)<a class="anchor-link"', text, re.S)
    return [(anchor, re.sub(r"<[^>]+>", "", title)) for anchor, title in found]


def navigation(titles: dict[str, str], current: str = "") -> str:
    """Links to all chapters by number; the current one is marked."""
    return "".join(
        f'<a href="{name}.html" title="{html.escape(title)}"{" aria-current=page" if name == current else ""}>'
        f"{name[:2]}</a>"
        for name, title in titles.items()
    )


def landing(titles: dict[str, str]) -> str:
    """The first page: the picture of the stream, the model in the page, two commands and the chapters."""
    model = rsutils.load_model()
    cards = "".join(
        f'<li><a href="{name}.html">{name[:2]} {html.escape(title.split(": ")[0])}</a>'
        f"<p>{html.escape(': '.join(title.split(': ')[1:]))}</p></li>"
        for name, title in titles.items()
    )
    embedded = model.info.name == "embedded"
    return LANDING.substitute(
        navigation=navigation(titles),
        picture=picture.drawn()._repr_html_(),
        model_section=page_model.section() if embedded else "",
        model_script='<script src="model.js"></script>' if embedded else "",
        cards=cards,
        repository=repository(),
        readme=promises(),
    )


def promises() -> str:
    """What the README promises, as it says it."""
    found = re.search(r"## \w+ promises\n(.*?)\n## ", (ROOT / "README.md").read_text(), re.S)[1]
    return markdown2html_mistune(found)


def share(folder: Path, titles: dict[str, str], bodies: dict[str, str]) -> None:
    """Styles, scripts and the search index, one copy for all pages."""
    page_model.build(folder / "model")
    for name in ("model.css", "model.js", "weights.js"):
        shutil.copy(folder / "model" / name, folder)
    shutil.rmtree(folder / "model")
    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("default", "github-dark"))
    dark_rules = re.sub(r"^(?=\.)", ':root[data-theme="dark"] ', dark, flags=re.M)
    system_rules = re.sub(r"^(?=\.)", ':root:not([data-theme="light"]) ', dark, flags=re.M)
    code = f"{light}\n{dark_rules}\n@media (prefers-color-scheme: dark) {{\n{system_rules}\n}}\n"
    code = re.sub(r"(\.highlight \{) background: [^;]+;", r"\1", code)
    (folder / "site.css").write_text((HERE / "pages" / "site.css").read_text() + code)
    (folder / "plotly.js").write_text(get_plotlyjs())
    shutil.copy(HERE / "pages" / "explorer.js", folder)
    sections = [section for name, text in bodies.items() for section in searchable(name, titles[name], text)]
    script = (HERE / "pages" / "page.js").read_text()
    (folder / "page.js").write_text(f"const SECTIONS = {json.dumps(sections, ensure_ascii=False)};\n{script}")


def searchable(name: str, chapter: str, text: str) -> list[dict[str, str]]:
    """The sections of a chapter with their words, code and data left out."""
    found = []
    for part in re.split(r'(?=<h2 id=")', text):
        anchor = next(iter(headings(part)), ("", chapter))
        words = re.sub(r"<script.*?</script>|<pre.*?</pre>|<svg.*?</svg>", " ", part, flags=re.S)
        words = html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", words)))
        found.append({"href": f"{name}.html#{anchor[0]}", "chapter": name[:2], "title": anchor[1], "text": words})
    return found


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site"), sys.argv[2:])
