"""Every exercise of the course: right answers pass, each known mistake is told by its name, nothing breaks Run All."""

import inspect
import sys

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

import rsutils
from rsutils import catalogue
from rsutils.teaching import Draw, checks

EXERCISES = list(catalogue.EXERCISES.values())
IDS = [e.id for e in EXERCISES]
each = pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
each_function = pytest.mark.parametrize("exercise", [e for e in EXERCISES if e.is_function], ids=lambda e: e.id)


def with_result(change, answer):
    """The answer, with every tensor that it returns changed."""

    def changed(*args):
        result = answer(*args)
        if isinstance(result, tuple):
            return tuple(change(r) if isinstance(r, torch.Tensor) else r for r in result)
        return change(result) if isinstance(result, torch.Tensor) else result

    return changed


@each
def test_right_answers_pass_whatever_was_drawn(exercise):
    for seed in range(12):
        for answer in (exercise.solution, *exercise.alternatives):
            assert checks.verdict(exercise, answer, seed) == (True, f"correct. {exercise.learned}"), seed
    if not exercise.is_function:
        assert checks.verdict(exercise, exercise.solution())[0] is True


@each_function
@pytest.mark.parametrize(
    "change",
    [
        lambda t: t if t.dtype == torch.bool else t.double(),
        torch.Tensor.numpy,
        lambda t: t.numpy()[..., ::-1].copy()[..., ::-1] if t.ndim else t.numpy(),
        torch.Tensor.tolist,
        lambda t: list(t.double().requires_grad_()) if t.ndim and t.dtype != torch.bool else t.clone(),
    ],
    ids=["float64", "array", "reversed array", "lists", "list of tensors with gradients"],
)
def test_right_answers_pass_in_any_form(exercise, change):
    assert checks.verdict(exercise, with_result(change, exercise.solution))[0] is True


def test_two_values_pass_as_an_array():
    assert checks.verdict(catalogue.find("04.3"), lambda d: np.array([d, d - 1.0]) ** -0.5)[0] is True


@each
def test_each_mistake_is_named_whatever_was_drawn(exercise):
    assert len(exercise.mistakes) >= 3
    assert len(exercise.alternatives) >= 1
    for seed in range(3):
        for name, wrong in exercise.mistakes.items():
            assert checks.verdict(exercise, wrong, seed) == (False, f"{name}."), seed


@each_function
def test_cases_differ_in_size_and_are_drawn_afresh(exercise):
    def sizes(inputs):
        return [x.shape if isinstance(x, torch.Tensor) else x for x in inputs]

    draw = Draw()
    cases = [exercise.inputs(draw) for _ in range(checks.CASES)]
    assert all(sizes(cases[i]) != sizes(cases[i + 1]) for i in range(checks.CASES - 1))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    drawn = {str(exercise.inputs(Draw())) for _ in range(20)}  # a single small number may come twice
    assert torch.equal(torch.get_rng_state(), before)
    assert len(drawn) > 1 or exercise.id == "00.1"


@each_function
def test_looked_up_results_fail(exercise):
    draw = Draw(seed=0)
    results = [exercise.solution(*exercise.inputs(draw)) for _ in range(checks.CASES)]
    for seed in range(1, 6):
        left = iter(results * 9)
        assert checks.verdict(exercise, lambda *args: next(left), seed)[0] is False  # noqa: B023


TYPED_IN = {
    "00.1": lambda size: lambda n: torch.ones(size, size).tril().bool(),
    "00.4": lambda size: lambda embed, attn_out, mlp_out, layer: embed + (attn_out + mlp_out)[: size - 4].sum(0),
    "04.3": lambda size: lambda d_model: (size**-0.5, (size - 1) ** -0.5),
    "05.1": lambda size: lambda pattern, length: pattern.diagonal(1 - size)[2:].mean(),
    "05.6": lambda size: lambda z, head: catalogue.find("05.6").solution(z, size - 5),
}


@pytest.mark.parametrize("id", TYPED_IN)
def test_a_number_typed_in_fails(id):
    for seed in range(5):
        for size in (5, 7, 11, 13, 27):
            assert checks.verdict(catalogue.find(id), TYPED_IN[id](size), seed)[0] is False


