"""The widgets in JupyterLab in a notebook of their own: what a chapter's figures do not show, and what goes wrong.

Screenshots are left in build/browser/.
"""

import nbformat
import pytest
from lab_notebook import Notebook

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
expect.set_options(timeout=30_000)

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
]
FIGURE, EXPLORER, QUESTION, ANSWER = range(1, 5)


@pytest.fixture(scope="module")
def notebook(lab, context):
    address, folder = lab
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    made.metadata.kernelspec = dict(name="python3", display_name="Python 3", language="python")
    nbformat.write(made, folder / "widgets.ipynb")
    page = context.new_page()
    notebook = Notebook(page, address, "widgets.ipynb")
    yield notebook
    notebook.close()


@pytest.fixture
def ran(notebook):
    """The notebook with all its cells run anew, in the light theme."""
    notebook.page.set_viewport_size(dict(width=1300, height=2200))
    notebook.theme("Light")
    assert [cell["errors"] for cell in notebook.run_all()] == [[]] * len(CELLS)
    return notebook


def test_an_explorer_keeps_its_node_and_its_zoom(ran):
    page, cell = ran.page, ran.show(EXPLORER)
    figure = cell.locator(".js-plotly-plot")
    area = figure.locator(".nsewdrag").first
    area.wait_for()
    ranges = "node => JSON.stringify([node._fullLayout.xaxis.range, node._fullLayout.yaxis.range])"
    whole = figure.evaluate(ranges)
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.6 * box["height"])
    page.mouse.up()
    node = figure.element_handle()
    page.wait_for_function(f"([node, whole]) => ({ranges})(node) !== whole", arg=[node, whole])
    page.wait_for_function("node => node._fullLayout.xaxis.range[0] > 0", arg=node)
    zoomed = figure.evaluate(ranges)

    cell.get_by_role("slider", name="layer").focus()
    page.keyboard.press("ArrowRight")
    expect(figure.locator(".gtitle")).to_contain_text("Layer 1,")
    assert node.evaluate("node => node.isConnected") and node.evaluate(ranges) == zoomed


def test_keys_move_the_control_that_has_the_focus_and_never_a_cell(ran):
    page, cell = ran.page, ran.show(EXPLORER)
    title = cell.locator(".gtitle")
    cell.get_by_role("combobox", name="position").focus()
    page.keyboard.press("3")
    expect(title).to_contain_text("position 3")
    page.keyboard.press("ArrowUp")
    expect(title).to_contain_text("position 2")
    for key in "ddb":
        page.keyboard.press(key)
    options = ran.show(QUESTION).get_by_role("radio")
    options.first.focus()
    page.keyboard.press("ArrowDown")
    expect(options.last).to_be_checked()
    assert page.evaluate("notebook.activeCellIndex") == QUESTION
    assert [cell["source"] for cell in ran.cells()] == CELLS


def test_an_error_stands_beside_the_last_good_figure(ran):
    page, cell = ran.page, ran.show(EXPLORER)
    text = cell.get_by_role("textbox", name="text")
    text.fill("")
    text.press("Enter")
    expect(cell.get_by_role("alert")).to_have_text(
        "expected something to choose from for position, got nothing: change what it depends on"
    )
    expect(cell.locator(".gtitle")).to_contain_text("Layer 0,")
    # One word more than the matrix has columns: torch's own words, with their type.
    text.fill("one " * 14)
    text.press("Enter")
    expect(cell.get_by_role("alert")).not_to_contain_text("to choose from")
    expect(cell.get_by_role("alert")).to_contain_text(": ")
    expect(cell.locator(".gtitle")).to_contain_text("Layer 0,")
    text.fill("Again")
    text.press("Enter")
    expect(cell.get_by_role("alert")).to_have_count(0)
    page.keyboard.press("Tab")


def test_an_answer_names_the_guess_and_both_reasons(ran):
    ran.show(QUESTION).get_by_role("radio").first.check()
    cell = ran.show(ANSWER)
    cell.get_by_role("button").click()
    expect(cell.get_by_role("status")).to_contain_text(
        "It is not so. This one begins with it. Answer: the other one. It ends in the stream."
    )


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_figures_fill_the_width_and_nothing_is_cut(ran, theme):
    ran.theme(theme)
    for width in (1024, 1700, 1024):
        ran.page.set_viewport_size(dict(width=width, height=768))
        assert len(ran.figures()) == 2
        assert [figure for figure in ran.figures() if figure["faults"]] == []
        ran.screenshot(f"widgets_{width}_{theme}")
