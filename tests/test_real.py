"""Figures of models we did not make: SmolLM2-135M, one without induction, and GPT-2 small for whoever has it.

``make test-real`` runs the first (the model comes out of a package), ``make test ARGS="-m gpt2"`` the second,
wherever ``rsutils.load_model("gpt2")`` finds GPT-2 in the cache or on the hub.
"""

import pytest
import torch
from control_model import control_model
from real_model import DIRECTORY

import rsutils
from rsutils import basis, heads, models

PROMPT = "When Mary and John went to the store, John gave a drink to"


@pytest.fixture(scope="module")
def smollm2():
    if not (DIRECTORY / "tokenizer.json").is_file():
        pytest.skip("SmolLM2 is not here: `make test-real` fetches it")
    return rsutils.load_model(DIRECTORY)


@pytest.fixture(scope="module")
def gpt2():
    try:
        return rsutils.load_model("gpt2")
    except rsutils.CourseError as error:
        pytest.skip(str(error))


def scores(model) -> dict[str, torch.Tensor]:
    return heads.head_scores(heads.attend(model, heads.repeated_tokens(model, length=50))[0])


@pytest.mark.real
def test_smollm2_heads_play_the_roles_measured_before(smollm2):
    found = scores(smollm2)
    assert abs(found["induction"][18, 6] - 0.88) < 0.06
    assert found["induction"].argmax() == 18 * 9 + 6
    assert abs(found["previous token"][16, 0] - 0.89) < 0.06


@pytest.mark.real
def test_smollm2_previous_token_heads_feed_induction_heads_by_their_keys(smollm2):
    """Percentile of the K-composition z of previous-token to later induction heads among all pairs; chance is 50."""
    found = scores(smollm2)
    scored = heads.composition(heads.circuits(smollm2, offset=1))
    z = {mode: torch.from_numpy(pairs.z) for mode, pairs in scored.items()}
    roles = {role: (found[role] > 0.4).flatten() for role in ("previous token", "induction")}
    pairs = roles["previous token"][:, None] & roles["induction"] & ~z["K"].isnan()
    assert pairs.sum() >= 20

    def percentile(mode):
        every = z[mode][~z[mode].isnan()]
        return torch.stack([(every < value).float().mean() for value in z[mode][pairs]]).mean().item()

    assert percentile("K") > 0.85
    assert percentile("K") > max(percentile("Q"), percentile("V")) + 0.15


@pytest.mark.real
def test_smollm2_induces_as_in_the_textbook(smollm2):
    """Its best induction head has its keys from a previous-token head, and its queries from no head in particular."""
    ids = heads.repeated_tokens(smollm2, length=25, batch=2)
    measured = heads.head_scores(heads.attend(smollm2, ids)[0])
    layer, head = divmod(measured["induction"].argmax().item(), smollm2.cfg.n_heads)
    found = heads.split_preference(smollm2, ids, layer, head)
    assert found.terms.sum().item() == pytest.approx(found.measured, rel=1e-4)
    label = found.names[found.worth["K"].argmax()]
    assert heads.best_role(measured, label)[0] == "previous token"
    assert found.worth["K"].max() > 0.5
    is_head = torch.tensor([name.startswith("L") for name in found.names])
    assert found.worth["Q"][is_head].max() < 0.25
    assert found.names[found.worth["Q"].argmax()] == "MLP 0"


@pytest.mark.real
@pytest.mark.parametrize("length", [25, 40])
def test_a_model_without_induction_is_said_to_have_none(length):
    """Trained on text, and on nothing that repeats: what finds induction heads must find none."""
    directory = control_model()
    if directory is None:
        pytest.skip("the package glassllm, which carries a model without induction, cannot be had")
    model = rsutils.load_model(directory)
    pattern, loss = heads.attend(model, heads.repeated_tokens(model, length))
    found = heads.head_scores(pattern)
    assert loss > torch.tensor(model.cfg.d_vocab).log(), "nothing is copied"
    assert found["induction"].max() < 0.1
    assert heads.who_plays(found, "induction").startswith("induction: played by no head; the nearest, L")
    assert heads.who_plays(found, "duplicate token").startswith("duplicate token: played by no head")


@pytest.mark.real
def test_smollm2_recalls_the_name_and_allows_any_rotation(smollm2):
    tokens = models.tokens(smollm2, PROMPT)
    assert smollm2.to_single_str_token(smollm2(tokens)[0, -1].argmax().item()) == " Mary"
    assert basis.max_change(smollm2, tokens, basis.random_rotation(smollm2.cfg.d_model)) < 1e-3


@pytest.mark.gpt2
def test_gpt2_heads_play_their_published_roles(gpt2):
    """Wang et al. 2022, "Interpretability in the Wild", section 3; there on names, here on random tokens."""
    found = scores(gpt2)
    for role in ("previous token", "duplicate token", "induction"):
        best = found[role].flatten().topk(12).indices.tolist()
        labels = [f"L{i // 12}H{i % 12}" for i in best]
        assert set(labels) & set(heads.GPT2_SMALL_HEADS[role]), f"{role}: {labels}"


@pytest.mark.gpt2
def test_gpt2_has_its_outlier_coordinates(gpt2):
    """Coordinates 138, 378 and 447 stand out in GPT-2 small's stream."""
    _, cache = gpt2.run_with_cache(models.tokens(gpt2, PROMPT))
    size = cache["resid_post", 6][0, 1:].square().mean(dim=0)
    assert len({138, 378, 447} & set(size.topk(5).indices.tolist())) >= 2
