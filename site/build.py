"""Build the course's pages: ``python site/build.py FOLDER`` (``make site``); they work from a disk, without a network.

Each chapter is executed, and every figure and explorer becomes data beside the page's text, drawn in the browser.
``RSUTILS_MODEL`` chooses the model, as everywhere.
"""

import base64
import html
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Collection
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
from publish import FIGURE, SETTINGS, mark
from pygments.formatters import HtmlFormatter

import rsutils
from rsutils.drawing.charts import TEMPLATE

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))
import run_notebooks  # noqa: E402

FRAME, CHAPTER, LANDING = (
    Template((HERE / "pages" / f"{name}.html").read_text()) for name in ("frame", "chapter", "landing")
)
NAME = "Inside the Residual Stream"
ABOUT = {"embed": "00", "pos": "00", "attn": "05", "mlp": "03", "unembed": "02"}  # which chapter is about which part
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
    opened = {name: notebook.cells[0].source for name, notebook in notebooks.items()}
    kept = pictures()
    bodies = {name: body(notebook, kept) for name, notebook in notebooks.items()}
    for name, text in bodies.items():
        (folder / f"{name}.html").write_text(chapter(name, titles, text))
    cards = "".join(card(name, titles[name], opened[name], text) for name, text in bodies.items())
    first = next(iter(opened.values()))
    (folder / "index.html").write_text(landing(titles, cards, badges(first)))
    (folder / "pictures").mkdir(exist_ok=True)
    for name, png in kept.items():
        (folder / "pictures" / f"{name}.png").write_bytes(png)
    share(folder, titles, bodies)


def pictures() -> dict[str, bytes]:
    """The pictures in the committed notebooks, by the mark of what they show: for readers without JavaScript."""
    found = {}
    for path in run_notebooks.find([]):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                if name := output.get("metadata", {}).get("image/png", {}).get("figure"):
                    found[name] = base64.b64decode(output.data["image/png"])
    return found


def body(notebook: nbformat.NotebookNode, kept: Collection[str]) -> str:
    """A chapter as HTML: prose, code, and for each figure and explorer a place that the page's script fills."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = links(mathml(cell.source))
        for output in cell.get("outputs", []):
            found = output.get("data", {})
            given = found.pop(SETTINGS, None) or _still(found.pop(FIGURE, None))
            if given:
                found["text/html"] = explorer(given, kept)
            found.pop("application/vnd.jupyter.widget-view+json", None)
            found.pop("application/vnd.plotly.v1+json", None)
    shown = [cell for cell in notebook.cells if "colab" not in cell.metadata.get("tags", [])]
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    text, _ = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=shown))
    text = text.replace('class="output_area', 'class="output output_area').replace("¶", "#")
    return nested(re.sub(r"<table.*?</table>", r'<div class="scroll">\g<0></div>', text, flags=re.S))


def nested(text: str) -> str:
    """The headings without a skipped level, whatever the cells bring."""
    level = 1

    def heading(match: re.Match) -> str:
        nonlocal level
        if not match[1]:
            level = min(int(match[2]), level + 1)
        return f"<{match[1]}h{level}"

    return re.sub(r"<(/?)h([1-6])\b", heading, text)


def _still(figure: dict | None) -> dict | None:
    return figure and {"controls": [], "figures": {"": figure}, "start": ""}


def explorer(given: dict, kept: Collection[str]) -> str:
    """Controls, a stage and words for one explorer, or one figure, with everything that it can show.

    Without JavaScript the picture of how it starts stands in its place, if it is among those ``kept``.
    """
    data = json.dumps(given, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    shown = given["figures"][given["start"]]
    told = shown.get("words") or shown["error"]
    words, title = html.escape(told, quote=False), html.escape(told.split("\n")[0])
    name = mark(shown) if "layout" in shown else ""
    still = f'<noscript><img src="pictures/{name}.png" alt="{title}"></noscript>' if name in kept else ""
    return (
        f'<div class="explorer" role="group" aria-label="{title}"><div class="controls"></div>'
        f'<p class="problem" role="alert"></p><div class="stage">{still}</div>'
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


def framed(title: str, titles: dict[str, str], inside: str, *, current: str = "", scripts: tuple[str, ...] = ()) -> str:
    """A page: what all have around what one has."""
    return FRAME.substitute(
        title=html.escape(title),
        navigation=navigation(titles, current),
        inside=inside,
        scripts="\n".join(f'<script src="{name}" defer></script>' for name in scripts),
    )


def chapter(name: str, titles: dict[str, str], text: str) -> str:
    """A chapter's page: contents and text."""
    contents = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title in headings(text))
    inside = CHAPTER.substitute(contents=contents, body=text, template=json.dumps(TEMPLATE.to_plotly_json()))
    scripts = ("plotly.js", "explorer.js")
    return framed(f"{titles[name]} · {NAME}", titles, inside, current=name, scripts=scripts)


