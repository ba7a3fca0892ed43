"""JupyterLab in Chromium as the tests drive it: a notebook is opened, run, and met cell by cell."""

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe

CHAPTERS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
SCREENSHOTS = Path(__file__).parents[2] / "build" / "browser"
PANEL = """path => {
    const widgets = window.jupyterapp?.shell?.widgets("main") ?? [];
    return window.panel = [...widgets].find(widget => widget.context?.path === path);
}"""
READY = """async () => {
    await jupyterapp.restored;
    await panel.context.ready;
    await panel.sessionContext.ready;
    jupyterapp.shell.activateById(panel.id);
    window.notebook = panel.content;
}"""
# Saved counts and outputs would answer for cells that were never run.
RUN = """async () => {
    await jupyterapp.commands.execute("notebook:clear-all-cell-outputs");
    await jupyterapp.commands.execute("notebook:run-all-cells");
}"""
CELLS = """() => [...notebook.model.cells].map(cell => {
    const outputs = cell.type === "code" ? cell.outputs.toJSON() : [];
    return {
        source: cell.sharedModel.source,
        code: cell.type === "code",
        count: cell.executionCount,
        errors: outputs.filter(o => o.output_type === "error").map(o => o.ename + ": " + o.evalue),
        texts: outputs.map(o => [].concat(o.data?.["text/plain"] ?? o.text ?? "").join("")),
        figure: outputs.some(o => o.data?.["application/vnd.plotly.v1+json"]),
        widget: outputs.some(o => o.data?.["application/vnd.jupyter.widget-view+json"]),
    };
})"""
# JupyterLab takes cells that are out of sight off the page: what is to be seen is scrolled to, as a reader would.
SHOW = """async index => {
    notebook.activeCellIndex = index;
    await notebook.scrollToItem(index, "smart");
    await notebook.widgets[index].ready;
}"""
FIGURES = """() => [...document.querySelectorAll(".js-plotly-plot")].map(node => {
    const box = what => what.getBoundingClientRect();
    const host = box(node.closest(".jp-OutputArea-output")), inside = box(node.querySelector(".main-svg"));
    const bar = box(node.querySelector(".modebar")), title = box(node.querySelector(".gtitle"));
    const cut = [...node.querySelectorAll("svg text")].filter(t => t.textContent && box(t).width
        && (box(t).left < host.left - 1 || box(t).right > host.right + 1
            || box(t).top < inside.top - 1 || box(t).bottom > inside.bottom + 1));
    const paper = getComputedStyle(node.querySelector(".main-svg")).backgroundColor;
    return {
        title: node.querySelector(".gtitle").textContent,
        fills: Math.abs(inside.width / host.width - 0.985) < 0.025,
        faults: [
            ...cut.map(t => "cut: " + t.textContent),
            ...(bar.bottom > title.top + 2 && bar.left < title.right ? ["the toolbar is over the title"] : []),
            ...(paper === "rgba(0, 0, 0, 0)" ? [] : ["it stands on a sheet of its own, " + paper]),
        ],
    };
})"""

# What this course puts into a notebook; the rest of the page is JupyterLab's.
OURS = dict(include=[[".jp-OutputArea-output"], [".jp-RenderedMarkdown"]])


def serious_findings(page, where: dict | None = None) -> list[tuple]:
    """What axe finds serious or critical in a part of a page: the rule, an element, and what is wrong with it."""
    found = Axe().run(page, context=where).response["violations"]
    return [
        (rule["id"], len(rule["nodes"]), rule["nodes"][0]["html"], rule["nodes"][0]["failureSummary"])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


class Notebook:
    """A notebook that is open in JupyterLab."""

    def __init__(self, page, address: str, name: str) -> None:
        self.page, self.name = page, Path(name).stem
        page.goto(f"{address}lab/workspaces/{self.name}/tree/{name}?token=local")
        page.wait_for_function(PANEL, arg=name)
        page.evaluate(READY)

    def run_all(self) -> list[dict]:
        """Run all cells anew; gives them as `cells` does."""
        self.page.evaluate(RUN)
        return self.cells()

    def cells(self) -> list[dict]:
        """The cells as they are now: source, count, errors, texts, and whether one shows a widget."""
        return self.page.evaluate(CELLS)

    def show(self, index: int):
        """A cell, scrolled to, as a locator."""
        self.page.evaluate(SHOW, index)
        return self.page.locator(f'.jp-Cell[data-windowed-list-index="{index}"]')

    def type(self, index: int, text: str) -> str:
        """Write into a cell by keyboard and run it; gives what it then says."""
        self.show(index)
        keyboard = self.page.keyboard
        self.page.evaluate("notebook.mode = 'edit'")
        keyboard.press("Control+a")
        keyboard.insert_text(text)
        count = self.cells()[index]["count"]
        keyboard.press("Control+Enter")
        self.page.wait_for_function(
            """([index, before]) => {
                const cell = notebook.model.cells.get(index);
                return cell.executionCount && cell.executionCount !== before && cell.outputs.length;
            }""",
            arg=[index, count],
        )
        return "".join(self.cells()[index]["texts"])

    def figures(self) -> list[dict]:
        """The figures on the page, once all are drawn and fill their width, and what is wrong with them."""
        drawn = sum(cell["figure"] or any(t.startswith("Explorer(") for t in cell["texts"]) for cell in self.cells())
        self.page.wait_for_function(
            f"""document.querySelectorAll(".js-plotly-plot .gtitle").length === {drawn}
                && document.querySelectorAll(".js-plotly-plot .modebar").length === {drawn}
                && ({FIGURES})().every(figure => figure.fills)"""
        )
        return self.page.evaluate(FIGURES)

    def show_all(self) -> None:
        """Put every cell on the page, in sight or not."""
        self.page.evaluate("notebook.notebookConfig = {...notebook.notebookConfig, windowingMode: 'none'}")
        boxes = sum(cell["widget"] for cell in self.cells())
        self.page.wait_for_function(
            f"document.querySelectorAll('.jp-OutputArea-output > .widget-vbox').length >= {boxes}"
        )

    def theme(self, name: str) -> None:
        self.page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {name}'}})")
        light = str(name == "Light").lower()
        self.page.wait_for_function(f"document.body.dataset.jpThemeLight === '{light}'")

    def screenshot(self, name: str) -> None:
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def close(self) -> None:
        self.page.evaluate("panel.sessionContext.shutdown()")
