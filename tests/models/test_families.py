"""The table of families says what the modules of a model of each family are."""

import copy

import pytest
import shapes
import torch
import transformers

from rsutils import models
from rsutils.errors import CourseError
from rsutils.models import families

KINDS = list(shapes.CONFIGS)


def test_every_family_has_a_small_model_and_none_is_refused_too():
    assert set(shapes.CONFIGS) == set(families.FAMILIES)
    assert not set(families.FAMILIES) & set(families.IN_THE_WAY)
    assert set(families.IN_THE_WAY) <= set(transformers.CONFIG_MAPPING)


@pytest.mark.parametrize("kind", KINDS)
def test_a_familys_properties_are_those_of_its_modules(kind):
    hf_model = shapes.random_model(shapes.CONFIGS[kind])
    family = families.FAMILIES[kind]
    base = hf_model.base_model
    layers = next(m for m in base.modules() if isinstance(m, torch.nn.ModuleList))
    block = {name: type(module).__name__ for name, module in layers[0].named_modules()}
    norms = {name: kind for name, kind in block.items() if kind.endswith("Norm")}
    inside = {name for name in norms if "." in name}
    assert bool(inside) == family.head_norms
    assert {"RMSNorm" if kind.endswith("RMSNorm") else "LayerNorm" for kind in norms.values()} == {family.norm}
    expected = 4 if family.where == "both" else 1 if family.one_norm else 2
    assert len(norms) - len(inside) == expected
    assert any("gate" in name for name in block) == family.gated
    learned = [m for m in base.modules() if isinstance(m, torch.nn.Embedding)]
    assert (len(learned) == 2) == (family.positions == "learned")
    has_gain = all(any(p.ndim == 1 for p in layers[0].get_submodule(name).parameters()) for name in norms)
    assert has_gain == (family.gain != "none")


REFUSED = [
    ("opt", {"do_layer_norm_before": False}, "norms stand on the stream"),
    ("opt", {"word_embed_proj_dim": 13}, "narrower than its stream"),
    ("olmo", {"clip_qkv": 8.0}, "cuts off"),
    ("phi", {"qk_layernorm": True}, "normalise queries and keys with a LayerNorm"),
    ("stablelm", {"qk_layernorm": True}, "normalise queries and keys with a LayerNorm"),
    ("stablelm", {"use_parallel_residual": True}, "in parallel"),
]


@pytest.mark.parametrize("kind, changes, reason", REFUSED)
def test_what_a_configuration_has_in_the_way_is_named(kind, changes, reason, tmp_path):
    config = copy.deepcopy(shapes.CONFIGS[kind])
    assert families.in_the_way(config) == ""
    config.update(changes)
    assert reason in families.in_the_way(config)
    config.save_pretrained(tmp_path)
    with pytest.raises(CourseError, match=reason):
        models.load_model(tmp_path)


@pytest.mark.parametrize("kind", families.IN_THE_WAY)
def test_a_family_that_does_not_load_is_refused_with_its_reason(kind, tmp_path):
    transformers.CONFIG_MAPPING[kind]().save_pretrained(tmp_path)
    with pytest.raises(CourseError) as error:
        models.load_model(tmp_path)
    assert families.IN_THE_WAY[kind] in str(error.value)
    assert "\n" not in str(error.value)
