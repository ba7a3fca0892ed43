"""NaN and infinity are found in a weights file, whatever its type and wherever they stand."""

import pytest
import torch
from safetensors.torch import save_file

from rsutils.models import finite


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_number_that_is_not_finite_is_found_in_its_tensor(tmp_path, monkeypatch, dtype, value):
    monkeypatch.setattr(finite, "CHUNK", 16)  # eight numbers of the smallest type: the last of 13 stands behind
    tensors = {name: torch.linspace(-3, 3, 13).to(dtype) for name in ("a", "b")}
    save_file(tensors | {"counts": torch.arange(5)}, tmp_path / "w.safetensors", {"format": "pt"})
    assert finite.first_not_finite(tmp_path / "w.safetensors") is None
    tensors["b"][-1] = value
    save_file(tensors, tmp_path / "w.safetensors")
    assert finite.first_not_finite(tmp_path / "w.safetensors") == "b"


def test_the_largest_numbers_are_finite(tmp_path):
    save_file({"a": torch.tensor([torch.finfo(torch.float32).max, -0.0])}, tmp_path / "w.safetensors")
    assert finite.first_not_finite(tmp_path / "w.safetensors") is None
