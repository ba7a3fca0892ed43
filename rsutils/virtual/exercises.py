"""Exercises of chapter 03: composing weights in order, closing a ledger, chance, reading a heatmap, a scale that moves."""

import torch
import torch.nn.functional as F

from rsutils.teaching.checks import Exercise
from rsutils.teaching.questions import Question


def virtual_weights(W_out, W_in):
    return W_out @ W_in


def neuron_terms(activations, W_out, w, scale):
    return activations * (W_out @ w) / scale


def pre_activation(written, w, b, scale):
    return written.sum(dim=0) @ w / scale + b


def times_chance(W_out, W_in):
    d_model = W_out.shape[1]
    score = (W_out @ W_in).norm() / (W_out.norm() * W_in.norm())
    return score * d_model**0.5


def read_off(z, rows, columns, colours):
    row, column = divmod(z.abs().argmax().item(), z.shape[1])
    colour = colours[-1] if z[row, column] > 0 else colours[0]
    return columns[column], rows[row], colour


def direct_effect(stream, written, W_in):
    def pre(x):
        return x / x.pow(2).mean(dim=-1, keepdim=True).sqrt() @ W_in

    return pre(stream) - pre(stream - written)


def _two_mlps(draw):
    d_source, d_model, d_destination = draw.sizes(3)
    # In one case of three as wide as the stream, in one as wide as the other MLP: there a wrong order shows in the
    # numbers, elsewhere as an error of shape.
    same = draw.deal("stream", "MLP", "neither")
    d_source = {"stream": d_model, "MLP": d_destination, "neither": d_source}[same]
    return draw.normal(d_source, d_model), draw.normal(d_model, d_destination)


def _one_reader(draw):
    d_source, d_model = draw.sizes(2)
    return draw.normal(d_source), draw.normal(d_source, d_model), draw.normal(d_model), draw.uniform(1.5, 3.0)


def _ledger(draw):
    n_components, d_model = draw.sizes(2)
    written, w, scale = draw.normal(n_components, d_model), draw.normal(d_model), draw.uniform(1.5, 3.0)
    # The bias puts the sum where an activation function bends: neither at zero nor where it is nearly a line.
    total = draw.uniform(0.5, 1.5) * draw.deal(-1, 1)
    return written, w, total - written.sum(dim=0) @ w / scale, scale


def _factors(draw):
    d_source, d_model, d_destination = draw.sizes(3)
    return draw.normal(d_source, d_model), draw.normal(d_model, d_destination)


def _heatmap(draw):
    n_rows, n_columns = draw.sizes(2)
    z = draw.normal(n_rows, n_columns)
    # Signs and scales that between them tell every wrong way to find the colour from every other.
    sign, colours = draw.deal((-1, "red white blue"), (1, "red white blue"), (-1, "blue white red"))
    z[draw.integer(0, n_rows - 1), draw.integer(0, n_columns - 1)] = sign * 2 * z.abs().max()
    labels = [100 + 7 * label for label in draw.normal(n_rows + n_columns).argsort().tolist()]
    return z, labels[:n_rows], labels[n_rows:], colours.split()


def _removal(draw):
    pos, d_model, d_mlp = draw.sizes(3)
    return draw.normal(pos, d_model), draw.normal(pos, d_model), draw.normal(d_model, d_mlp)


def _at(z, cell, rows, columns, colours, blue_is_negative=False):
    row, column = divmod(cell.item(), z.shape[1])
    positive = z[row, column] > 0
    colour = ("red" if positive else "blue") if blue_is_negative else colours[-1] if positive else colours[0]
    return columns[column], rows[row], colour


def _places(z, rows, columns, colours):
    row, column = divmod(z.abs().argmax().item(), z.shape[1])
    return column, row, colours[-1] if z[row, column] > 0 else colours[0]


