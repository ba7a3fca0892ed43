"""The families that the algebra of edges covers; the others decline in one sentence (``test_edges``)."""

import pytest
import shapes

UNCOVERED = {
    "gemma2": "norms after them",
    "gemma3_text": "norms after them",
    "gptj": "turns neighbouring coordinates",
    "olmo2": "norms after them",
    "qwen3": "normalises its queries and keys",
}

# Their attention is computed elsewhere: TransformerLens shows its scores and its pattern, and has no fork before it.
OPAQUE = ("gpt_neo", "opt")


@pytest.fixture
def transparent(request, model):
    """The model, unless its attention is opaque."""
    if request.node.callspec.params["model"] in OPAQUE:
        pytest.skip("its attention cannot be reached into")
    return model


@pytest.fixture(params=OPAQUE)
def opaque(request, small_models):
    """Each small random model with opaque attention."""
    return small_models[request.param]


@pytest.fixture(params=sorted(set(shapes.CONFIGS) - set(UNCOVERED)))
def model(request, small_models):
    """Each small random model that is covered, in turn."""
    return small_models[request.param]


@pytest.fixture(params=UNCOVERED)
def uncovered(request, small_models):
    """Each small random model that is not, with why."""
    return small_models[request.param], UNCOVERED[request.param]
