"""Loading: the logits are Hugging Face's, the weights are processed, bad input gets one line, no network is used."""

import gc
import hashlib
import json
import shutil
import socket
import subprocess
import sys

import pytest
import shapes
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformer_lens.model_bridge import TransformerBridge

import rsutils
from rsutils import models
from rsutils.models import files
from rsutils.models.families import FAMILIES

KINDS = list(shapes.CONFIGS)
TOKENS = torch.randint(0, 257, (2, 17), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_hugging_face(kind, directories, small_models):
    reference = transformers.AutoModelForCausalLM.from_pretrained(directories[kind], attn_implementation="eager")
    with torch.no_grad():
        expected = reference(TOKENS).logits
    assert expected.std() > 0.3  # a flat output would agree with anything
    torch.testing.assert_close(small_models[kind](TOKENS), expected, atol=2e-5, rtol=0)


# What TransformerLens leaves where it is: constants, gains of norms after writers and inside heads, the mean row that a
# LayerNorm never shows to a gate, and gains of one that are no parameters.
NOT_THEIRS = {
    "gemma": {"W_E"},
    "gemma2": {"W_E", "W_Q", "W_O", "W_out"},
    "gemma3_text": {"W_E", "W_Q", "W_K", "W_O", "W_out"},
    "gpt_neo": {"W_Q", "b_Q"},
    "granite": {"W_E", "W_U", "W_Q", "W_O", "W_out"},
    "olmo": {"W_U", "W_gate"},
    "olmo2": {"W_U", "W_Q", "W_K", "W_O", "W_out"},
    "qwen3": {"W_Q", "W_K"},
    "stablelm": {"W_gate"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_of_compatibility_mode(kind, directories, small_models):
    """TransformerLens folds the same weights by another route (its copies of the model, ours in place)."""
    theirs = TransformerBridge.boot_transformers(str(directories[kind]), device="cpu")
    theirs.enable_compatibility_mode(disable_warnings=True, center_unembed=False)
    ours = small_models[kind]
    names = ["W_E", "W_U", "b_U", "W_in", "W_out", "W_Q", "W_K", "W_V", "W_O"]
    for part, more in (("mlp", ("W_gate", "b_in", "b_out")), ("attn", ("b_O", "b_Q", "b_K"))):
        # Some biases are in one of the two alone: zeros to fold into.
        both = [getattr(model.blocks[0], part) for model in (ours, theirs)]
        names += [name for name in more if all(getattr(each, name) is not None for each in both)]
    for name in names:
        mine, other = getattr(ours, name), getattr(theirs, name)
        if name in NOT_THEIRS.get(kind, ()):
            assert (mine - other).abs().max() > 1e-2, f"{name} is theirs too"
        else:
            torch.testing.assert_close(mine, other, atol=1e-6, rtol=0, msg=name)
    torch.testing.assert_close(ours(TOKENS).log_softmax(-1), theirs(TOKENS).log_softmax(-1), atol=2e-5, rtol=0)


WRITERS, HEADS, NEAR = "writers are normalised", "queries and keys are normalised", "some layers attend to near tokens"
SPECIAL = {
    "gemma2": [WRITERS, "scores of attention are capped at 5", "logits are capped at 3", NEAR],
    "gemma3_text": [WRITERS, HEADS, NEAR],
    "gpt_neo": [NEAR],
    "olmo2": [WRITERS, HEADS],
    "qwen3": [HEADS],
    "smollm3": ["some layers know no positions"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_model_has_beyond_the_formulas_is_said_and_nothing_else(kind, small_models):
    said, expected = models.special(small_models[kind]), SPECIAL.get(kind, [])
    assert [sentence[: len(start)] for sentence, start in zip(said, expected, strict=True)] == expected
    assert repr(small_models[kind].info).splitlines()[3:] == said


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2", "olmo2", "qwen3"])
def test_gains_of_zero_are_folded_too(kind, directories, tmp_path):
    """In norms before readers, after writers and inside heads: what they shut off stays shut off."""
    directory = copy_of(directories[kind], tmp_path)
    file = directory / "model.safetensors"
    weights = load_file(file)
    gains = [key for key, value in weights.items() if value.ndim == 1 and key.endswith("weight")]
    for key in gains:
        weights[key][2:7] = -1 if FAMILIES[kind].gain == "less one" else 0
    save_file(weights, file, {"format": "pt"})
    with torch.no_grad():
        expected = transformers.AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager")(TOKENS)
    torch.testing.assert_close(rsutils.load_model(directory)(TOKENS), expected.logits, atol=2e-5, rtol=0)


@shapes.every_family
def test_norms_are_folded_and_layernorm_writers_centred(model):
    for norm, _ in models.norms(model):
        assert torch.equal(norm.weight, torch.ones_like(norm.weight))
    is_centred = model.blocks[0].mlp.W_out.mean(-1).abs().max() < 1e-7
    assert is_centred == model.info.centred == (model.cfg.normalization_type == "LN")
    assert "folded" in repr(model.info)
    assert ("not centred" in repr(model.info)) == (not is_centred)


def test_unfolded_weights_would_not_pass(directories):
    """The random gains matter: without folding, reading weights differ from ours by far more than the tolerance."""
    raw = rsutils.load_model(directories["llama"], processed=False)
    folded = rsutils.load_model(directories["llama"])
    assert (raw.W_in - folded.W_in).abs().max() > 0.1
    assert "not folded" in repr(raw.info)
    torch.testing.assert_close(raw(TOKENS), folded(TOKENS), atol=2e-5, rtol=0)


def test_loading_leaves_the_files_alone(directories):
    file = directories["gpt2"] / "model.safetensors"
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    rsutils.load_model(directories["gpt2"])
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before


def test_weights_named_as_in_gpt2s_own_file_load_whole(directories, small_models, tmp_path):
    """It leaves out the model's prefix and holds the causal masks as tensors of their own."""
    directory = copy_of(directories["gpt2"], tmp_path)
    file = directory / "model.safetensors"
    weights = {key.removeprefix("transformer."): value for key, value in load_file(file).items()}
    masks = {f"h.{layer}.attn.bias": torch.ones(1, 1, 61, 61).tril() for layer in range(3)}
    save_file(weights | masks, file, {"format": "pt"})
    model = rsutils.load_model(directory)
    assert torch.equal(model(TOKENS), small_models["gpt2"](TOKENS))
    assert model.info.n_params == small_models["gpt2"].info.n_params


def test_nothing_requires_gradients_and_model_is_in_eval_mode(model):
    assert not any(p.requires_grad for p in model.parameters())
    assert not model.training


def test_environment_variable_names_the_model(directories, monkeypatch):
    monkeypatch.setenv("RSUTILS_MODEL", str(directories["llama"]))
    assert rsutils.load_model().cfg.gated_mlp


def test_embedded_model_loads_with_sockets_blocked():
    """A process in which any socket at all raises; the hub's offline switch is not set."""
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise OSError('socket used')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse; socket.create_connection = refuse\n"
        "import rsutils; model = rsutils.load_model(); model(model.to_tokens('Once')); print(model.info)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ships with rsutils" in done.stdout


def test_checkpoints_load_and_differ(embedded):
    names = rsutils.checkpoints()
    assert 6 <= len(names) <= 10
    first, last = rsutils.load_model(names[0]), rsutils.load_model(names[-1])
    assert first.cfg.d_model == embedded.cfg.d_model
    assert not torch.allclose(first.W_in, last.W_in, atol=1e-2)


# Bad input: every error is a CourseError of one line that says what to do.


def error_of(name) -> str:
    with pytest.raises(rsutils.CourseError) as caught:
        rsutils.load_model(name)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value._render_traceback_() == [f"CourseError: {message}"]
    return message


def test_unplugged_network_names_the_three_ways_out():
    message = error_of("EleutherAI/pythia-70m")
    assert all(way in message for way in ("load_model('embedded')", "local directory", "cache"))


def test_missing_directory():
    assert "no directory" in error_of("/nowhere/at/all")


def test_unknown_checkpoint():
    assert "expected a checkpoint from embedded@0, " in error_of("embedded@7")


def test_directory_without_a_model(tmp_path):
    assert "config.json" in error_of(tmp_path)


def test_encoder_only_model(tmp_path):
    transformers.BertConfig().save_pretrained(tmp_path)
    assert "decoder-only" in error_of(tmp_path)


def copy_of(directory, tmp_path):
    return shutil.copytree(directory, tmp_path / "copy")


def test_cut_off_weights(directories, tmp_path):
    directory = copy_of(directories["gpt2"], tmp_path)
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    assert "damaged or cut off" in error_of(directory)


def test_missing_shard(directories, tmp_path):
    directory = copy_of(directories["gpt2"], tmp_path)
    index = {"metadata": {}, "weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00002.safetensors" in error_of(directory)


@pytest.mark.parametrize(
    "file, words",
    [
        ("config.json", "config.json of"),
        ("tokenizer.json", "could not be read"),
        ("model.safetensors.index.json", "index.json of"),
    ],
)
def test_damaged_file(directories, tmp_path, file, words):
    directory = copy_of(directories["gpt2"], tmp_path)
    (directory / file).write_text("{")
    assert words in (message := error_of(directory)) and "fetch" in message


@pytest.mark.parametrize("change", [{"n_layer": 5}, {"n_embd": 130}, {"n_layer": "three"}])
def test_weights_that_do_not_fit_the_config_are_not_made_up(directories, tmp_path, change, caplog):
    directory = copy_of(directories["gpt2"], tmp_path)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | change))
    assert "config.json" in error_of(directory)
    assert not caplog.records


def test_nothing_half_loaded_stays_behind(directories, tmp_path):
    """Not even while the error lives, as the last one does in a notebook."""
    directory = copy_of(directories["gpt2"], tmp_path)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"n_layer": 5}))
    with pytest.raises(rsutils.CourseError) as caught:
        rsutils.load_model(directory)
    gc.collect()
    shape = (65, 3 * 65)
    alive = [p for p in gc.get_objects() if type(p) is torch.nn.Parameter and p.shape == shape and p.requires_grad]
    assert caught.value and not alive


def test_file_that_fails_its_hash(directories, tmp_path):
    directory = copy_of(directories["gpt2"], tmp_path)
    file = directory / "model.safetensors"
    (directory / "SHA256SUMS").write_text(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  model.safetensors\n")
    rsutils.load_model(directory)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert "does not match its hash" in error_of(directory)


def test_too_little_memory(directories, monkeypatch):
    monkeypatch.setattr(files, "free_memory", lambda: 50_000_000)
    assert "GB are free" in error_of(directories["gpt2"])


def test_tokens_refuse_empty_and_too_long_text(small_models):
    gpt2 = small_models["gpt2"]
    assert models.tokens(gpt2, "naïve 🙂").shape[1] > 7
    with pytest.raises(rsutils.CourseError, match="empty"):
        models.tokens(gpt2, "")
    with pytest.raises(rsutils.CourseError, match="at most 61"):
        models.tokens(gpt2, "x" * 61)


def test_no_socket_is_opened_by_loading(directories, monkeypatch):
    opened = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: opened.append(address))
    rsutils.load_model(directories["gpt2"])
    assert not opened


def test_suggested_models_are_described():
    said = "\n".join(models.describe(name) for name in models.CHOICES)
    assert said.count("it fits") + said.count("it does not fit") == len(models.CHOICES)
    assert "124 M parameters, 548 MB to download" in said
    assert "0 MB to download" in models.describe("embedded")


def test_a_model_of_ones_own_is_described_too(directories):
    assert "0 M parameters, 0 MB to download" in models.describe(str(directories["gpt2"]))
