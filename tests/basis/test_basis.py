"""A rotation of the stream changes every coordinate and no log-probability, under the conditions the chapter states."""

import pytest
import torch

import rsutils
from rsutils import basis
from rsutils.basis import rotations
from rsutils.models import load_model, norms

TOKENS = torch.randint(0, 257, (2, 17), generator=torch.Generator().manual_seed(5))


@pytest.fixture
def own(request, directories):
    """A model of this kind of the test's own, to write to."""
    return load_model(directories[request.param])


RMS = pytest.mark.parametrize("own", ["llama", "mistral", "qwen2"], indirect=True)
LAYER_NORM = pytest.mark.parametrize("own", ["gpt2", "gpt_neox"], indirect=True)


@RMS
def test_folded_rmsnorm_model_allows_any_rotation(own):
    R = basis.random_rotation(own.cfg.d_model)
    assert basis.max_change(own, TOKENS, R) < 5e-5
    assert basis.max_change(own, TOKENS, R, torch.float64) > 1e-9  # Hugging Face's RMSNorm rounds to float32 ...
    with basis.rms_norms(own):
        assert basis.max_change(own, TOKENS, R, torch.float64) < 1e-11  # ... and this one does not


@LAYER_NORM
def test_folding_and_centring_do_not_rescue_layernorm(own):
    assert basis.max_change(own, TOKENS, basis.random_rotation(own.cfg.d_model)) > 0.05


@LAYER_NORM
def test_layernorm_allows_rotations_that_fix_the_all_ones_vector(own):
    R = basis.fixing_ones(own.cfg.d_model)
    assert basis.max_change(own, TOKENS, R) < 5e-5
    assert basis.max_change(own, TOKENS, R, torch.float64) < 1e-11


@LAYER_NORM
def test_rms_norms_allow_any_rotation(own):
    untouched = basis.log_probs(own, TOKENS)
    with basis.rms_norms(own):
        assert (basis.log_probs(own, TOKENS) - untouched).abs().max() < 5e-5
        assert basis.max_change(own, TOKENS, basis.random_rotation(own.cfg.d_model), torch.float64) < 1e-11
    assert (basis.log_probs(own, TOKENS) - untouched).abs().max() < 5e-5
    assert not any("forward" in vars(norm) for norm, _ in norms(own))


