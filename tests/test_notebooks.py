"""The notebooks as they are committed: run, without errors, compared, readable, in the course's form.

That their outputs are right is nbval's part: it runs each of them again and compares.
"""

import itertools
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REPOSITORY = "residual-stream-course/inside-the-residual-stream"
PLOTLY = "application/vnd.plotly.v1+json"
UNCOMPARED = {"nbval-ignore-output", "nbval-skip"}
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:root|home|Users|tmp|work|usr)/\w|[A-Z]:\\\\?Users")


def compared(cell) -> bool:
    return not UNCOMPARED & set(cell.metadata.get("tags", []))


def texts(output) -> list[str]:
    """What an output says in plain words: a stream, or the text/plain of a display."""
    return [output.text] if output.output_type == "stream" else [output.get("data", {}).get("text/plain", "")]


def mechanics(notebook) -> list[str]:
    """Faults that make a committed notebook worthless as a reference to compare with."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]
    faults = []
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        faults.append("not run from top to bottom: nbval compares nothing of a cell that was not run")
    faults += [f"error output: {output.evalue}" for output in outputs if output.output_type == "error"]
    speaking = [cell for cell in code if any("".join(texts(output)).strip() for output in cell.outputs)]
    share = sum(map(compared, speaking)) / max(1, len(speaking))
    if share < 0.6:
        faults.append(f"only {share:.0%} of the code cells with text output are compared, at least 60% should be")
    if "widgets" in notebook.metadata:
        faults.append("stores widget state")
    if any("NBVAL_" in cell.source for cell in code):
        faults.append("an nbval marker stands in a comment: use a cell tag")
    said = [*(cell.source for cell in notebook.cells), *(text for output in outputs for text in texts(output))]
    faults += [
        f"names a path of one machine: {found.group()}..." for text in said for found in MACHINE_PATH.finditer(text)
    ]
    if any(len(str(output)) > 1_000_000 for output in outputs):
        faults.append("an output of more than a megabyte: plotly's JavaScript, most likely")
    bundles = [output.data for output in outputs if "data" in output]
    if any("application/vnd.jupyter.widget-view+json" in bundle for bundle in bundles):
        faults.append("a widget's view, which no kernel backs: a reader sees an error in its place")
    drawn = [b for b in bundles if PLOTLY in b or b.get("text/plain", "").startswith("Explorer(")]
    if any("image/png" not in bundle for bundle in drawn):
        faults.append("a figure without a picture: run it with make run ARGS='--out notebooks'")
    return faults


def form(notebook, name: str, following: str | None) -> list[str]:
    """Departures from the form that every chapter has: what a learner finds at its beginning and end."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    words = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    lengths = [len(cell.source.splitlines()) for cell in code] or [0]
    # The colab cell's one long address is nothing to read.
    read = [cell.source for cell in code if "colab" not in cell.metadata.get("tags", [])]
    widths = [len(line) for source in read for line in source.splitlines()] or [0]
    opening, closing, everything = words[0] if words else "", "\n".join(words[-2:]), "\n".join(words)
    wanted = {
        "a title": opening.startswith("# "),
        "a Colab badge": f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{name}" in opening,
        "a Binder badge": f"https://mybinder.org/v2/gh/{REPOSITORY}/main?urlpath=lab/tree/notebooks/{name}" in opening,
        "its run time": re.search(r"run time.{0,40}\d+ (s|min)", opening, re.I | re.S),
        "a setup cell": any("import rsutils" in c.source and "rsutils.load_model(" in c.source for c in code[:2]),
        "a cell tagged colab": any("colab" in cell.metadata.get("tags", []) for cell in code),
        "a summary": re.search(r"^##+ .*summary", everything, re.I | re.M),
        "a quiz": any("rsutils.quiz(" in cell.source for cell in code),
        "the next chapter": following is None or f"]({following})" in closing,
        "a median code cell of 4 lines or fewer": statistics.median(lengths) <= 4,
        "code cells of 14 lines or fewer": max(lengths) <= 14,
        "code lines of 100 characters or fewer": max(widths) <= 100,
    }
    return [f"lacks {what}" for what, found in wanted.items() if not found]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_as_it_should_be(path):
    following = {first.name: second.name for first, second in itertools.pairwise(NOTEBOOKS)}
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert mechanics(notebook) + form(notebook, path.name, following.get(path.name)) == []


def test_all_notebooks_start_alike_on_colab():
    cells = {
        cell.source
        for path in NOTEBOOKS
        for cell in nbformat.read(path, as_version=4).cells
        if "colab" in cell.metadata.get("tags", [])
    }
    assert len(cells) <= 1


def code_cell(source: str, count: int, *outputs, tags=()):
    metadata = {"tags": list(tags)}
    return nbformat.v4.new_code_cell(source, execution_count=count, outputs=list(outputs), metadata=metadata)


def printed(text: str):
    return nbformat.v4.new_output("stream", name="stdout", text=text)


