"""Exercises of chapter 01: rotating readers, writers and circuits, folding a norm, and what a rotation spoils."""

import torch

from rsutils.teaching.checks import Exercise
from rsutils.teaching.questions import Question


def rotate_reader(W, R):
    return R.T @ W


def rotate_writer(W, R):
    return W @ R


def rotate_circuit(W_OV, R):
    return R.T @ W_OV @ R


def fold(gain, bias, W, b):
    return gain[:, None] * W, bias @ W + b


def fix_ones(H, R_small):
    d_model = len(H)
    inner = torch.eye(d_model)
    inner[1:, 1:] = R_small
    return H @ inner @ H


def kurtosis(x):
    centred = x - x.mean(dim=-1, keepdim=True)
    return (centred**4).mean(dim=-1) / (centred**2).mean(dim=-1) ** 2


def _inner(R_small, first):
    one = torch.ones(1, 1)
    return torch.block_diag(one, R_small) if first else torch.block_diag(R_small, one)


def _reflection(d_model):
    normal = torch.full((d_model,), d_model**-0.5)
    normal[0] -= 1
    return torch.eye(d_model) - 2 * torch.outer(normal, normal) / (normal @ normal)


def _widths(draw):
    """``d_model`` and ``d_mlp``: one in three equal, so that a wrong side runs there; elsewhere it raises."""
    d_model, d_mlp = draw.sizes(2)
    return d_model, d_model if draw.deal(True, False, False) else d_mlp


def _reader_inputs(draw):
    d_model, d_mlp = _widths(draw)
    return draw.normal(d_model, d_mlp), draw.rotation(d_model)


def _writer_inputs(draw):
    d_model, d_mlp = _widths(draw)
    return draw.normal(d_mlp, d_model), draw.rotation(d_model)


def _circuit_inputs(draw):
    (d_model,) = draw.sizes(1)
    return draw.normal(d_model, d_model), draw.rotation(d_model)


def _fold_inputs(draw):
    d_model, d_mlp = _widths(draw)
    return 1 + draw.normal(d_model), draw.normal(d_model), draw.normal(d_model, d_mlp), draw.normal(d_mlp)


def _fix_ones_inputs(draw):
    (d_model,) = draw.sizes(1)
    return _reflection(d_model), draw.rotation(d_model - 1)