ATTACKS = {
    "a mask of numbers": ("00.1", lambda n: torch.ones(n, n).tril(), "expected only True and False, got float32"),
    "the whole product": ("05.4", lambda W_V, W_O: (W_V @ W_O).norm(), "made a `d_model x d_model` matrix"),
    "the whole product in NumPy": (
        "05.4",
        lambda W_V, W_O: float(np.linalg.norm(W_V.numpy() @ W_O.numpy())),
        "made a `d_model x d_model` matrix",
    ),
    "nearly diagonal Grams": (
        "05.4",
        lambda W_V, W_O: (W_V.norm(dim=0) * W_O.norm(dim=1)).norm(),
        "norm: the shape is right, the numbers are not",
    ),
    "in place": (
        "05.6",
        lambda z, head: (z[:, :, head].copy_(z[:, :, head].mean((0, 1)).expand_as(z[:, :, head])), z)[1],
        "changes its argument `z` in place",
    ),
    "a stream that grows in place": (
        "02.1",
        lambda embed, attn_outs, mlp_outs: torch.stack([embed.add_(a) for a in attn_outs]),
        "changes its argument `embed` in place",
    ),
}


@pytest.mark.parametrize("id, attack, said", ATTACKS.values(), ids=ATTACKS)
def test_what_a_task_rules_out_is_refused_and_named(id, attack, said):
    for seed in range(5):
        right, message = checks.verdict(catalogue.find(id), attack, seed)
        assert right is False
        assert said in message


def complex_(t):
    return t.to(torch.complex64)


@each_function
def test_a_right_number_in_a_wrong_wrapping_fails(exercise):
    solution = exercise.solution
    several = isinstance(exercise.returns, tuple)
    for change in (
        lambda r: tuple(map(complex_, map(torch.as_tensor, r))) if several else complex_(torch.as_tensor(r)),
        lambda r: ((r,)),
        lambda r: (x for x in [r]),
        lambda r: {0: r},
        lambda r: {r} if several else lambda: r,
        lambda r: torch.as_tensor(r).unsqueeze(0) if not several else [r],
    ):
        if exercise.id == "03.5" and "complex" in inspect.getsource(change):
            continue
        right, message = checks.verdict(exercise, lambda *args: change(solution(*args)))  # noqa: B023
        assert right is False
        assert "expected" in message