def headings(text: str) -> list[tuple[str, str]]:
    """Anchor and words of every second-level heading."""
    found = re.findall(r'<h2 id="([^"]+)">(.*?)<a class="anchor-link"', text, re.S)
    return [(anchor, re.sub(r"<[^>]+>", "", title)) for anchor, title in found]


def navigation(titles: dict[str, str], current: str) -> str:
    """Links to the first page and to all chapters by number; the current one is marked."""
    here = {current or "index": " aria-current=page"}
    home = f'<a class="home" href="index.html"{here.get("index", "")}>{NAME}</a>'
    return home + "".join(
        f'<a href="{name}.html" title="{html.escape(title)}"{here.get(name, "")}>{name[:2]}</a>'
        for name, title in titles.items()
    )


def landing(titles: dict[str, str], cards: str, badges: str) -> str:
    """The first page: the picture of the stream, the model in the page, two commands and the chapters."""
    embedded = rsutils.load_model().info.name == "embedded"
    inside = LANDING.substitute(
        picture=linked(picture.drawn()._repr_html_(), titles),
        model_section=page_model.section() if embedded else "",
        cards=cards,
        badges=badges,
        repository=repository(),
        readme=promises(),
    )
    return framed(NAME, titles, inside, scripts=("model.js",) if embedded else ())


def linked(drawn: str, titles: dict[str, str]) -> str:
    """The picture of the stream, each part of which leads to the chapter about it."""
    chapters = {name[:2]: name for name in titles}

    def link(match: re.Match) -> str:
        name = chapters.get(ABOUT[match[1]])
        if name is None:
            return match[0]
        return f'<a href="{name}.html" aria-label="{match[2]} Chapter {html.escape(titles[name])}">{match[0]}</a>'

    drawn = re.sub(r'<g class="rs-part rs-(\w+)"><title>(.*?)</title>.*?</g>', link, drawn)
    return drawn.replace('role="img"', 'role="group"')  # what is inside an image cannot be reached


def card(name: str, title: str, opened: str, text: str) -> str:
    """A chapter on the first page: its small picture, its title, what one will be able to do, and where to run it."""
    small = re.search(r'<div class="rs-picture">(<svg.*?</svg>)</div>', text, re.S)
    shown = small[1].replace('role="img"', 'aria-hidden="true"') if small else ""
    goal = re.search(r"\*\*You will be able to\*\* (.)(.+)", opened)
    goal = markdown2html_mistune(links(goal[1].upper() + goal[2])) if goal else ""
    return f'<li>{shown}<h3><a href="{name}.html">{html.escape(title)}</a></h3>{goal}<p>{badges(opened)}</p></li>'


def badges(opened: str) -> str:
    """Links to where a chapter can be run, from the badges at its head."""
    return markdown2html_mistune(links(" ".join(re.findall(r"\[!\[.*\)", opened))))[3:-5]


def promises() -> str:
    """What the README promises, as it says it."""
    found = re.search(r"## \w+ promises\n(.*?)\n\n(?!\d)", (ROOT / "README.md").read_text(), re.S)[1]
    return markdown2html_mistune(found)


def share(folder: Path, titles: dict[str, str], bodies: dict[str, str]) -> None:
    """Styles, scripts and the search index, one copy for all pages."""
    page_model.build(folder / "model")
    for name in ("model.css", "model.js", "weights.js"):
        shutil.copy(folder / "model" / name, folder)
    shutil.rmtree(folder / "model")
    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("xcode", "github-dark"))
    dark_rules = re.sub(r"^(?=\.)", ':root[data-theme="dark"] ', dark, flags=re.M)
    system_rules = re.sub(r"^(?=\.)", ':root:not([data-theme="light"]) ', dark, flags=re.M)
    code = f"{light}\n{dark_rules}\n@media (prefers-color-scheme: dark) {{\n{system_rules}\n}}\n"
    code = re.sub(r"(\.highlight \{) background: [^;]+;", r"\1", code)
    (folder / "site.css").write_text(page_model.palette() + (HERE / "pages" / "site.css").read_text() + code)
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
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two kernels at once whose threads fight take three times as long
    build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site"), sys.argv[2:])