@pytest.mark.parametrize("own", ["llama", "gpt2"], indirect=True)
def test_a_matrix_that_is_no_rotation_changes_the_function(own):
    M = torch.randn(own.cfg.d_model, own.cfg.d_model, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert basis.max_change(own, TOKENS, M) > 0.5


@pytest.mark.parametrize("own", ["gpt2", "gpt_neox", "llama"], indirect=True)
def test_gains_that_are_not_folded_belong_to_their_coordinates(own):
    R = basis.fixing_ones(own.cfg.d_model)
    weights = {name: p.clone() for name, p in own.named_parameters()}
    untouched = basis.log_probs(own, TOKENS)
    with basis.unfolded(own):
        assert (own.blocks[1].ln2.weight - 1).abs().mean() > 0.1
        assert (basis.log_probs(own, TOKENS) - untouched).abs().max() < 5e-5
        assert basis.max_change(own, TOKENS, R) > 0.05
    for name, parameter in own.named_parameters():
        torch.testing.assert_close(parameter, weights[name], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("own", ["llama"], indirect=True)
def test_a_gain_of_zero_unfolds_too(own):
    own.blocks[0].ln1.gain[3] = 0.0
    with basis.unfolded(own):
        assert torch.isfinite(basis.log_probs(own, TOKENS)).all()


@pytest.mark.parametrize("own", ["llama"], indirect=True)
def test_rotation_on_the_wrong_side_changes_the_function(own):
    """Readers take R.T on the left: R on the left is the mistake a square matrix hides."""
    R = basis.random_rotation(own.cfg.d_model)
    before = basis.log_probs(own, TOKENS)
    basis.rotate_(own, R)
    own.blocks[0].mlp.W_in.copy_(R.float() @ R.float() @ own.blocks[0].mlp.W_in)
    assert (basis.log_probs(own, TOKENS) - before).abs().max() > 0.05


@pytest.mark.parametrize("own", ["gpt2", "llama", "gpt_neox"], indirect=True)
def test_every_coordinate_moves_and_no_weight_is_touched(own):
    R = basis.fixing_ones(own.cfg.d_model)
    _, cache = own.run_with_cache(TOKENS)
    weights = {name: p.clone() for name, p in own.named_parameters()}
    with basis.rotated(own, R):
        _, turned = own.run_with_cache(TOKENS)
    for layer in range(own.cfg.n_layers):
        name = f"blocks.{layer}.hook_resid_post"
        torch.testing.assert_close(turned[name], cache[name] @ R.float(), atol=2e-4, rtol=0)
        assert (turned[name] - cache[name]).abs().mean(dim=(0, 1)).min() > 1e-3
    assert all(torch.equal(parameter, weights[name]) for name, parameter in own.named_parameters())
    assert torch.equal(own.run_with_cache(TOKENS)[1][name], cache[name])


@pytest.mark.parametrize("own", ["gpt2", "llama", "gpt_neox"], indirect=True)
def test_rotating_the_weights_themselves_gives_the_same_model_as_rotating_while_it_runs(own):
    R = basis.random_rotation(own.cfg.d_model)
    with basis.rotated(own, R):
        running = basis.log_probs(own, TOKENS)
    basis.rotate_(own, R)
    torch.testing.assert_close(basis.log_probs(own, TOKENS), running, atol=1e-5, rtol=0)


@pytest.mark.parametrize("own", ["gpt2"], indirect=True)
def test_an_interrupted_pass_leaves_the_weights_as_they_were(own):
    weights = {name: p.clone() for name, p in own.named_parameters()}

    def interrupt(value, hook):
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        basis.rotated(own, basis.random_rotation(own.cfg.d_model), torch.float64),
        own.hooks(fwd_hooks=[("blocks.1.attn.hook_pattern", interrupt)]),
    ):
        own(TOKENS)
    assert all(torch.equal(parameter, weights[name]) for name, parameter in own.named_parameters())
    assert {tensor.dtype for tensor in (*own.parameters(), *own.buffers())} == {torch.float32}
    assert torch.isfinite(basis.log_probs(own, TOKENS)).all()


def test_wide_weights_are_rotated_whole():
    """1024 columns at a time: one more than that, and a bias, which has no columns."""
    R = basis.random_rotation(7).float()
    wide, tall, bias = torch.randn(7, 1031), torch.randn(1031, 7), torch.randn(7)
    expected = R.T @ wide, tall @ R, bias @ R
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rotations, "readers", lambda part: [wide])
        patch.setattr(rotations, "writers", lambda part: [tall, bias])
        basis.rotate_(torch.nn.Module(), R)
    for found, right in zip((wide, tall, bias), expected, strict=True):
        torch.testing.assert_close(found, right, atol=1e-5, rtol=0)


@pytest.mark.parametrize("d_model", [13, 16])  # in even dimensions a second axis stays: the eigenvalue 1 repeats
def test_turn_goes_from_identity_to_the_rotation_through_rotations(d_model):
    R = basis.fixing_ones(d_model)
    torch.testing.assert_close(basis.turn(R, 0.0), torch.eye(d_model).double())
    torch.testing.assert_close(basis.turn(R, 1.0), R)
    for amount in (0.2, 0.7):
        part = basis.turn(R, amount)
        torch.testing.assert_close(part @ part.T, torch.eye(d_model).double())
        torch.testing.assert_close(torch.ones(d_model).double() @ part, torch.ones(d_model).double())


def test_bad_input_gets_one_line(small_models, directories):
    raw = load_model(directories["llama"], processed=False)
    with pytest.raises(rsutils.CourseError, match="got one as stored"), basis.unfolded(raw):
        pass
    with pytest.raises(rsutils.CourseError, match="65 x 65, the size of the stream, got"):
        basis.max_change(small_models["gpt2"], TOKENS, torch.eye(7))
    with pytest.raises(rsutils.CourseError, match="determinant"):
        basis.turn(torch.diag(torch.tensor([1.0, 1.0, -1.0])), 0.5)


def test_kurtosis_of_gaussian_is_three_and_of_one_hot_is_large():
    x = torch.randn(7, 100_003, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(basis.kurtosis(x), torch.full((7,), 3.0), atol=0.1, rtol=0)
    assert basis.kurtosis(torch.eye(101)[:3]).min() > 90


@pytest.mark.parametrize("d_model", [5, 8, 13])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rotations_are_rotations(d_model, seed):
    for R in (basis.random_rotation(d_model, seed), basis.fixing_ones(d_model, seed)):
        torch.testing.assert_close(R @ R.T, torch.eye(d_model).double())
        torch.testing.assert_close(torch.linalg.det(R).item(), 1.0)
