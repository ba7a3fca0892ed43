"""course.py: an environment is made, kept, updated or made anew, and every failure is one line."""

import builtins
import collections
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import course

Done = collections.namedtuple("Done", "returncode stdout stderr")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in an empty folder whose pip is a recorder; its environments are real, with two packages of no use."""
    (tmp_path / "constraints.txt").write_text("torch==1.2.3\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(course, "ROOT", tmp_path)
    monkeypatch.setattr(course, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(course, "STAMP", tmp_path / ".venv" / "course-stamp")
    monkeypatch.setattr(course, "OURS", tmp_path / ".venv" / "made-by-course")
    monkeypatch.setattr(course, "LOG", tmp_path / "build" / "install.log")
    real, recorder = subprocess.run, collections.namedtuple("Recorder", "installs fail environments")([], [], [])

    def run(command, **options):
        command = [str(part) for part in command]
        if "pip" in command:
            recorder.installs.append(command[command.index("install") + 1 :])
            if recorder.fail and "--log" in command:
                course.LOG.write_text(recorder.fail[0])
                return Done(1, "", "")
            if "-r" in command:
                install("needed")
            return Done(0, "", "")
        if "venv" in command:
            recorder.environments.append(command)
            done = real([*command, "--without-pip"], **options)
            install("pip")
            return done
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", run)
    return recorder


def site_packages() -> Path:
    (found,) = course.VENV.glob("[Ll]ib/**/site-packages")
    return found


def install(name: str) -> None:
    """Put a package into the environment: a module, and the list of its files."""
    folder = site_packages() / f"{name}-1.0.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (site_packages() / f"{name}.py").touch()
    (folder / "RECORD").write_text(f'"{name}.py",,\n__pycache__/{name}.cpython-311.pyc,,\n')


def users_environment() -> Path:
    """An environment that the user made, with a file of theirs in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(course.VENV)], check=True)
    install("pip")
    (course.VENV / "mine").touch()
    return course.VENV / "mine"


def refusal(action) -> str:
    with pytest.raises(SystemExit) as caught:
        action()
    message = str(caught.value)
    assert message.startswith("course: ") and "\n" not in message
    return message


def test_the_second_time_nothing_is_installed(project):
    course.ensure_environment()
    assert ["-r", "constraints.txt"] in project.installs
    assert ["--no-index", "--no-deps", "torch==1.2.3"] in project.installs
    project.installs.clear()
    course.ensure_environment()
    assert project.installs == [] and len(project.environments) == 1


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_changed_versions_are_installed_in_place(project, name):
    course.ensure_environment()
    project.installs.clear()
    with (course.ROOT / name).open("a") as file:
        file.write("# another version\n")
    course.ensure_environment()
    assert project.installs and len(project.environments) == 1


