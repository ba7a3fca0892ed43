"""The widgets as a learner meets them: JupyterLab in a real browser, moved by keyboard and mouse.

Screenshots are left in build/browser/.
"""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
from chromium import BROWSER, chromium, wait

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome was found"),
]

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "browser"
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CELLS = [
    """\
import torch
import rsutils
from rsutils import drawing

weights = torch.randn(5, 30, 13, generator=torch.Generator().manual_seed(0))

def draw(layer, text="The cat sat on the mat", position=0):
    if not text.strip():
        raise ValueError("expected some text, got none: type a word")
    tokens = [" " + word for word in text.split()]
    return drawing.heatmap(
        weights[layer, :, : len(tokens)], title=f"Layer {layer}, read at position {position}: a title that is long "
        "enough to need a second line on a projector", x="token", y="neuron", unit="pre-activation", x_labels=tokens,
        y_labels=[f"neuron {i}" for i in range(30)], alt="A matrix of random numbers.")""",
    "draw(layer=1)",
    "rsutils.Explorer(draw, layer=range(5), text='The cat sat on the mat', position=lambda text: text.split())",
    """\
guess = rsutils.predict("Which writes to the stream? A question as long as some are, with options that are sentences",
    ["the one that ends in d_model, whatever is said of the other one in the chapters to come", "the other one"])
guess""",
    """\
guess.reveal("the other one", "It ends in the stream.", otherwise={guess.options[0]: "This one begins with it."})""",
    'rsutils.quiz("01")',
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a folder with the notebooks; gives the address of a notebook by its name."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "work"
    folder.mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.metadata.kernelspec = dict(name="python3", display_name="Python 3", language="python")
    nbformat.write(notebook, folder / "explorer.ipynb")
    for chapter in CHAPTERS:
        shutil.copy(chapter, folder)
    settings = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(dict(fetchNews="false", checkForUpdates=False)))
    env = os.environ | dict(
        PYTHONPATH=str(ROOT),
        JUPYTER_CONFIG_DIR=str(home / "config"),
        JUPYTER_RUNTIME_DIR=str(home / "runtime"),
        JUPYTERLAB_SETTINGS_DIR=str(home / "settings"),
        JUPYTERLAB_WORKSPACES_DIR=str(home / "workspaces"),
    )
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
    command += ["--LabApp.expose_app_in_browser=True", "--IdentityProvider.token=local", f"--notebook-dir={folder}"]
    with open(home / "log", "w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        runtime = wait(lambda: next(iter((home / "runtime").glob("jpserver-*.json"))), "JupyterLab", 60)
        address = wait(lambda: json.loads(runtime.read_text())["url"], "its address", 10)
        wait(lambda: urllib.request.urlopen(f"{address}api?token=local").status == 200, "its answer", 60)
        yield lambda name: f"{address}lab/workspaces/{name[:2]}/tree/{name}?token=local"
    finally:
        server.terminate()
        server.wait(30)


def run_all(page, address):
    """Open a notebook, run all its cells, and give the cells' execution counts and error messages."""
    page.call("Page.navigate", url=address)
    page.until(
        """(async () => {
            await jupyterapp.restored;
            const panel = jupyterapp.shell.currentWidget;
            await panel.context.ready;
            await panel.sessionContext.ready;
            return panel.content.model.cells.length > 0;
        })()""",
        60,
    )
    # Saved counts and outputs would answer for cells that were never run.
    page.js("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    page.js("jupyterapp.commands.execute('notebook:run-all-cells')")
    return page.js(
        """[...jupyterapp.shell.currentWidget.content.model.cells].filter(cell => cell.type === "code").map(cell => ({
            count: cell.executionCount,
            errors: cell.outputs.toJSON().filter(o => o.output_type === "error").map(o => o.ename + ": " + o.evalue),
        }))"""
    )


@pytest.fixture
def page(tmp_path):
    with chromium(tmp_path / "profile") as page:
        yield page


PLOT = "document.querySelector('.jupyter-widgets .js-plotly-plot')"


def test_an_explorer_is_moved_by_keyboard_and_keeps_its_zoom(lab, page):
    cells = run_all(page, lab("explorer.ipynb"))
    assert [cell["count"] for cell in cells] == list(range(1, len(CELLS) + 1))
    assert [cell["errors"] for cell in cells] == [[]] * len(CELLS)
    page.until(f"{PLOT}._fullLayout.xaxis.range.length")
    page.until("document.querySelectorAll('.js-plotly-plot').length === 2")
    page.screenshot(SCREENSHOTS / "explorer.png")

    box = page.js(f"{PLOT}.querySelector('.nsewdrag').getBoundingClientRect().toJSON()")
    x, y = box["x"], box["y"]
    page.drag((x + 0.2 * box["width"], y + 0.2 * box["height"]), (x + 0.7 * box["width"], y + 0.6 * box["height"]))
    ranges = f"JSON.stringify([{PLOT}._fullLayout.xaxis.range, {PLOT}._fullLayout.yaxis.range])"
    zoomed = page.until(f"{PLOT}._fullLayout.xaxis.range[0] > 0 && {ranges}")

    page.js(f"window.node = {PLOT}; window.z = JSON.stringify(node._fullData[0].z); 0")
    page.js("document.querySelector('.noUi-handle').focus()")
    page.press("ArrowRight")
    page.until("JSON.stringify(node._fullData[0].z) !== z")
    assert page.js(f"{PLOT} === node") and page.js("document.contains(node)")
    assert page.until("node.querySelector('.gtitle').textContent.startsWith('Layer 1,')")
    assert page.js(ranges) == zoomed

    page.js("document.querySelector('.widget-dropdown select').focus()")
    page.press("3")
    page.until("node.querySelector('.gtitle').textContent.includes('position 3')")

    page.js("document.querySelector('.widget-text input').select()")
    page.press("Delete")
    page.press("Enter")
    alert = page.until("document.querySelector('.jupyter-widgets [role=alert]')?.textContent")
    assert alert == "expected something to choose from for position, got nothing: change what it depends on"
    assert page.js("node.querySelector('.gtitle').textContent").startswith("Layer 1,")

    page.js("[...document.querySelectorAll('.widget-radio input')].at(-3).focus()")
    page.press(" ")
    page.until("document.querySelector('[role=status]')?.textContent.startsWith('Not that one')")
    page.js("[...document.querySelectorAll('.widget-radio input')].at(-2).click()")
    page.until("document.querySelector('[role=status]')?.textContent.startsWith('Right')")
    page.until("document.body.textContent.includes('Score: 0 of 3')")
    page.screenshot(SCREENSHOTS / "explorer_moved.png")


def test_a_prediction_withholds_its_answer_until_the_learner_has_chosen_and_clicks(lab, page):
    run_all(page, lab("explorer.ipynb"))
    button = "document.querySelector('.widget-button')"
    page.until(f"{button}?.disabled")
    told = "[...document.querySelectorAll('.jp-OutputArea-output')].some(o => o.textContent.includes('It ends in'))"
    assert not page.js(told)
    page.js("document.querySelector('.widget-radio input').click()")
    page.until(f"!{button}.disabled")
    assert not page.js(told)
    page.js(f"{button}.focus()")
    page.press("Enter")
    status = page.until("document.querySelector('[role=status]')?.textContent")
    assert "It is not so. This one begins with it. Answer: the other one. It ends in the stream." in status


BOXES = """[...document.querySelectorAll(".js-plotly-plot")].map(node => {
    const box = what => what.getBoundingClientRect();
    const host = box(node.closest(".jp-OutputArea-output")), texts = [...node.querySelectorAll("svg text")];
    const bar = box(node.querySelector(".modebar")), title = box(node.querySelector(".gtitle"));
    const inside = box(node.querySelector(".main-svg"));
    return {
        share: inside.width / host.width,
        cut: texts.filter(t => t.textContent && box(t).width && (box(t).left < host.left - 1
            || box(t).right > host.right + 1 || box(t).top < inside.top - 1 || box(t).bottom > inside.bottom + 1))
            .map(t => t.textContent),
        under_bar: bar.bottom > title.top + 2 && bar.left < title.right,
    };
})"""


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_figures_fill_the_width_and_nothing_is_cut(lab, page, theme):
    page.call("Emulation.setDeviceMetricsOverride", width=1024, height=768, deviceScaleFactor=1, mobile=False)
    run_all(page, lab("explorer.ipynb"))
    page.js(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})")
    page.until("document.querySelectorAll('.js-plotly-plot .gtitle').length === 2")
    for width in (1024, 1700, 1024):
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=768, deviceScaleFactor=1, mobile=False)
        page.until(f"{BOXES}.every(box => box.share > 0.96 && box.share < 1.01)")
        for box in page.js(BOXES):
            assert not box["cut"] and not box["under_bar"], (width, box)
        page.screenshot(SCREENSHOTS / f"figures_{width}_{theme}.png")


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs_in_the_browser_without_an_error(lab, page, chapter):
    cells = run_all(page, lab(chapter.name))
    assert [cell["errors"] for cell in cells if cell["errors"]] == []
    assert cells and all(cell["count"] for cell in cells)
    assert page.until("document.querySelectorAll('.jp-OutputArea-output .jupyter-widgets').length")
    page.screenshot(SCREENSHOTS / f"{chapter.stem}.png")
