"""Every chapter as a learner meets it in JupyterLab: it runs, and all that can be moved or answered is."""

import warnings

import pytest
from lab_notebook import CHAPTERS, OURS, Notebook, serious_findings

from rsutils.catalogue import EXERCISES

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
playwright.expect.set_options(timeout=30_000)

# Starts a clock at each key; stops it when the figure has been drawn with other data than now, or when an error stands
# beside it.
WATCH = """node => {
    const data = () => JSON.stringify(node.data), before = data(), box = node.closest(".widget-vbox");
    let pressed;
    const press = () => (pressed = performance.now());
    window.addEventListener("keydown", press, true);
    window.moved = new Promise((resolve, reject) => {
        const done = (settle, what) => {
            clearTimeout(late);
            errors.disconnect();
            node.removeListener("plotly_afterplot", drawn);
            window.removeEventListener("keydown", press, true);
            settle(what);
        };
        const late = setTimeout(() => done(reject, new Error("the data of the figure stayed what they were")), 30000);
        const drawn = () => {
            const now = performance.now();
            if (data() !== before) done(resolve, {ms: now - pressed});
        };
        const errors = new MutationObserver(() => {
            const alert = box.querySelector("[role=alert]");
            if (alert) done(resolve, {error: alert.textContent});
        });
        errors.observe(box, {childList: true, subtree: true});
        node.on("plotly_afterplot", drawn);
    });
    window.moved.catch(() => {});
}"""


@pytest.fixture(scope="module", params=CHAPTERS, ids=lambda path: path.stem)
def chapter(lab, context, request):
    """A chapter on a projector, the list of files open, with all its cells run."""
    address, _ = lab
    page = context.new_page()
    page.set_viewport_size(dict(width=1024, height=768))
    notebook = Notebook(page, address, request.param.name)
    notebook.ran = notebook.run_all()
    yield notebook
    notebook.close()
    page.close()


def saying(notebook, start: str) -> list[int]:
    """The cells that show a widget whose words begin like this."""
    return [i for i, cell in enumerate(notebook.ran) if cell["widget"] and any(start in text for text in cell["texts"])]


def move(page, control) -> str | None:
    """Move a control by a step, or its text by two words, with the keyboard alone; gives the key that takes it back."""
    keyboard = page.keyboard
    handle, choice, box = (control.locator(part) for part in (".noUi-handle", "select", "input[type=text]"))
    if handle.count():
        last = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
        back, key = ("ArrowRight", "ArrowLeft") if last else ("ArrowLeft", "ArrowRight")
        handle.focus()
        keyboard.press(key)
        return back
    if choice.count():
        last = choice.evaluate("select => select.selectedIndex === select.options.length - 1")
        back, key = ("ArrowDown", "ArrowUp") if last else ("ArrowUp", "ArrowDown")
        choice.focus()
        keyboard.press(key)
        return back
    if box.count():
        first, second, third, *rest = box.input_value().split(" ")
        box.focus()
        keyboard.press("Control+a")
        keyboard.insert_text(" ".join([first, third, second, *rest]))
        keyboard.press("Enter")
        return None
    control.locator("input[type=checkbox]").focus()
    keyboard.press(" ")
    return " "


def test_it_runs_without_an_error(chapter):
    code = [cell for cell in chapter.ran if cell["code"]]
    assert [cell["errors"] for cell in code if cell["errors"]] == []
    assert [cell["count"] for cell in code] == list(range(1, len(code) + 1))
    chapter.screenshot(chapter.name)