EXERCISES = [
    Exercise(
        id="03.1",
        title="All virtual weights of two MLPs",
        stars=1,
        task="Write `virtual_weights(W_out, W_in)`: row i, column j is how strongly a later neuron j reads what neuron i "
        "writes. `W_out` is `[d_source, d_model]`, `W_in` is `[d_model, d_destination]`. (The checker's source MLP "
        "is sometimes as wide as the stream: there a wrong order does not show as an error of shape.)",
        solution=virtual_weights,
        inputs=_two_mlps,
        returns="V [source neuron, destination neuron]",
        hints=(
            "Row i of `W_out` and column j of `W_in` are both vectors of the stream: take their inner product.",
            "The source writes first and vectors multiply from the left: writer @ reader.",
        ),
        learned="However many neurons there are, the rank of this matrix is at most `d_model`: all of it goes through "
        "the stream.",
        mistakes={
            "W_in.T @ W_out composes in the wrong order: for most sizes it is an error of shape, and where the source is as "
            "wide as the stream it runs and is wrong": lambda W_out, W_in: W_in.T @ W_out,
            "the numbers are right and transposed: rows are source neurons": lambda W_out, W_in: (W_out @ W_in).T,
            "W_out is transposed: its rows, not its columns, are what neurons write": lambda W_out, W_in: (
                W_out.T @ W_in
            ),
            "there is no activation function between writing and reading": lambda W_out, W_in: F.gelu(W_out @ W_in),
            "this is divided by the norms: the weights themselves are asked for": lambda W_out, W_in: (
                W_out @ W_in / (W_out.norm() * W_in.norm())
            ),
            "these are cosines: the weights themselves are asked for, sizes included": lambda W_out, W_in: (
                F.normalize(W_out, dim=1) @ F.normalize(W_in, dim=0)
            ),
            "the sign is lost: a negative weight is read as its opposite": lambda W_out, W_in: (W_out @ W_in).abs(),
            "`W_in @ W_out` lets the reader write: for MLPs of one width it runs, and compares directions of the stream": (
                lambda W_out, W_in: W_in @ W_out
            ),
        },
        alternatives=(
            lambda W_out, W_in: torch.einsum("im,mj->ij", W_out, W_in),
            lambda W_out, W_in: torch.stack([(row[:, None] * W_in).sum(dim=0) for row in W_out]),
        ),
    ),
    Exercise(
        id="03.2",
        title="From weight to contribution",
        stars=2,
        task="At one token the source MLP's neurons have `activations` (`[d_source]`, after the activation function). A "
        "later neuron reads along `w` (`[d_model]`), and its norm divides the stream by `scale`. Write "
        "`neuron_terms(activations, W_out, w, scale)`: what each source neuron adds to the later neuron's "
        "pre-activation, `[d_source]`.",
        solution=neuron_terms,
        inputs=_one_reader,
        returns="terms [source neuron]",
        hints=(
            "Source neuron i writes `activations[i] * W_out[i]` into the stream.",
            "The reader takes the inner product with `w`, after the stream was divided by `scale`.",
        ),
        learned="A large virtual weight adds nothing where its source neuron is silent: a contribution is a weight "
        "times an activation.",
        mistakes={
            "you applied GELU to the activations: they have been through it, and nothing is nonlinear after that but the "
            "scale": lambda activations, W_out, w, scale: F.gelu(activations) * (W_out @ w) / scale,
            "you applied GELU to the terms: the later MLP's GELU acts on the sum of all terms, after this": (
                lambda activations, W_out, w, scale: F.gelu(activations * (W_out @ w) / scale)
            ),
            "the scale is missing: the reader sees the stream divided by it": (
                lambda activations, W_out, w, scale: activations * (W_out @ w)
            ),
            "the norm divides by its scale, and you multiplied": (
                lambda activations, W_out, w, scale: activations * (W_out @ w) * scale
            ),
            "the activations are missing: these are the weights from neuron to neuron": (
                lambda activations, W_out, w, scale: W_out @ w / scale
            ),
            "this is the whole MLP's term: keep one number a source neuron": (
                lambda activations, W_out, w, scale: (activations @ W_out) @ w / scale
            ),
            "a ReLU is one function too many: the activations have been through theirs": lambda activations, W_out, w, scale: (
                F.relu(activations) * (W_out @ w) / scale
            ),
            "these are vectors of the stream: take their inner product with `w`, one number a neuron": (
                lambda activations, W_out, w, scale: activations[:, None] * W_out / scale
            ),
            "not summed over d_model yet: an inner product with `w` gives one number a neuron": (
                lambda activations, W_out, w, scale: activations[:, None] * W_out * w / scale
            ),
            "activations and scale are missing: these are the weights from neuron to neuron": (
                lambda activations, W_out, w, scale: W_out @ w
            ),
            "divided by the root of the scale: the scale is a root already": lambda activations, W_out, w, scale: (
                activations * (W_out @ w) / scale**0.5
            ),
        },
        alternatives=(
            lambda activations, W_out, w, scale: (activations[:, None] * W_out / scale) @ w,
            lambda activations, W_out, w, scale: torch.stack(
                [a * (row @ w) / scale for a, row in zip(activations, W_out, strict=True)]
            ),
        ),
    ),
    Exercise(
        id="03.3",
        title="Close the ledger",
        stars=2,
        task="`written` (`[component, d_model]`) is what every earlier component wrote at one token, the embedding first. "
        "Write `pre_activation(written, w, b, scale)`: the pre-activation of a neuron that reads along `w` with bias `b`.",
        solution=pre_activation,
        inputs=_ledger,
        returns="pre-activation",
        hints=(
            "What the neuron reads is the sum of everything written so far.",
            "The scale divides the stream; the bias is added by the reader, later.",
        ),
        learned="Given this token's scale, nothing nonlinear stands between what was written and this number: the "
        "ledger is exact.",
        mistakes={
            "the embedding is missing: row 0 of `written` counts as well": (
                lambda written, w, b, scale: written[1:].sum(dim=0) @ w / scale + b
            ),
            "the bias is missing: without it the ledger does not close": (
                lambda written, w, b, scale: written.sum(dim=0) @ w / scale
            ),
            "the bias must not be divided by the scale: it is added after the norm": (
                lambda written, w, b, scale: (written.sum(dim=0) @ w + b) / scale
            ),
            "the bias is subtracted: the reader adds it": lambda written, w, b, scale: (
                written.sum(dim=0) @ w / scale - b
            ),
            "the scale is missing: the reader sees the stream divided by it": lambda written, w, b, scale: (
                written.sum(dim=0) @ w + b
            ),
            "the bias counts once, not once a component": lambda written, w, b, scale: (written @ w / scale + b).sum(),
            "this is the mean over components: the stream is their sum": lambda written, w, b, scale: (
                written.mean(dim=0) @ w / scale + b
            ),
            "only the last component is read: the stream is the sum of all": lambda written, w, b, scale: (
                written[-1] @ w / scale + b
            ),
            "this is the activation: the pre-activation comes before the activation function": (
                lambda written, w, b, scale: F.gelu(written.sum(dim=0) @ w / scale + b)
            ),
            "one number a component: sum them, and add the bias once": lambda written, w, b, scale: (
                written @ w / scale + b
            ),
            "one number a component, and no bias: sum them and add it": lambda written, w, b, scale: (
                written @ w / scale
            ),
            "the norm divides by its scale, and you multiplied": lambda written, w, b, scale: (
                written.sum(dim=0) @ w * scale + b
            ),
            "this is after a ReLU: the pre-activation comes before the activation function": lambda written, w, b, scale: (
                F.relu(written.sum(dim=0) @ w / scale + b)
            ),
            "scale and bias are missing": lambda written, w, b, scale: written.sum(dim=0) @ w,
        },
        alternatives=(lambda written, w, b, scale: sum(row @ w for row in written) / scale + b,),
    ),
    Exercise(
        id="03.4",
        title="Strong, or only large?",
        stars=2,
        task="The norm of `W_out @ W_in` grows with the sizes of both matrices even if their directions have nothing to do "
        "with each other. Write `times_chance(W_out, W_in)`: the norm of the product over the product of the norms "
        "(all Frobenius), as a multiple of its chance level `1 / sqrt(d_model)`.",
        solution=times_chance,
        inputs=_factors,
        returns="multiple of chance",
        hints=(
            "`tensor.norm()` of a matrix is its Frobenius norm.",
            "Dividing by `1 / sqrt(d_model)` is multiplying by `sqrt(d_model)`; `d_model` is `W_out.shape[1]`.",
        ),
        learned="Directions that know nothing of each other give about 1, not 0: only what lies clearly above or "
        "below 1 says something about the directions.",
        mistakes={
            "this is the raw norm: it cannot tell alignment from size": lambda W_out, W_in: (W_out @ W_in).norm(),
            "normalised, but not compared with chance": (
                lambda W_out, W_in: (W_out @ W_in).norm() / (W_out.norm() * W_in.norm())
            ),
            "chance depends on the size of the stream, d_model, not on the number of neurons": (
                lambda W_out, W_in: times_chance(W_out, W_in) * (W_out.shape[0] / W_out.shape[1]) ** 0.5
            ),
            "divided by chance twice over: multiply by sqrt(d_model), not by d_model": lambda W_out, W_in: (
                times_chance(W_out, W_in) * W_out.shape[1] ** 0.5
            ),
            "multiplied by chance: a multiple of it is a quotient": lambda W_out, W_in: (
                times_chance(W_out, W_in) / W_out.shape[1]
            ),
            "this divides by one norm and multiplies by the other: put their product in brackets": lambda W_out, W_in: (
                times_chance(W_out, W_in) * W_in.norm() ** 2
            ),
            "this is the square: chance is 1/sqrt(d_model) for the norm, 1/d_model for its square": (
                lambda W_out, W_in: times_chance(W_out, W_in) ** 2
            ),
            "chance depends on the size of the stream, d_model, not on the number of destination neurons": lambda W_out, W_in: (
                times_chance(W_out, W_in) * (W_in.shape[1] / W_in.shape[0]) ** 0.5
            ),
            "this is the excess over chance: a multiple is a quotient": lambda W_out, W_in: (
                (times_chance(W_out, W_in) - 1) / W_out.shape[1] ** 0.5
            ),
            "those are spectral norms (largest singular value); the Frobenius norm is asked for": lambda W_out, W_in: (
                torch.linalg.matrix_norm(W_out @ W_in, 2)
                / (torch.linalg.matrix_norm(W_out, 2) * torch.linalg.matrix_norm(W_in, 2))
                * W_out.shape[1] ** 0.5
            ),
            "not divided by the norms of the two": lambda W_out, W_in: (W_out @ W_in).norm() * W_out.shape[1] ** 0.5,
        },
        alternatives=(
            lambda W_out, W_in: (
                ((W_out.T @ W_out) * (W_in @ W_in.T)).sum().sqrt()
                / ((W_out**2).sum() * (W_in**2).sum()).sqrt()
                * W_in.shape[0] ** 0.5
            ),
        ),
    ),
    Exercise(
        id="03.5",
        title="Read a heatmap by its data",
        stars=2,
        task="Somebody's heatmap of virtual weights is filled at `[destination, source]`: `z` holds its cells, `rows` the "
        "destination neuron of each row, `columns` the source neuron of each column. `colours` lists its colour "
        "scale from the most negative value to the most positive. Write `read_off(z, rows, columns, colours)` that "
        "returns `(source neuron, destination neuron, colour)` of the strongest cell, whatever its sign.",
        solution=read_off,
        inputs=_heatmap,
        returns=("source neuron", "destination neuron", "colour"),
        hints=(
            "Find row and column of the largest absolute value: `divmod(z.abs().argmax().item(), z.shape[1])`.",
            "Neither red-is-positive nor row-is-source can be taken for granted: look at `colours`, `rows`, `columns`.",
        ),
        learned="Colours and the order of the axes are conventions of a figure: labels and data say what is meant.",
        mistakes={
            "source and destination are swapped: this figure is filled at [destination, source]": (
                lambda z, rows, columns, colours: tuple(read_off(z, rows, columns, colours)[i] for i in (1, 0, 2))
            ),
            "these are places in the figure: the labels say which neurons stand there": _places,
            "the first colour is that of the most negative value: the cell's sign says which end is its own": (
                lambda z, rows, columns, colours: (*read_off(z, rows, columns, colours)[:2], colours[0])
            ),
            "the last colour is that of the most positive value: the cell's sign says which end is its own": (
                lambda z, rows, columns, colours: (*read_off(z, rows, columns, colours)[:2], colours[-1])
            ),
            "the colours are the wrong way round: the scale begins with the most negative value": (
                lambda z, rows, columns, colours: read_off(z, rows, columns, colours[::-1])
            ),
            "you assumed that red is positive: the scale says which colour is": (
                lambda z, rows, columns, colours: _at(
                    z, z.abs().argmax(), rows, columns, colours, blue_is_negative=True
                )
            ),
            "this is the most positive cell: a strong negative weight is strong": (
                lambda z, rows, columns, colours: _at(z, z.argmax(), rows, columns, colours)
            ),
            "this is the most negative cell: the strongest one may have either sign": (
                lambda z, rows, columns, colours: _at(z, z.argmin(), rows, columns, colours)
            ),
            "`divmod` by the number of columns gives row and column: `z.shape[1]`, not `z.shape[0]`": (
                lambda z, rows, columns, colours: (
                    columns[z.abs().argmax().item() // z.shape[0] % len(columns)],
                    rows[z.abs().argmax().item() % z.shape[0]],
                    colours[-1] if z.flatten()[z.abs().argmax()] > 0 else colours[0],
                )
            ),
        },
        alternatives=(lambda z, rows, columns, colours: _at(z, z.abs().argmax(), rows, columns, colours),),
    ),
    Exercise(
        id="03.6",
        title="What freezing the scale leaves out",
        stars=3,
        task="Remove a component's output `written` from the `stream` that an MLP reads (both `[pos, d_model]`), and let "
        "its RMSNorm divide by the root mean square of what is left. Write `direct_effect(stream, written, W_in)`: "
        "pre-activations before minus after, `[pos, d_mlp]`. The gain is folded, there is no epsilon, and a bias "
        "would cancel.",
        solution=direct_effect,
        inputs=_removal,
        returns="change [pos, d_mlp]",
        hints=(
            "Write a small function from a stream to pre-activations and call it twice.",
            "Each position has a scale of its own: `x.pow(2).mean(dim=-1, keepdim=True).sqrt()`.",
        ),
        learned="A removed part takes its own term away and rescales everybody else's: the ledger's term is the whole "
        "change only where the scale stays.",
        mistakes={
            "this is the ledger's term, with the scale frozen: here the norm divides by a new one": (
                lambda stream, written, W_in: written / stream.pow(2).mean(dim=-1, keepdim=True).sqrt() @ W_in
            ),
            "the sign is wrong: before minus after": (
                lambda stream, written, W_in: -direct_effect(stream, written, W_in)
            ),
            "`written` was added once more: removing it leaves `stream - written`": lambda stream, written, W_in: (
                direct_effect(stream, -written, W_in)
            ),
            "the norm is missing: a reader sees the stream divided by its scale": lambda stream, written, W_in: (
                written @ W_in
            ),
            "this is what is left, after the removal: before minus after": lambda stream, written, W_in: (
                F.rms_norm(stream - written, W_in.shape[:1], eps=0.0) @ W_in
            ),
            "the norm divides by the root mean square, not by the length of the vector": lambda stream, written, W_in: (
                direct_effect(stream, written, W_in) / len(W_in) ** 0.5
            ),
            "a norm is not linear: the norm of the removed part is not the change": (
                lambda stream, written, W_in: F.rms_norm(written, written.shape[-1:], eps=0.0) @ W_in
            ),
            "one scale for all positions: take the mean over d_model only": (
                lambda stream, written, W_in: (
                    stream / stream.pow(2).mean().sqrt() @ W_in
                    - (stream - written) / (stream - written).pow(2).mean().sqrt() @ W_in
                )
            ),
            "the root is missing: the norm divides by the root of the mean square": lambda stream, written, W_in: (
                stream / stream.pow(2).mean(dim=-1, keepdim=True) @ W_in
                - (stream - written) / (stream - written).pow(2).mean(dim=-1, keepdim=True) @ W_in
            ),
            "this is LayerNorm, which takes off the mean: an RMSNorm does not": lambda stream, written, W_in: (
                (
                    F.layer_norm(stream, W_in.shape[:1], eps=0.0)
                    - F.layer_norm(stream - written, W_in.shape[:1], eps=0.0)
                )
                @ W_in
            ),
            "a standard deviation takes off the mean, and torch's divides by n - 1: an RMSNorm does neither": (
                lambda stream, written, W_in: (
                    stream / stream.std(dim=-1, keepdim=True) @ W_in
                    - (stream - written) / (stream - written).std(dim=-1, keepdim=True) @ W_in
                )
            ),
            "this is the ledger's term at the new scale: what stays in the stream is divided by another scale too": (
                lambda stream, written, W_in: (
                    written / (stream - written).pow(2).mean(dim=-1, keepdim=True).sqrt() @ W_in
                )
            ),
            "these are activations: the change of the pre-activations is asked for": lambda stream, written, W_in: (
                F.gelu(F.rms_norm(stream, W_in.shape[:1], eps=0.0) @ W_in)
                - F.gelu(F.rms_norm(stream - written, W_in.shape[:1], eps=0.0) @ W_in)
            ),
            "the mean runs over positions: each position has a scale of its own, over d_model": lambda stream, written, W_in: (
                stream / stream.pow(2).mean(dim=0).sqrt() @ W_in
                - (stream - written) / (stream - written).pow(2).mean(dim=0).sqrt() @ W_in
            ),
        },
        alternatives=(
            lambda stream, written, W_in: (
                (F.rms_norm(stream, W_in.shape[:1], eps=0.0) - F.rms_norm(stream - written, W_in.shape[:1], eps=0.0))
                @ W_in
            ),
        ),
    ),
]

QUIZ = [
    Question(
        "Why is `activation * V / scale` not the change you see when you remove the neuron from the later MLP's input?",
        {
            "GELU lies on the path": "The source's GELU is in the activation already, and the later one comes after the pre-activation.",
            "the norm divides by a new scale": "Nothing else on the direct path depends on the rest of the stream.",
            "W_in is nonlinear": "It is a matrix: what it makes of a sum is the sum of what it makes of the terms.",
        },
        "the norm divides by a new scale",
    ),
    Question(
        "A table of layers is filled at `[destination, source]`, row 0 on top. Where are the pairs in which "
        "the source comes earlier?",
        {
            "upper triangle": "There the column's number is the larger one, and the columns are the sources: they would come later.",
            "lower triangle": "The source's column number is smaller than the destination's row number: below the diagonal.",
        },
        "lower triangle",
    ),
    Question(
        "A pair of MLPs has the largest norm of `V` in the model. What follows?",
        {
            "they are well aligned": "Two large matrices have a product with a large norm even where they meet as random directions do.",
            "cutting the path matters most": "The norm knows no activations, and a path that is seldom active may be cut without harm.",
            "neither: its factors may just be large": "Divide by both norms and compare with chance; then measure the effect.",
        },
        "neither: its factors may just be large",
    ),
    Question(
        "The pre-activations of MLP 5 change less when MLP 2 is removed from its input than when MLP 2 writes nothing at "
        "all. Why can the two differ?",
        {
            "the layers in between change too": "Removed from the input alone, what they write stays as it was; ablated, they read another stream and write something else.",
            "the scale is frozen in one of them": "In both the norm divides by the scale of the stream that is left; the ledger's term alone has a frozen one.",
            "the text is another one": "Both are measured on the same text.",
        },
        "the layers in between change too",
    ),
]
