"""``rotated``, ``untrained``, ``unfolded`` and ``rms_norms`` leave a model as they found it, whatever happens."""

import sys
from contextlib import ExitStack, suppress
from itertools import permutations
from pathlib import Path

import pytest
import shapes
import torch
import transformer_lens
import transformers

import rsutils
from rsutils import basis
from rsutils.models import load_model

TOKENS = torch.randint(0, 257, (1, 5), generator=torch.Generator().manual_seed(5))
OURS = str(Path(rsutils.__file__).parent)
CONTEXTS = (str(Path(basis.contexts.__file__)),)
FORWARD = (OURS, str(Path(transformer_lens.__file__).parent), str(Path(transformers.__file__).parent / "models"))


@pytest.fixture(scope="module", params=["gpt2", "llama", "gpt_neox"])
def own(request, directories):
    """A model of each norm and kind of block: these tests leave it as it was, or fail."""
    model = load_model(directories[request.param])
    model(TOKENS)  # TransformerLens adds some hooks of its own to the first pass
    return model


def contexts(model, dtype=torch.float64):
    R = basis.random_rotation(model.cfg.d_model)
    return {
        "rotated": lambda: basis.rotated(model, R, dtype),
        "unfolded": lambda: basis.unfolded(model),
        "rms_norms": lambda: basis.rms_norms(model),
    }


def state(model) -> dict:
    """All that a context may touch: weights and where they lie, hooks, replaced forwards, marks, and the hook level."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    tensors = {name: t for name, t in (*model.named_parameters(), *model.named_buffers())}
    return {
        "weights": {name: (t.dtype, t.data_ptr(), t.detach().clone()) for name, t in tensors.items()},
        "hooks": {(name, kind): list(getattr(m, kind)) for name, m in model.named_modules() for kind in kinds},
        "forwards": [name for name, module in model.named_modules() if "forward" in vars(module)],
        "marks": set(vars(model).get("inside", ())),
    }


def assert_as_before(model, before, logits, fault="") -> None:
    now = state(model)
    for name, (dtype, place, values) in before["weights"].items():
        assert now["weights"][name][:2] == (dtype, place), f"{name} lies elsewhere or in another precision {fault}"
        assert torch.equal(now["weights"][name][2], values), f"{name} changed {fault}"
    for what in ("hooks", "forwards", "marks"):
        assert now[what] == before[what], f"{what} {fault}"
    assert torch.equal(model(TOKENS), logits), f"the model computes something else {fault}"


def test_contexts_stand_inside_one_another_in_every_order_and_precision(own):
    before, logits = state(own), own(TOKENS)
    for dtype in (torch.float32, torch.float64):
        results = []
        for order in permutations(contexts(own, dtype).values()):
            with ExitStack() as stack:
                for enter in order:
                    stack.enter_context(enter())
                results.append(own(TOKENS))
        assert all(torch.equal(result, results[0]) for result in results)
        assert results[0].dtype == dtype
        assert (results[0] - logits).abs().max() > 0.05  # gains are not folded, so this rotation is no symmetry
    assert_as_before(own, before, logits)


@pytest.mark.parametrize("kind", ["rotated", "unfolded", "rms_norms"])
def test_a_second_one_of_a_kind_is_refused_and_the_first_goes_on(own, kind):
    before, logits = state(own), own(TOKENS)
    enter = contexts(own)[kind]
    with enter():
        inside = own(TOKENS)
        with pytest.raises(rsutils.CourseError, match=f"not inside .*{kind}.* yet"), enter():
            pass
        assert torch.equal(own(TOKENS), inside)
    assert_as_before(own, before, logits)


def test_what_is_rotated_cannot_be_measured_again_inside(own):
    before, logits = state(own), own(TOKENS)
    with contexts(own)["rotated"](), pytest.raises(rsutils.CourseError, match="not inside rotated or untrained yet"):
        basis.max_change(own, TOKENS, basis.random_rotation(own.cfg.d_model))
    assert_as_before(own, before, logits)


def test_what_is_untrained_is_random_small_alike_in_every_pass_and_gone_afterwards(own):
    before, logits = state(own), own(TOKENS)
    width = own.original_model.config.initializer_range
    seen = {}

    def keep(value, hook):
        seen[hook.name] = value

    names = ["hook_embed", "blocks.0.hook_mlp_out", "blocks.1.hook_mlp_out"]
    with basis.untrained(own, seed=1):
        with own.hooks(fwd_hooks=[(name, keep) for name in names]):
            there = own(TOKENS)
        embed, first, second = (seen[name] for name in names)
        assert torch.equal(own(TOKENS), there)
        with pytest.raises(rsutils.CourseError, match="not inside rotated or untrained yet"), basis.untrained(own):
            pass
    with basis.untrained(own, seed=2):
        assert not torch.allclose(own(TOKENS), there)
    assert 0.8 * width < embed.std() < 1.2 * width
    assert not torch.allclose(first, second)
    assert_as_before(own, before, logits)


@shapes.every_family
def test_every_family_says_how_wide_it_starts(model):
    before = model(TOKENS)
    with basis.untrained(model):
        there = model(TOKENS)
    assert there.isfinite().all() and not torch.allclose(there, before)
    assert torch.equal(model(TOKENS), before)


def test_untrained_is_where_training_started():
    """The stream is as long, and has as little of a basis, as in the embedded model at step 0, other random weights."""
    model, start = load_model("embedded"), load_model(rsutils.models.checkpoints()[0])
    tokens = torch.randint(0, model.cfg.d_vocab, (5, 31), generator=torch.Generator().manual_seed(5))

    def streams(of):
        return of.run_with_cache(tokens)[1].accumulated_resid(layer=-1, incl_mid=False)

    with basis.untrained(model):
        ours = streams(model)
    norms = [each.norm(dim=-1).mean(dim=(1, 2)) for each in (ours, streams(start))]
    torch.testing.assert_close(*norms, rtol=0.1, atol=0)
    assert abs(basis.kurtosis(ours).median() - 3) < 0.3 < basis.kurtosis(streams(model)).median() - 3


def test_a_pass_that_failed_inside_does_not_spoil_the_next(own):
    """The next pass starts from the model's weights, and not from the rotated ones that the failed one left."""
    before, logits = state(own), own(TOKENS)

    def interrupt(value, hook):
        raise KeyboardInterrupt

    with contexts(own)["rotated"]():
        right = own(TOKENS)
        with suppress(KeyboardInterrupt), own.hooks(fwd_hooks=[("blocks.1.hook_resid_post", interrupt)]):
            own(TOKENS)
        assert torch.equal(own(TOKENS), right)
    assert_as_before(own, before, logits)


