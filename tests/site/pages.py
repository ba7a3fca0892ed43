"""What the tests of the pages share: which pages there are, and how one waits until every explorer is drawn."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
PAGES = ["index", *CHAPTERS]

# What an explorer's figure shows now.
DRAWN = """e => { const stage = e.querySelector(".stage");
    return JSON.stringify([stage.data.map(({x, y, z, text}) => [x, y, z, text]), stage.layout.title.text]); }"""


def explorers(page) -> list:
    """Every explorer and figure of a page, each drawn."""
    found = page.query_selector_all(".explorer")
    for explorer in found:
        explorer.scroll_into_view_if_needed()
        page.wait_for_function("e => e.dataset.shown !== undefined", arg=explorer)
    return found