EXERCISES = [
    Exercise(
        id="01.1",
        title="A reader in the new basis",
        stars=1,
        task="The stream is written as `x' = x @ R`. Write `rotate_reader(W, R)` so that `x' @ rotate_reader(W, R)` equals "
        "`x @ W`. `W` is `[d_model, d_mlp]`, `R` is orthogonal.",
        solution=rotate_reader,
        inputs=_reader_inputs,
        returns="rotated W [d_model, d_mlp]",
        hints=("The new reader has to undo the rotation first.", "`x' @ R.T` is `x` again, since `R @ R.T = I`."),
        learned="What the reader computes is what it was: neurons, queries and logits cannot tell in which basis the "
        "stream is written.",
        mistakes={
            "R is on the right side but not transposed: this rotates once more instead of back": lambda W, R: R @ W,
            "this is the old reader: it would read the wrong coordinates of x'": lambda W, R: W,
            "the result is transposed: a reader keeps the shape [d_model, d_mlp]": lambda W, R: (R.T @ W).T,
            "`W @ R` is for a writer: a reader has the stream on its left side": lambda W, R: W @ R,
            "a reader meets the stream at one end only: neurons are not rotated": lambda W, R: R.T @ W @ R,
        },
        alternatives=(
            lambda W, R: torch.linalg.solve(R, W),
            lambda W, R: torch.einsum("ij,ik->jk", R, W),
        ),
    ),
    Exercise(
        id="01.2",
        title="A writer in the new basis",
        stars=1,
        task="Write `rotate_writer(W, R)`: what the writer `W`, of shape `[d_mlp, d_model]`, has to become so that it adds "
        "to `x' = x @ R` what it used to add to `x`.",
        solution=rotate_writer,
        inputs=_writer_inputs,
        returns="rotated W [d_mlp, d_model]",
        hints=("Every row of a writer is a vector of the stream.", "Vectors of the stream are rotated with `@ R`."),
        learned="Writer and reader turn together, `(W_out @ R) @ (R.T @ W_in) = W_out @ W_in`: the weights between "
        "neurons do not depend on the basis.",
        mistakes={
            "this rotates back: a written vector turns the same way as the stream": lambda W, R: W @ R.T,
            "this is the old writer: it would write in the old basis": lambda W, R: W,
            "the result is transposed: a writer keeps the shape [d_mlp, d_model]": lambda W, R: (W @ R).T,
            "R stands on the left: a writer has the stream on its right side": lambda W, R: R @ W,
            "`R.T @ W` is for a reader: a writer has the stream on its right side": lambda W, R: R.T @ W,
            "a writer meets the stream at one end only: neurons are not rotated": lambda W, R: R.T @ W @ R,
        },
        alternatives=(
            lambda W, R: (R.T @ W.T).T,
            lambda W, R: torch.stack([row @ R for row in W]),
        ),
    ),
    Exercise(
        id="01.3",
        title="A circuit has two ends",
        stars=2,
        task="`W_OV = W_V @ W_O` reads the stream and writes to it. Write `rotate_circuit(W_OV, R)`. It is square, so a wrong "
        "side will not show as an error of shape.",
        solution=rotate_circuit,
        inputs=_circuit_inputs,
        returns="rotated W_OV [d_model, d_model]",
        hints=(
            "Rotate `W_V` as a reader and `W_O` as a writer.",
            "Then multiply the two and read off what stands where.",
        ),
        learned="Its eigenvalues and singular values are the same in both bases; its entries are not.",
        mistakes={
            "this is the formula for column vectors (R W R^T): here vectors are rows": lambda W_OV, R: R @ W_OV @ R.T,
            "the reading end is missing: only what is written was rotated": lambda W_OV, R: W_OV @ R,
            "the writing end is missing: only what is read was rotated": lambda W_OV, R: R.T @ W_OV,
            "this is the old circuit: in the new basis it would read and write the wrong coordinates": (
                lambda W_OV, R: W_OV
            ),
            "both ends are transposed: only the reading end has to undo the rotation": lambda W_OV, R: R.T @ W_OV @ R.T,
            "the reading end is not transposed": lambda W_OV, R: R @ W_OV @ R,
            "the circuit is transposed: it reads on the left and writes on the right": lambda W_OV, R: R.T @ W_OV.T @ R,
            "the writing end is missing, and the reading end is not transposed": lambda W_OV, R: R @ W_OV,
            "the reading end is missing, and the writing end is rotated back": lambda W_OV, R: W_OV @ R.T,
        },
        alternatives=(
            lambda W_OV, R: torch.linalg.inv(R) @ W_OV @ R,
            lambda W_OV, R: torch.einsum("ia,ij,jb->ab", R, W_OV, R),
        ),
    ),
    Exercise(
        id="01.4",
        title="Fold a norm",
        stars=2,
        task="A norm hands on `x * gain + bias` and a reader computes `(x * gain + bias) @ W + b`. Write "
        "`fold(gain, bias, W, b)` that returns `(W_folded, b_folded)` with `x @ W_folded + b_folded` equal to it for every x.",
        solution=fold,
        inputs=_fold_inputs,
        returns=("W_folded [d_model, d_mlp]", "b_folded [d_mlp]"),
        hints=(
            "Multiply out. Two terms have an `x` in them, two have none.",
            "Row i of `W` is read from coordinate i of `x`.",
        ),
        learned="A gain belongs to those who read after it: with it folded in, the readers of one stream are on one "
        "scale.",
        mistakes={
            "the gain is not folded into W": lambda gain, bias, W, b: (W, bias @ W + b),
            "the norm's bias is lost: what W makes of it belongs in b": lambda gain, bias, W, b: (gain[:, None] * W, b),
            "the bias went through the gain too: the norm adds it after the gain": lambda gain, bias, W, b: (
                gain[:, None] * W,
                bias @ (gain[:, None] * W) + b,
            ),
            "the norm's bias is added without going through W": lambda gain, bias, W, b: (
                gain[:, None] * W,
                bias.sum() + b,
            ),
            "the old b is lost": lambda gain, bias, W, b: (gain[:, None] * W, bias @ W),
            "the gain is divided out: folding multiplies it into W": lambda gain, bias, W, b: (
                W / gain[:, None],
                bias @ W + b,
            ),
            "the two have changed places: first the weights, then the bias": lambda gain, bias, W, b: (
                bias @ W + b,
                gain[:, None] * W,
            ),
            "`gain @ W` sums over the coordinates: scale the rows of W, `gain[:, None] * W`": lambda gain, bias, W, b: (
                gain @ W,
                bias @ W + b,
            ),
            "`gain * W` scales the columns of W, the neurons: scale the rows, `gain[:, None] * W`": lambda gain, bias, W, b: (
                gain * W,
                bias @ W + b,
            ),
            "the norm's bias is added to b and has not gone through W": lambda gain, bias, W, b: (
                gain[:, None] * W,
                bias + b,
            ),
        },
        alternatives=(lambda gain, bias, W, b: (torch.diag(gain) @ W, torch.einsum("i,ij->j", bias, W) + b),),
    ),
    Exercise(
        id="01.5",
        title="A rotation that LayerNorm does not mind",
        stars=3,
        task="`H` is a reflection that swaps the first axis and the direction of all ones (`H @ H = I`). Write "
        "`fix_ones(H, R_small)`: from a rotation `R_small` of `d_model - 1` directions make one of `d_model` that leaves the "
        "all-ones vector where it is.",
        solution=fix_ones,
        inputs=_fix_ones_inputs,
        returns="rotation [d_model, d_model]",
        hints=(
            "Go to a basis whose first axis is the all-ones direction, rotate the other axes there, come back.",
            "`torch.block_diag` puts a 1 in front of `R_small`; `H` takes you there and `H` takes you back.",
        ),
        learned="LayerNorm takes off the mean, and so it singles out one direction, all ones. A rotation that leaves "
        "that direction alone goes unnoticed.",
        mistakes={
            "this leaves the first axis alone, not the all-ones direction: H is missing": lambda H, R_small: _inner(
                R_small, first=True
            ),
            "H takes the all-ones direction to the first axis, and here the last one is left alone": lambda H, R_small: (
                H @ _inner(R_small, first=False) @ H
            ),
            "both reflections are right, and the rotation is transposed: rows are vectors, use `R_small` as it is": (
                lambda H, R_small: H @ _inner(R_small.T, first=True) @ H
            ),
            "you came back and did not go there: H stands on both sides": lambda H, R_small: (
                _inner(R_small, first=True) @ H
            ),
            "you went there and did not come back: H stands on both sides": lambda H, R_small: (
                H @ _inner(R_small, first=True)
            ),
            "this leaves the last axis alone, not the all-ones direction: H is missing": lambda H, R_small: _inner(
                R_small, first=False
            ),
            "the all-ones direction is lost: a 1 stands in front of `R_small`, not a 0": lambda H, R_small: (
                H[:, 1:] @ R_small @ H[1:]
            ),
            "this is the reflection alone: `R_small` is not used": lambda H, R_small: H,
        },
        alternatives=(lambda H, R_small: H[:, :1] @ H[:1] + H[:, 1:] @ R_small @ H[1:],),
    ),
    Exercise(
        id="01.6",
        title="A number that sees the basis",
        stars=1,
        task="Write `kurtosis(x)` for `x` of shape `[pos, d_model]`: for each position, the mean fourth power of the centred "
        "coordinates over the square of their mean square. Gaussian coordinates give 3.",
        solution=kurtosis,
        inputs=lambda draw: (draw.normal(*draw.sizes(2)) + draw.uniform(0.5, 1.0),),
        returns="kurtosis [pos]",
        hints=("Everything happens over the coordinates, the last axis.", "Centre first; do not subtract 3."),
        learned="A rotation keeps every norm and angle and changes this number: so it can say whether coordinates "
        "stand out.",
        mistakes={
            "this is the excess kurtosis: the course keeps the 3": lambda x: kurtosis(x) - 3,
            "the coordinates are not centred": lambda x: (x**4).mean(-1) / (x**2).mean(-1) ** 2,
            "this runs over positions: the question is whether coordinates stand out": lambda x: kurtosis(x.T),
            "torch's `std` and `var` divide by n - 1 unless told otherwise: here a mean square is asked for": lambda x: (
                kurtosis(x) * ((x.shape[-1] - 1) / x.shape[-1]) ** 2
            ),
            "these are sums over coordinates: take means": lambda x: kurtosis(x) / x.shape[-1],
            "this is one number for all positions together: keep the positions apart": lambda x: kurtosis(x.flatten()),
            "this is the third power, the skewness: take the fourth": lambda x: (
                ((x - x.mean(-1, keepdim=True)) ** 3).mean(-1) / x.var(-1, correction=0) ** 1.5
            ),
            "the mean square has to be squared": lambda x: kurtosis(x) * x.var(-1, correction=0),
            "the 3 is taken off, and torch's `std` and `var` divide by n - 1: keep the 3, and take a mean square": lambda x: (
                kurtosis(x) * ((x.shape[-1] - 1) / x.shape[-1]) ** 2 - 3
            ),
            "centred by the mean over positions: take each position's mean over its coordinates": lambda x: (
                ((c := x - x.mean(0)) ** 4).mean(-1) / (c**2).mean(-1) ** 2
            ),
            "centred by the mean of all numbers: take each position's own": lambda x: (
                ((c := x - x.mean()) ** 4).mean(-1) / (c**2).mean(-1) ** 2
            ),
            "this is one number, the means run over positions too: keep the positions apart": lambda x: (
                ((c := x - x.mean(-1, keepdim=True)) ** 4).mean() / (c**2).mean() ** 2
            ),
            "the mean square has to be squared, and torch's `var` divides by n - 1 unless told otherwise": lambda x: (
                kurtosis(x) * x.var(-1, correction=0) ** 2 / x.var(-1)
            ),
            "divided by the standard deviation: its fourth power belongs there": lambda x: (
                kurtosis(x) * x.std(-1, correction=0) ** 3
            ),
            "not divided yet: the fourth power alone depends on the size of the coordinates": lambda x: (
                kurtosis(x) * x.var(-1, correction=0) ** 2
            ),
        },
        alternatives=(
            lambda x: ((x - x.mean(-1, keepdim=True)) / x.std(-1, correction=0, keepdim=True)).pow(4).mean(-1),
        ),
    ),
]