def test_every_control_of_every_explorer_changes_the_data_of_its_figure(chapter, record_testsuite_property):
    explorers, stuck, alone = saying(chapter, "Explorer("), [], []
    assert explorers
    for index in explorers:
        cell = chapter.show(index)
        figure = cell.locator(".js-plotly-plot")
        figure.locator(".gtitle").wait_for()
        controls = cell.locator(".widget-vbox:has(.js-plotly-plot) > .widget-hbox > *").all()
        assert controls
        # A step that the other controls forbid is taken back, and tried once more when they have moved.
        steps = [(control, True) for control in controls]
        for control, may_be_refused in steps:
            name = control.locator(".widget-label").first.inner_text()
            if control.locator("option").count() == 1:
                alone.append((index, name))
                continue
            figure.evaluate(WATCH)
            back = move(chapter.page, control)
            try:
                moved = chapter.page.evaluate("moved")
            except playwright.Error as error:
                moved = dict(error=error.message)
            if "error" not in moved:
                record_testsuite_property(f"milliseconds: {chapter.name}, cell {index}, {name}", round(moved["ms"]))
            elif may_be_refused and back:
                chapter.page.keyboard.press(back)
                playwright.expect(cell.get_by_role("alert")).to_have_count(0)
                steps.append((control, False))
            else:
                stuck.append((index, name, moved["error"]))
                chapter.screenshot(f"{chapter.name}_{index}_{name}")
    if alone:
        warnings.warn(f"{chapter.name}: not moved, for they offer one choice on this model: {alone}", stacklevel=1)
    assert stuck == []


def test_every_prediction_withholds_its_answer_until_the_learner_asks(chapter):
    answers = saying(chapter, "The answer is folded")
    assert answers
    for index in answers:
        cell = chapter.show(index)
        playwright.expect(cell.get_by_role("button", name="Show the answer")).to_be_disabled()
        playwright.expect(cell.get_by_text("You guessed")).to_have_count(0)
    for index in saying(chapter, "\n( ) "):
        cell = chapter.show(index)
        if not cell.get_by_text("Score:").count():
            cell.get_by_role("radio").first.focus()
            chapter.page.keyboard.press(" ")
    for index in answers:
        cell = chapter.show(index)
        button = cell.get_by_role("button", name="Show the answer")
        playwright.expect(button).to_be_enabled()
        playwright.expect(cell.get_by_role("status")).to_have_count(0)
        button.focus()
        chapter.page.keyboard.press("Enter")
        playwright.expect(cell.get_by_role("status")).to_contain_text("You guessed")


def test_the_quiz_judges_each_choice_and_counts_first_tries(chapter):
    (index,) = [i for i, cell in enumerate(chapter.ran) if cell["source"].startswith("rsutils.quiz(")]
    cell = chapter.show(index)
    questions = cell.locator(".widget-radio")
    questions.last.wait_for()
    first_tries = 0
    for i in range(questions.count()):
        status = cell.get_by_role("status").nth(i)
        for j, option in enumerate(questions.nth(i).get_by_role("radio").all()):
            before = status.text_content() if j else ""
            option.focus()
            chapter.page.keyboard.press(" ")
            playwright.expect(option).to_be_checked()
            playwright.expect(status).to_be_visible()
            playwright.expect(status).not_to_have_text(before)
            if status.inner_text().startswith("Right."):
                first_tries += j == 0
                break
    playwright.expect(cell.get_by_text(f"Score: {first_tries} of {questions.count()}")).to_be_visible()


def test_an_exercise_goes_from_untried_by_a_named_mistake_to_right(chapter):
    e = next(e for e in EXERCISES.values() if e.id.startswith(chapter.name[:2]) and e.is_function)
    (index,) = [i for i, cell in enumerate(chapter.ran) if f'rsutils.check("{e.id}"' in cell["source"]]
    assert "".join(chapter.ran[index]["texts"]).startswith(f"○ {e.id}: not attempted yet")
    answer = f'rsutils.catalogue.EXERCISES["{e.id}"]'
    mistake = next(iter(e.mistakes))
    said = chapter.type(index, f'rsutils.check("{e.id}", next(iter({answer}.mistakes.values())))')
    assert said.startswith(f"✗ {e.id}: {mistake}")
    assert chapter.type(index, f'rsutils.check("{e.id}", {answer}.solution)').startswith(f"✓ {e.id}: correct")
    chapter.screenshot(f"{chapter.name}_exercise")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_what_is_ours_has_no_serious_finding(chapter, theme):
    chapter.show_all()
    chapter.theme(theme)
    assert serious_findings(chapter.page, OURS) == []


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_on_a_projector_no_figure_is_cut_or_on_a_sheet_of_its_own(chapter, theme):
    chapter.show_all()
    chapter.theme(theme)
    assert [figure for figure in chapter.figures() if figure["faults"]] == []
    chapter.show(saying(chapter, "Explorer(")[0])
    chapter.screenshot(f"{chapter.name}_{theme}")