def test_an_installation_cut_off_is_made_anew(project, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(course, "pip", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        course.ensure_environment()
    half = course.VENV / "half-unpacked"
    half.touch()
    course.ensure_environment()
    assert not half.exists() and len(project.environments) == 2


def test_a_broken_python_is_replaced(project):
    course.ensure_environment()
    course.venv_python().unlink()
    course.ensure_environment()
    assert course.ready() and len(project.environments) == 2


def test_a_package_half_removed_is_found_and_all_made_anew(project):
    course.ensure_environment()
    (site_packages() / "needed.py").unlink()
    assert not course.ready()
    course.ensure_environment()
    assert course.ready() and len(project.environments) == 2


def test_a_package_wholly_removed_is_installed_again(project):
    course.ensure_environment()
    for path in (site_packages() / "needed-1.0.dist-info").iterdir():
        path.unlink()
    (site_packages() / "needed-1.0.dist-info").rmdir()
    assert not course.ready()
    course.ensure_environment()
    assert course.ready() and len(project.environments) == 1


def test_a_package_that_was_never_whole_does_no_harm(project, monkeypatch):
    users_environment()
    install("odd")
    (site_packages() / "odd.py").unlink()
    course.ensure_environment()
    assert course.ready()


def test_a_folder_that_was_moved_is_installed_again(project, monkeypatch):
    course.ensure_environment()
    monkeypatch.setattr(course, "ROOT", course.ROOT / ".." / course.ROOT.name)
    assert not course.ready()


def test_an_environment_that_the_user_made_is_kept(project):
    mine = users_environment()
    project.environments.clear()
    course.ensure_environment()
    assert mine.exists() and project.environments == [] and project.installs


def test_an_environment_that_the_user_made_outlives_failed_installations(project):
    mine = users_environment()
    project.environments.clear()
    for version in ("1", "2"):
        (course.ROOT / "constraints.txt").write_text(f"torch=={version}\n")
        project.fail.append("error: subprocess-exited-with-error")
        refusal(course.ensure_environment)
        refusal(course.ensure_environment)
        project.fail.clear()
        course.ensure_environment()
        assert course.ready() and mine.exists()
    assert project.environments == []


@pytest.mark.parametrize("damage", ["python", "pip", "file"])
def test_an_environment_that_the_user_made_is_never_removed(project, damage):
    mine = users_environment()
    course.ensure_environment()
    if damage == "python":
        course.venv_python().unlink()
    elif damage == "pip":
        for path in (site_packages() / "pip-1.0.dist-info").iterdir():
            path.unlink()
        (site_packages() / "pip-1.0.dist-info").rmdir()
    else:
        (site_packages() / "needed.py").unlink()
    message = refusal(course.ensure_environment)
    assert {"python": "Python", "pip": "pip", "file": "needed"}[damage] in message and "move it away" in message
    assert mine.exists()


def test_a_link_to_nowhere_is_the_users(project):
    course.VENV.symlink_to(course.ROOT / "nowhere")
    assert "move it away" in refusal(course.ensure_environment)
    assert course.VENV.is_symlink()


HOLD = """
import pathlib, sys, time
import course
course.LOG = pathlib.Path(sys.argv[1])
with course.alone():
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(seconds: float) -> subprocess.Popen:
    """Another process that holds the lock for so many seconds."""
    command = [sys.executable, "-c", HOLD, str(course.LOG), str(seconds)]
    process = subprocess.Popen(command, cwd=Path(course.__file__).parent, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


def test_the_second_of_two_installations_waits_and_says_so(project, capsys):
    with holder(1.5):
        started = time.monotonic()
        course.ensure_environment()
        assert time.monotonic() - started > 1
    assert "waiting" in capsys.readouterr().out


def test_the_second_of_two_installations_finds_the_firsts(project, monkeypatch):
    answers = iter([False, True])
    monkeypatch.setattr(course, "ready", lambda: next(answers))
    course.ensure_environment()
    assert project.installs == [] and project.environments == []


def test_a_dead_process_leaves_no_lock(project, capsys):
    with holder(60) as process:
        process.kill()
        process.wait()
    course.ensure_environment()
    assert course.ready() and "waiting" not in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_a_command_ends_in_its_own_way_after_ctrl_c(monkeypatch, capfd):
    monkeypatch.setattr(course, "venv_python", lambda: Path(sys.executable))
    slow = """
import os, signal, time
def end(*args):
    time.sleep(1)
    print("summary", flush=True)
    raise SystemExit(130)
signal.signal(signal.SIGINT, end)
os.kill(os.getppid(), signal.SIGINT)
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""
    assert course.in_environment("-c", slow) == 130
    assert "summary" in capfd.readouterr().out


@pytest.mark.parametrize("command", ["test", "test_real", "coverage", "run"])
def test_runs_and_tests_take_one_thread_a_kernel(monkeypatch, command):
    seen = []
    monkeypatch.setattr(course, "in_environment", lambda *command, **variables: seen.append(variables) or 0)
    getattr(course, command)(["-k", "nothing"])
    assert seen[-1]["OMP_NUM_THREADS"] == os.environ.get("OMP_NUM_THREADS", "1")


def test_the_whole_test_run_checks_types_too(monkeypatch):
    seen = []
    monkeypatch.setattr(course, "in_environment", lambda *command, **variables: seen.append(command) or 0)
    assert course.test([]) == 0
    assert [command[1] for command in seen] == ["ruff", "ruff", "mypy", "pytest"]
    assert course.test(["tests/test_docs.py"]) == 0
    assert [command[1] for command in seen[4:]] == ["ruff", "ruff", "pytest"]


@pytest.mark.parametrize("tool", ["ruff", "mypy", "pytest"])
def test_a_fault_of_any_check_fails_the_run(monkeypatch, tool):
    monkeypatch.setattr(course, "in_environment", lambda *command, **variables: int(tool in command))
    assert course.test([]) != 0


@pytest.mark.parametrize(
    ("log", "word"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError('...: Failed to establish a new connection')", "package index does not answer"),
        ("error: subprocess-exited-with-error", "install.log"),
    ],
)
def test_a_failed_installation_is_one_line_and_is_tried_again(project, log, word):
    project.fail.append(log)
    assert word in refusal(course.ensure_environment)
    project.fail.clear()
    course.ensure_environment()
    assert course.ready() and len(project.environments) == 2


def test_a_disk_too_full_even_for_a_log_is_named(project, monkeypatch):
    project.fail.append("")
    monkeypatch.setattr(course.shutil, "disk_usage", lambda folder: collections.namedtuple("U", "free")(1e6))
    assert "disk is full" in refusal(course.ensure_environment)


def test_an_old_python_is_refused(monkeypatch):
    monkeypatch.setattr(course.sys, "version_info", (3, 10, 4))
    assert "Python 3.11" in refusal(course.require_usable_python)


@pytest.mark.parametrize(
    ("module", "remedy"), [("ensurepip", "python3-venv"), ("venv", "python3-venv"), ("ssl", "OpenSSL")]
)
def test_a_python_without_a_part_names_the_remedy(monkeypatch, module, remedy):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == module:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    message = refusal(course.require_usable_python)
    assert module in message and remedy in message


def test_options_go_through(monkeypatch):
    seen = []
    monkeypatch.setattr(course, "ensure_environment", lambda: None)
    monkeypatch.setattr(course, "in_environment", lambda *command, **variables: seen.append(command) or 0)
    for arguments in (["lab", "--port=9999"], ["test", "-k", "basis"], ["run", "--out", "there"]):
        monkeypatch.setattr(sys, "argv", ["course.py", *arguments])
        assert course.main() == 0
        assert seen[-1][-len(arguments[1:]) :] == tuple(arguments[1:])


def test_make_and_course_have_the_same_commands(monkeypatch, capsys):
    makefile = (course.ROOT / "Makefile").read_text()
    _, *targets = makefile.split(".PHONY:")[1].splitlines()[0].split()
    assert f"\n{' '.join(targets)}:\n" in makefile
    monkeypatch.setattr(course, "ensure_environment", lambda: None)
    monkeypatch.setattr(course, "in_environment", lambda *command, **variables: 0)
    for target in targets:
        monkeypatch.setattr(sys, "argv", ["course.py", target])
        assert course.main() == 0
    monkeypatch.setattr(sys, "argv", ["course.py", "--help"])
    with pytest.raises(SystemExit):
        course.main()
    told = capsys.readouterr().out.split("positional arguments")[0]
    assert [line.split()[0] for line in told.splitlines() if line.startswith("  ")] == targets


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("command", [["make"], ["make", "help"]])
def test_make_says_what_there_is(command):
    told = subprocess.run([*command, f"PYTHON={sys.executable}"], cwd=course.ROOT, capture_output=True, text=True)
    assert told.returncode == 0 and "test-real" in told.stdout and "JupyterLab" in told.stdout