class Fault(BaseException):
    """Comes anywhere and is caught by nobody, like Ctrl-C."""


class Injector:
    """Counts line events in the files under ``roots``, and raises ``Fault`` at the chosen one.

    With ``once``, a line counts the first time only.
    """

    def __init__(self, roots: tuple[str, ...], once: bool, at: int = -1) -> None:
        self.roots, self.once, self.at = roots, once, at
        self.lines, self.count = set(), 0

    def __call__(self, frame, event, _):
        return self.line if frame.f_code.co_filename.startswith(self.roots) else None

    def line(self, frame, event, _):
        place = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and not (self.once and place in self.lines):
            self.lines.add(place)
            self.count += 1
            if self.count - 1 == self.at:
                raise Fault(place)
        return self.line

    def __enter__(self):
        self.tracer = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *_):
        sys.settrace(self.tracer)


def assert_survives_faults(model, enters, roots, once, step=1, first=0) -> None:
    """Raise at the ``first`` line event and every ``step``th after it, a run each, and compare after each."""
    before, logits = state(model), model(TOKENS)

    def run(at: int = -1) -> int:
        with Injector(roots, once, at) as injector, ExitStack() as stack:
            for enter in enters:
                stack.enter_context(enter())
            model(TOKENS)
        return injector.count

    count = run()
    assert count > 20
    for at in range(first, count, step):
        with pytest.raises(Fault) as fault:
            run(at)
        place = fault.value.args
        del fault  # its frames would keep alive what a fault may have left behind
        assert_as_before(model, before, logits, place)


@pytest.mark.parametrize("kind", ["rotated", "unfolded", "rms_norms"])
def test_a_fault_at_any_line_of_a_context_leaves_the_model_as_it_was(own, kind):
    enter = contexts(own)[kind]
    assert_survives_faults(own, [enter], CONTEXTS, once=True)
    assert_survives_faults(own, [enter], CONTEXTS, once=False, step=37, first=7)  # lines that run again, in loops


def test_a_fault_in_the_middle_of_a_pass_leaves_the_model_as_it_was(own):
    assert_survives_faults(own, contexts(own).values(), FORWARD, once=True, step=23, first=own.cfg.d_model % 23)