@each_function
def test_leaving_python_is_a_wrong_answer_and_ctrl_c_gets_through(exercise):
    right, message = checks.verdict(exercise, lambda *args: sys.exit(3))
    assert right is False
    assert "raised SystemExit in line" in message

    def interrupted(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checks.verdict(exercise, interrupted)


def test_an_error_shows_the_line_of_the_learners_code():
    def attributions(writes, scale, W_U, right, wrong):
        direction = W_U[right + 100]
        return writes @ direction

    right, message = checks.verdict(catalogue.find("02.5"), attributions)
    line = inspect.getsourcelines(attributions)[1] + 1
    assert right is False
    assert message.startswith(
        f"your function raised IndexError in line {line} of test_exercises.py (`direction = W_U[right + 100]`): index"
    )
    assert "(called with writes [" in message


def test_an_error_shows_cell_and_line_even_of_a_helper_in_another_cell(monkeypatch):
    shell = InteractiveShell()
    monkeypatch.setattr(checks, "get_ipython", lambda: shell)
    shell.run_cell("def column(W_U, token):\n    return W_U[token + 100]", store_history=True)
    shell.run_cell("def answer(writes, scale, W_U, right, wrong):\n    return column(W_U, right)", store_history=True)
    right, message = checks.verdict(catalogue.find("02.5"), shell.user_ns["answer"])
    assert right is False
    assert "raised IndexError in line 2 of cell [1] (`return W_U[token + 100]`): index" in message


WAYS = {
    "the sign is turned": torch.neg,
    "signs are lost": torch.abs,
    "these are the squares of what was asked for": torch.square,
    "these are the logarithms of what was asked for": torch.log,
    "these are 1 over what was asked for": torch.reciprocal,
    "these are the roots of what was asked for": torch.sqrt,
}


@pytest.mark.parametrize("said, way", WAYS.items())
def test_the_right_numbers_changed_in_a_familiar_way_are_recognised(said, way):
    numbers = torch.tensor([[2.0, 3.0], [5.0, 7.0]])
    expected = torch.tensor([[-2.0, 3.0], [5.0, 7.0]]) if way is torch.abs else numbers
    assert checks.difference(way(expected), expected, 1e-4).endswith(f"; {said}")
    assert ";" not in checks.difference(way(expected) + 1, expected, 1e-4)


@pytest.mark.parametrize(
    "id, answer, said",
    [
        ("00.1", lambda n: torch.ones(n, dtype=torch.bool), "mask [query, key]: expected shape ["),
        ("00.2", lambda q, k: (q @ k.T).log(), "pattern [query, key]: the shape is right, and it holds nan"),
        ("00.3", lambda p, x, W_V, W_O: (p @ x @ W_V @ W_O,), "a tuple of 1 (a comma at the end of the line makes"),
        ("00.5", {"W_E": "writes"}, "missing: 'W_O', 'W_Q', 'W_U', 'W_in', 'W_out'"),
        ("00.5", ["writes"], "expected a dictionary with the keys"),
        ("01.1", torch, "expected a function like `rotate_reader(W, R)`, got the module torch"),
        ("01.1", int, "expected a function like `rotate_reader(W, R)`, got the class int"),
        ("01.4", lambda gain, bias, W, b: (gain[:, None] * W, b[:1]), "b_folded [d_mlp]: expected shape ["),
        ("01.4", lambda gain, bias, W, b: W, "expected 2 values (W_folded [d_model, d_mlp], b_folded"),
        ("03.5", lambda z, rows, columns, colours: ("one", rows[0], "red"), "source neuron: expected one number"),
    ],
)  # fmt: skip
def test_a_message_says_which_part_is_wrong(id, answer, said):
    right, message = checks.verdict(catalogue.find(id), answer)
    assert right is False
    assert said in message


@each
def test_an_unattempted_answer_is_neither_right_nor_wrong(exercise, capsys):
    for answer in (..., None, lambda *args: ..., lambda *args: None):
        rsutils.check(exercise.id, answer, strict=True)
        assert "not attempted" in capsys.readouterr().out


@each
def test_nonsense_gets_a_sentence_and_not_an_error(exercise):
    for answer in (
        lambda *args: 1 / 0,
        lambda *args: "nonsense",
        lambda *args: torch.zeros(2, 3, 5),
        object(),
        lambda: 1,
    ):
        right, message = checks.verdict(exercise, answer)
        assert right is False
        assert "\n" not in message


@each
def test_statement_has_two_hints_and_the_solution(exercise, capsys):
    assert len(exercise.hints) == 2
    assert 1 <= exercise.stars <= 3
    assert exercise.learned.endswith(".")
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "display", shown.append)
        rsutils.exercise(exercise.id)
    text = "".join(part.data for part in shown)
    assert text.count("<details>") == 3
    assert exercise.learned not in text, "what solving tells is told when it is solved"
    assert f"Exercise {exercise.id}" in text
    assert f"```python\ndef {exercise.solution.__name__}(" in text


@each
def test_the_solution_that_is_shown_runs_by_itself(exercise):
    """What "Solution" reveals is plain code a learner can paste: it needs nothing but torch and the course."""
    namespace = {"torch": torch, "rsutils": rsutils}
    exec(checks.source(exercise), namespace)
    assert checks.verdict(exercise, namespace[exercise.solution.__name__])[0] is True


def test_answers_cannot_change_the_inputs():
    exercise = next(e for e in EXERCISES if e.id == "01.1")

    def spoil(W, R):
        result = R.T @ W
        W.zero_()
        R.zero_()
        return result

    assert checks.verdict(exercise, spoil)[0] is True


def test_strict_mode_raises_and_the_learner_mode_prints(capsys, monkeypatch):
    monkeypatch.delenv("RSUTILS_STRICT", raising=False)
    rsutils.check("01.1", lambda W, R: R @ W)
    assert "✗ 01.1" in capsys.readouterr().out
    monkeypatch.setenv("RSUTILS_STRICT", "1")
    with pytest.raises(rsutils.CourseError, match="not transposed"):
        rsutils.check("01.1", lambda W, R: R @ W)


@pytest.mark.parametrize("id", ["99.1", 0.1, [], {}, None, torch.ones(3)])
def test_unknown_exercise_names_those_there_are(id):
    with pytest.raises(rsutils.CourseError, match=r"expected an exercise among 00\.1"):
        rsutils.check(id, 3)
    with pytest.raises(rsutils.CourseError, match="expected a chapter among 00"):
        rsutils.quiz(id)


def test_ids_are_unique_and_each_chapter_has_four_to_six():
    assert len(EXERCISES) == sum(len(chapter.EXERCISES) for chapter in catalogue.CHAPTERS.values())
    chapters = [e.id.split(".")[0] for e in EXERCISES]
    assert all(4 <= chapters.count(chapter) <= 6 for chapter in set(chapters))