@pytest.fixture
def good():
    """A notebook with nothing wrong; each test below spoils one thing."""
    markdown = nbformat.v4.new_markdown_cell
    name = "07_fixture.ipynb"
    badges = (
        f"[Colab](https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{name}) "
        f"[Binder](https://mybinder.org/v2/gh/{REPOSITORY}/main?urlpath=lab/tree/notebooks/{name})"
    )
    return nbformat.v4.new_notebook(
        cells=[
            markdown(f"# A title\n{badges}\nRun time: 20 s"),
            code_cell("import sys", 1, tags=["colab"]),
            code_cell("import rsutils\nmodel = rsutils.load_model()\nmodel.info", 2, printed("embedded")),
            code_cell("print(1 + 1)", 3, printed("2")),
            code_cell("print(time.time())", 4, printed("1.5"), tags=["nbval-ignore-output"]),
            markdown("## Summary\nAll is well."),
            code_cell("rsutils.quiz('07')", 5, printed("Well?")),
            markdown("Next: [the next one](08_next.ipynb)"),
        ]
    )


def faults(notebook) -> str:
    return "; ".join(mechanics(notebook) + form(notebook, "07_fixture.ipynb", "08_next.ipynb"))


def test_a_good_notebook_has_no_faults(good):
    nbformat.validate(good)
    assert faults(good) == ""


def unrun(nb):
    nb.cells[3].execution_count = None


def run_out_of_order(nb):
    nb.cells[3].execution_count = 9


def with_an_error(nb):
    nb.cells[3].outputs = [nbformat.v4.new_output("error", ename="E", evalue="boom", traceback=[])]


def little_compared(nb):
    nb.cells[3].metadata.tags = ["nbval-ignore-output"]


def with_widget_state(nb):
    nb.metadata["widgets"] = {}


def marker_in_a_comment(nb):
    nb.cells[3].source = "# NBVAL_IGNORE_OUTPUT\nprint(2)"


def with_a_path(nb):
    nb.cells[3].outputs = [printed("loaded from /" + "root/models")]


def with_javascript(nb):
    nb.cells[3].outputs.append(nbformat.v4.new_output("display_data", data={"text/html": "x" * 2_000_000}))


def with_a_bare_figure(nb):
    nb.cells[3].outputs.append(nbformat.v4.new_output("display_data", data={PLOTLY: {}, "text/plain": "A finding"}))


def with_a_widget(nb):
    view = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "Well?"}
    nb.cells[6].outputs.append(nbformat.v4.new_output("display_data", data=view))


def replaced(index, old, new):
    def change(nb):
        assert old in nb.cells[index].source
        nb.cells[index].source = nb.cells[index].source.replace(old, new)

    return change


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (unrun, "not run from top to bottom"),
        (run_out_of_order, "not run from top to bottom"),
        (with_an_error, "error output: boom"),
        (little_compared, "only 50%"),
        (with_widget_state, "widget state"),
        (marker_in_a_comment, "use a cell tag"),
        (with_a_path, "path of one machine"),
        (with_javascript, "more than a megabyte"),
        (with_a_bare_figure, "a figure without a picture"),
        (with_a_widget, "a widget's view"),
        (replaced(0, "# A title", "A title"), "lacks a title"),
        (replaced(0, "blob/main/notebooks/07_fixture", "blob/main/notebooks/06_other"), "lacks a Colab badge"),
        (replaced(0, "urlpath", "filepath"), "lacks a Binder badge"),
        (replaced(0, "20 s", "short"), "lacks its run time"),
        (replaced(2, "rsutils.load_model()", "None"), "lacks a setup cell"),
        (replaced(5, "## Summary", "## The end"), "lacks a summary"),
        (replaced(6, "rsutils.quiz", "print"), "lacks a quiz"),
        (replaced(7, "08_next", "09_after"), "lacks the next chapter"),
        (replaced(3, "print", "\n" * 14 + "print"), "lacks code cells of 14 lines or fewer"),
        (replaced(3, "print", "print" + "(" * 100), "lacks code lines of 100 characters or fewer"),
        (lambda nb: [replaced(i, "", "\n\n\n\n\n")(nb) for i in (2, 3, 4)], "lacks a median code cell"),
        (lambda nb: nb.cells[1].metadata.update(tags=[]), "lacks a cell tagged colab"),
    ],
)
def test_each_fault_is_found(good, spoil, complaint):
    spoil(good)
    assert complaint in faults(good)


@pytest.mark.parametrize(("words", "outcome"), [("A title", 0), ("Another title", 1)])
def test_a_figures_words_are_compared_and_its_raw_floats_are_not(tmp_path, words, outcome):
    source = f"display({{'{PLOTLY}': {{'data': [0.30000000000000004]}}, 'text/plain': 'A title'}}, raw=True)"
    saved = nbformat.v4.new_output("display_data", data={PLOTLY: {"data": [0.3]}, "text/plain": words})
    notebook = nbformat.v4.new_notebook(cells=[code_cell(source, 1, saved)])
    nbformat.write(notebook, tmp_path / "figure.ipynb")
    shutil.copy(ROOT / "conftest.py", tmp_path)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "-p",
        "no:cacheprovider",
        "--nbval-kernel-startup-timeout=180",
        ".",
    ]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == outcome


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_enough_for_a_code_host(path):
    assert path.stat().st_size < 1_500_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_is_seen_without_a_kernel_and_without_javascript(path):
    """As a code host shows it: converted without a network, scripts left out."""
    notebook = nbformat.read(path, as_version=4)
    shown, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    seen = re.sub(r"<script.*?</script>", "", shown, flags=re.S)
    figures = sum(
        "image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])
    )
    assert figures and len(re.findall(r'<img[^>]+src="data:image/png', seen)) == figures
    assert "<svg" in seen
