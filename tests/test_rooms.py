"""The package is laid out by chapter: who may import whom, what may draw, and what may run."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "rsutils"
WINGS = ["models", "drawing", "teaching", "compare"]
CHAPTERS = ["start", "basis", "traces", "virtual", "coupling", "heads", "causal"]
DRAWS = {"figures.py", "attribution.py"}
RUNS = {
    "Generator",
    "ablate_each_head",
    "ablation_effects",
    "at_random",
    "attend",
    "cut_each_path",
    "direct_effects",
    "edge_attribution",
    "hooks",
    "load_model",
    "logit_difference",
    "measured_weights",
    "node_attribution",
    "null_scores",
    "path_patching",
    "patterns",
    "record",
    "run_with_cache",
    "run_with_hooks",
    "split_preference",
    "total_effects",
    "zero_ablated",
}
MODULES = sorted(path for room in WINGS + CHAPTERS for path in (PACKAGE / room).glob("*.py"))


def imports(path: Path) -> set[str]:
    """The modules that a file imports, names of ``from package import name`` included."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return whole | {f"{n.module}.{a.name}" for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_what_comes_before_it(path):
    room = path.parent.name
    allowed = WINGS if room in WINGS else [*WINGS, *CHAPTERS[: CHAPTERS.index(room) + 1]]
    found = imports(path)
    used = {name.split(".")[1] for name in found if name.startswith("rsutils.")}
    assert used - {*allowed, "errors"} == set()
    if room in CHAPTERS and path.name not in DRAWS | {"__init__.py", "exercises.py"}:
        assert not {name for name in found if name.startswith(("plotly", "rsutils.drawing"))}, (
            "mathematics does not draw"
        )
    if path.name in DRAWS:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        called = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        called |= {node.id for node in nodes if isinstance(node, ast.Name)}
        assert called & RUNS == set(), "figures draw what they are handed"
