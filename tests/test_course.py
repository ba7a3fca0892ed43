"""course.py: an environment is made, kept, updated or made anew, and every failure is one line."""

import builtins
import collections
import subprocess
import sys

import pytest

import course

Done = collections.namedtuple("Done", "returncode stdout stderr")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in an empty folder whose pip is a recorder; its environments are real, without packages."""
    (tmp_path / "constraints.txt").write_text("torch==1.2.3\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(course, "ROOT", tmp_path)
    monkeypatch.setattr(course, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(course, "STAMP", tmp_path / ".venv" / "course-stamp")
    monkeypatch.setattr(course, "LOG", tmp_path / "build" / "install.log")
    monkeypatch.setattr(course, "NEEDED", ["json"])
    real, recorder = subprocess.run, collections.namedtuple("Recorder", "installs fail environments")([], [], [])

    def run(command, **options):
        command = [str(part) for part in command]
        if "pip" in command:
            recorder.installs.append(command[command.index("install") + 1 :])
            if recorder.fail and "--log" in command:
                course.LOG.write_text(recorder.fail[0])
                return Done(1, "", "")
            return Done(0, "", "")
        if "venv" in command:
            recorder.environments.append(command)
            command.append("--without-pip")
        elif "['pip']" in str(command):
            command = [part.replace("['pip']", "['json']") for part in command]
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", run)
    return recorder


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
    assert course.python_starts(["json"]) and len(project.environments) == 2


def test_a_lost_package_is_found_out(project, monkeypatch):
    course.ensure_environment()
    monkeypatch.setattr(course, "NEEDED", ["json", "a_package_that_was_lost"])
    project.installs.clear()
    course.ensure_environment()
    assert project.installs and len(project.environments) == 2


def test_an_environment_that_the_user_made_is_kept(project):
    subprocess.run([sys.executable, "-m", "venv", str(course.VENV)], check=True)
    project.environments.clear()
    (course.VENV / "mine").touch()
    course.ensure_environment()
    assert (course.VENV / "mine").exists() and project.environments == [] and project.installs


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
    assert course.STAMP.read_text() == course.wanted_stamp()


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


def test_make_and_course_have_the_same_commands(monkeypatch):
    makefile = (course.ROOT / "Makefile").read_text()
    targets = makefile.split(".PHONY:")[1].splitlines()[0].split()
    monkeypatch.setattr(course, "ensure_environment", lambda: None)
    for target in targets:
        monkeypatch.setattr(sys, "argv", ["course.py", target])
        monkeypatch.setattr(course, "in_environment", lambda *command, **variables: 0)
        assert course.main() == 0