QUIZ = [
    Question(
        "How does `W_U` change when the stream is rotated by `R`?",
        {
            "`W_U @ R`": "That is what happens to a writer. `W_U` ends in the vocabulary, which is not rotated.",
            "`R.T @ W_U`": "It reads the stream: its first axis is `d_model`.",
            "`R @ W_U @ R.T`": "That is for a matrix with the stream on both sides, and even there the order is `R.T @ W @ R`.",
            "not at all": "Then it would read the old coordinates out of a stream that has new ones.",
        },
        "`R.T @ W_U`",
    ),
    Question(
        "Which claim can change when the basis of the stream changes?",
        {
            "this neuron fires on names": "A neuron's activation is computed from what it reads, and its reader turns with the stream.",
            "this head attends to the previous token": "Scores are products of queries and keys, which are the same in every basis of the stream.",
            "one coordinate of the stream is huge": "Neurons, patterns and angles are the same in every basis; coordinates are the basis.",
            "these two writes are orthogonal": "A rotation keeps every angle: `(a @ R) @ (b @ R) = a @ b`.",
        },
        "one coordinate of the stream is huge",
    ),
    Question(
        "“The residual stream has no privileged basis” is ...",
        {
            "a fact about every trained model": "Training can make some coordinates stand out: measure the kurtosis of a model's stream before you say it of that model.",
            "a symmetry of the architecture, which training need not respect": "The architecture allows rotations. Training may prefer coordinates all the same: Elhage et al. (2023) give evidence that Adam, which steps along them, does.",
            "wrong, because of GELU": "GELU acts on the neurons, which have a basis of their own, not on the coordinates of the stream.",
        },
        "a symmetry of the architecture, which training need not respect",
    ),
]
