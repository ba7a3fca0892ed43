"""What the documents promise is there: links, commands, licences; and nothing in the files ties them to a machine."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent


def tracked() -> list[Path]:
    """The files under version control; a plain download has no list, so all but what commands make."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [p for p in ROOT.rglob("*") if not {".venv", "build", "__pycache__"} & set(p.parts)]
    return [path for path in paths if path.is_file()]


TEXT = [p for p in tracked() if p.suffix not in {".safetensors", ".png", ".ico"}]
DOCUMENTS = [p for p in TEXT if p.suffix in {".md", ".ipynb"}]


def prose(path: Path) -> str:
    """The words of a Markdown file or of the Markdown cells of a notebook."""
    if path.suffix == ".md":
        return path.read_text()
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def broken_links(path: Path, text: str) -> list[str]:
    """Relative links of `text`, which stands in `path`, that lead to no file."""
    text = re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$", "", text, flags=re.S)
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    local = [target for target in targets if not re.match(r"[a-z]+:|#|attachment:", target)]
    return [target for target in local if not (path.parent / target.split("#")[0]).exists()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_a_file(path):
    assert broken_links(path, prose(path)) == []


def test_a_broken_link_is_found():
    here = ROOT / "README.md"
    text = '[a](LICENSE) [b](nowhere.md#x) ![c](no.png) [d](https://example.org) `[e](code)` <img src="gone.png">'
    assert broken_links(here, text) == ["nowhere.md#x", "no.png", "gone.png"]


def commands(text: str) -> set[tuple[str, ...]]:
    """The make targets, course.py commands and Python modules that a text tells people to run."""
    makes = re.findall(r"(?:^|`)(make) (\w+)", text, re.M)
    courses = re.findall(r"(course\.py) (\w+)", text)
    return {*makes, *courses, *re.findall(r"python (-m) ([\w.]+)", text)}


def unknown(found: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    targets = (ROOT / "Makefile").read_text().split(".PHONY:")[1].splitlines()[0].split()
    ours = [name for kind, name in found if kind == "-m" and (ROOT / name.split(".")[0]).is_dir()]
    absent = {("-m", name) for name in ours if not list(ROOT.glob(name.replace(".", "/") + "*"))}
    return absent | {pair for pair in found if pair[0] in ("make", "course.py") and pair[1] not in targets}


@pytest.mark.parametrize(
    "path", [p for p in DOCUMENTS if p.suffix == ".md"], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_commands_exist(path):
    assert unknown(commands(path.read_text())) == set()


def test_an_unknown_command_is_found():
    text = "run\n`make bake` or `python course.py lab`, `python -m rsutils.nothing`\nmake test"
    assert unknown(commands(text)) == {("make", "bake"), ("-m", "rsutils.nothing")}


def test_the_readme_names_every_command_and_chapter():
    readme = (ROOT / "README.md").read_text()
    assert {name for _, name in commands(readme)} >= {"lab", "test", "run"}
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{notebook.name}" in readme


# In pieces, so that this file does not contain what it forbids.
HOSTS = re.compile(
    "|".join(
        [
            "pypi" + r"\.org",
            "pythonhosted" + r"\.org",
            "download" + r"\.pytorch\.org",
            "npmjs" + r"\.(org|com)",
            "anaconda" + r"\.(org|com)",
            "deb" + r"\.debian\.org",
        ]
    )
)
MACHINE = re.compile(r"(?<![\w.:}/-])/(?:root|work|Users|home/(?!jovyan\b)\w+)" + r"/\w")


@pytest.mark.parametrize("pattern", [HOSTS, MACHINE], ids=["registry", "machine"])
def test_no_file_names_a_registry_or_a_path_of_one_machine(pattern):
    found = {
        path.relative_to(ROOT).as_posix(): match.group()
        for path in TEXT
        if (match := pattern.search(path.read_text(errors="replace")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("pattern", "text"), [(HOSTS, "https://pypi" + ".org/simple"), (MACHINE, "'/root" + "/models'")]
)
def test_such_a_name_is_found(pattern, text):
    assert pattern.search(text)


def test_python_that_is_named_is_the_python_that_is_needed():
    named = set(re.findall(r"Python (3\.\d+) or later", (ROOT / "README.md").read_text()))
    assert named == {"3.11"} and sys.version_info >= (3, 11)
