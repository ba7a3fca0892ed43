"""Versions are stated once: the ranges, the exact pins, conda, Binder and the citation agree."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# What only the CUDA builds of torch need; torch itself names their exact versions.
CUDA = ("nvidia-", "cuda-", "triton")


def requirements(lines) -> dict[str, Requirement]:
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


REQUIRED = requirements(PROJECT["dependencies"])
EVERYTHING = requirements([*PROJECT["dependencies"], *EXTRAS["lab"], *EXTRAS["test"]])
PINNED = {canonicalize_name(p.name) for p in pins()}


@pytest.mark.parametrize("pin", pins(), ids=str)
def test_a_pin_is_one_exact_version_without_an_address(pin):
    (specifier,) = pin.specifier
    assert specifier.operator == "==" and "*" not in specifier.version
    assert pin.url is None and not pin.name.startswith(CUDA)
    if pin.name in EVERYTHING:
        assert specifier.version in EVERYTHING[pin.name].specifier


def test_every_requirement_is_pinned():
    assert set(EVERYTHING) <= PINNED


def test_nothing_that_gets_installed_is_unpinned():
    """Follow the requirements of what is installed here, as far as they apply to this platform."""
    todo, seen, unpinned = [(name, r.extras) for name, r in EVERYTHING.items()], set(), set()
    while todo:
        name, extras = todo.pop()
        if (name, *extras) in seen or name.startswith(CUDA):
            continue
        seen.add((name, *extras))
        if name not in PINNED:
            unpinned.add(name)
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if not needed.marker or any(needed.marker.evaluate({"extra": extra}) for extra in ["", *extras]):
                todo.append((canonicalize_name(needed.name), needed.extras))
    assert unpinned == set()


def test_the_pins_suit_the_oldest_python_and_every_platform():
    oldest = {"python_version": "3.11", "python_full_version": "3.11.0", "extra": ""}
    for platform in (
        {"sys_platform": "linux", "os_name": "posix", "platform_machine": "x86_64"},
        {"sys_platform": "darwin", "os_name": "posix", "platform_machine": "arm64"},
        {"sys_platform": "win32", "os_name": "nt", "platform_machine": "AMD64"},
    ):
        chosen = [p.name for p in pins() if not p.marker or p.marker.evaluate({**oldest, **platform})]
        assert len(chosen) == len(set(chosen))
        assert set(EVERYTHING) <= {canonicalize_name(name) for name in chosen}
    assert PROJECT["requires-python"] == ">=3.11"


def test_conda_has_the_same_ranges():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    lines = [e for entry in entries for e in (entry["pip"] if isinstance(entry, dict) else [entry])]
    conda = requirements(line.replace("pytorch-cpu", "torch").replace("python=", "python==") for line in lines)
    (python,) = conda.pop("python").specifier
    assert python.version in SpecifierSet(PROJECT["requires-python"])
    assert conda.pop("pip")
    expected = REQUIRED | {name: EVERYTHING[name] for name in ("jupyterlab", "ipykernel")}
    assert {n: r.specifier for n, r in conda.items()} == {n: r.specifier for n, r in expected.items()}


def test_binder_reads_the_same_environment():
    assert (ROOT / "binder/environment.yml").read_bytes() == (ROOT / "environment.yml").read_bytes()
    assert "pip install --no-deps ." in (ROOT / "binder/postBuild").read_text()
    assert (ROOT / "binder/start").read_text().rstrip().endswith('exec "$@"')
    for script in ("binder/postBuild", "binder/start", ".ci/run"):
        if sys.platform != "win32":
            subprocess.run(["bash", "-n", str(ROOT / script)], check=True)
            assert (ROOT / script).stat().st_mode & 0o111


def test_the_release_has_one_number():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    unreleased, newest, *_ = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert unreleased == "Unreleased"
    assert citation["version"] == PROJECT["version"] == newest
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]


def faults(workflow: Path) -> str:
    """What is wrong with a workflow by GitHub's own schema, which the checker carries."""
    schema = ["-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    return subprocess.run([sys.executable, *schema, str(workflow)], capture_output=True, text=True).stdout


def test_the_workflow_is_one_that_the_code_host_can_read(tmp_path):
    text = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        assert faults(workflow).startswith("ok")
    spoilt = tmp_path / "spoilt.yml"
    spoilt.write_text(text.replace("runs-on:", "runs-in:"))
    assert "runs-on" in faults(spoilt)


def test_the_workflow_runs_what_there_is_on_every_system_and_python():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"]
    assert ".ci/run" in [step.get("run") for step in jobs["everything"]["steps"]]
    matrix, commands = jobs["short"]["strategy"]["matrix"], " ".join(s.get("run", "") for s in jobs["short"]["steps"])
    assert {name.split("-")[0] for name in matrix["os"]} == {"macos", "windows"}
    assert matrix["python"][0] == PROJECT["requires-python"].removeprefix(">=") and len(matrix["python"]) == 3
    for name in re.findall(r"tests/\S+", commands):
        assert (ROOT / name).is_file(), name


def test_the_hooks_are_tools_of_the_environment():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        python, _, module, *_ = hook["entry"].split()
        assert (python, hook["language"]) == ("python", "system") and module in EVERYTHING
        for name in re.findall(r"tests/\S+", hook["entry"]):
            assert (ROOT / name).is_file(), name


def imported(paths) -> set[str]:
    """The distributions that the Python files import, the standard library and our own modules left out."""
    own = {path.stem for folder in ("tests", "benchmarks", "site") for path in (ROOT / folder).rglob("*.py")}
    ours = {"rsutils", "training", "benchmarks", "course", "run_notebooks", *own}
    modules = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module.split(".")[0])
    owners = importlib.metadata.packages_distributions()
    return {canonicalize_name(owners[m][0]) if m in owners else m for m in modules - ours - sys.stdlib_module_names}


def test_the_package_declares_what_it_imports():
    assert imported((ROOT / "rsutils").rglob("*.py")) - set(REQUIRED) == set()


def test_the_rest_declares_what_it_imports():
    folders = ("tests", "training", "benchmarks", "site")
    paths = [*ROOT.glob("*.py"), *(path for name in folders for path in (ROOT / name).rglob("*.py"))]
    assert imported(paths) - set(EVERYTHING) == set()


def test_a_wheel_carries_the_weights(tmp_path):
    source = tmp_path / "source"
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "rsutils", source / "rsutils", ignore=leave)
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-PROSE"):
        shutil.copy(ROOT / name, source)
    build = f"import setuptools.build_meta as b; b.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    carried = set(zipfile.ZipFile(wheel).namelist())
    files = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "rsutils").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert files - carried == set()
    assert any(name.startswith("rsutils/data/") and name.endswith(".safetensors") for name in carried)
