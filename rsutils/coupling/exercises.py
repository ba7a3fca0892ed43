"""Exercises of chapter 04: coupling from two small Gram matrices, chance, z, ranks and activations."""

import torch

from rsutils.teaching.checks import Exercise
from rsutils.teaching.questions import Question


def normalised(W_out, W_in):
    return torch.linalg.norm(W_out @ W_in) / (torch.linalg.norm(W_out) * torch.linalg.norm(W_in))


def by_grams(W_out, W_in):
    A = W_out.T @ W_out
    B = W_in @ W_in.T
    return A, B, (A * B).sum().sqrt()


def chance(d_model):
    return d_model**-0.5, (d_model - 1) ** -0.5


def z_score(A, B):
    d = len(A)
    A0 = A - A.trace() / d * torch.eye(d)
    B0 = B - B.trace() / d * torch.eye(d)
    rho = (A0 * B0).sum() / (torch.linalg.norm(A0) * torch.linalg.norm(B0))
    return rho * ((d - 1) * (d + 2) / 2) ** 0.5


def spearman(x, y):
    rank_x = x.argsort().argsort().float()
    rank_y = y.argsort().argsort().float()
    return torch.corrcoef(torch.stack([rank_x, rank_y]))[0, 1]


def weighted(out, W_in, scale):
    varies = out - out.mean(dim=0)
    return torch.linalg.norm(varies @ W_in) / len(out) ** 0.5 / scale


def _z(A, B, shift=True, factor=0.5):
    d = len(A)
    A, B = (G - shift * G.trace() / d * torch.eye(d) for G in (A, B))
    return (A * B).sum() / (torch.linalg.norm(A) * torch.linalg.norm(B)) * ((d - 1) * (d + 2) * factor) ** 0.5


def _variance(A, B):
    d = len(A)
    A0, B0 = (G - G.trace() / d * torch.eye(d) for G in (A, B))
    return 2 * torch.linalg.norm(A0) ** 2 * torch.linalg.norm(B0) ** 2 / ((d - 1) * (d + 2))


def _grams(draw):
    d_model, d_source, d_destination = draw.sizes(3)
    stretch = torch.linspace(0.3, 2, d_model)  # the same for both, so that they overlap more than by chance
    W_out, W_in = draw.normal(d_source, d_model) * stretch, draw.normal(d_destination, d_model) * stretch
    return W_out.T @ W_out, W_in.T @ W_in


def _factors(draw):
    d_source, d_model, d_destination = draw.sizes(3)
    # One in three with MLPs of one width, as models have: there the wrong order runs, elsewhere it raises.
    d_destination = d_source if draw.deal(True, False, False) else d_destination
    return draw.normal(d_source, d_model), draw.normal(d_model, d_destination)


def _two_metrics(draw):
    (n,) = draw.sizes(1)
    x = draw.normal(n).exp()
    return x, x + draw.normal(n)


def _written(draw):
    tokens, d_model, d_mlp = draw.sizes(3)
    return draw.normal(tokens, d_model) + 1, draw.normal(d_model, d_mlp), draw.uniform(2.0, 4.0)


EXERCISES = [
    Exercise(
        id="04.1",
        title="Coupling, and coupling per size",
        stars=1,
        task="Write `normalised(W_out, W_in)`: the Frobenius norm of what the writer `W_out` (`[d_mlp, d_model]`) sends to "
        "the reader `W_in` (`[d_model, d_mlp]`), divided by the Frobenius norms of the two.",
        solution=normalised,
        inputs=_factors,
        returns="normalised coupling",
        hints=(
            "Writer first: the product is `[source neuron, destination neuron]`.",
            "`torch.linalg.norm` of a matrix, with nothing else given, is its Frobenius norm.",
        ),
        learned="The score lies between 0 and 1 and does not change when a matrix is multiplied by a number: the size "
        "has gone, the directions are left.",
        mistakes={
            "this is the raw norm: divide by the norms of both factors": lambda W_out, W_in: torch.linalg.norm(
                W_out @ W_in
            ),
            "ord=2 is the largest singular value; the Frobenius norm is the default": lambda W_out, W_in: (
                torch.linalg.norm(W_out @ W_in, ord=2)
                / (torch.linalg.norm(W_out, ord=2) * torch.linalg.norm(W_in, ord=2))
            ),
            "this is the square: the norm is a root": lambda W_out, W_in: normalised(W_out, W_in) ** 2,
            "`x / a * b` multiplies by b: put the product of the norms in brackets": lambda W_out, W_in: (
                torch.linalg.norm(W_out @ W_in) / torch.linalg.norm(W_out) * torch.linalg.norm(W_in)
            ),
            "only one of the two norms is divided by": lambda W_out, W_in: (
                torch.linalg.norm(W_out @ W_in) / torch.linalg.norm(W_out)
            ),
            "only one of the two norms is divided by, the reader's": lambda W_out, W_in: (
                torch.linalg.norm(W_out @ W_in) / torch.linalg.norm(W_in)
            ),
            "this is a multiple of chance: the quotient of the norms alone was asked for": lambda W_out, W_in: (
                normalised(W_out, W_in) * W_out.shape[1] ** 0.5
            ),
            "the norms multiply: `norm(A @ B) <= norm(A) * norm(B)`, so divide by the product, not the sum": lambda W_out, W_in: (
                torch.linalg.norm(W_out @ W_in) / (torch.linalg.norm(W_out) + torch.linalg.norm(W_in))
            ),
            "`W_in @ W_out` lets the reader write: what the writer sends is `W_out @ W_in`": lambda W_out, W_in: (
                torch.linalg.norm(W_in @ W_out) / (torch.linalg.norm(W_in) * torch.linalg.norm(W_out))
            ),
            "these are sums of entries, where signs cancel: a Frobenius norm is the root of the sum of squares": (
                lambda W_out, W_in: (W_out @ W_in).sum() / (W_out.sum() * W_in.sum())
            ),
            "these are sums of sizes: a Frobenius norm is the root of the sum of squares": lambda W_out, W_in: (
                (W_out @ W_in).abs().sum() / (W_out.abs().sum() * W_in.abs().sum())
            ),
            "this is the matrix over the norms: its norm is asked for, one number": lambda W_out, W_in: (
                W_out @ W_in / (torch.linalg.norm(W_out) * torch.linalg.norm(W_in))
            ),
            "those are nuclear norms, sums of singular values: the Frobenius norm is the default": lambda W_out, W_in: (
                torch.linalg.norm(W_out @ W_in, "nuc")
                / (torch.linalg.norm(W_out, "nuc") * torch.linalg.norm(W_in, "nuc"))
            ),
        },
        alternatives=(
            lambda W_out, W_in: ((W_out @ W_in) ** 2).sum().sqrt() / ((W_out**2).sum() * (W_in**2).sum()).sqrt(),
            lambda W_out, W_in: torch.linalg.norm(W_out / torch.linalg.norm(W_out) @ (W_in / torch.linalg.norm(W_in))),
        ),
    ),
    Exercise(
        id="04.2",
        title="The Gram identity",
        stars=2,
        task="`norm(W_out @ W_in)` needs only two `[d_model, d_model]` matrices: one made of `W_out` alone, one of `W_in` "
        "alone. Find them. Write `by_grams(W_out, W_in)` that returns the two and the norm made from them.",
        solution=by_grams,
        inputs=_factors,
        returns=("Gram of W_out [d_model, d_model]", "Gram of W_in [d_model, d_model]", "norm"),
        hints=(
            "`norm(M)**2 == trace(M @ M.T)`, and a trace does not change when the factors inside go round in a circle.",
            "`trace(W_out @ W_in @ W_in.T @ W_out.T) == trace((W_out.T @ W_out) @ (W_in @ W_in.T))`, and the trace of a "
            "product of two symmetric matrices is the sum of their entries' products.",
        ),
        learned="A Gram matrix is made once a part and serves in all its pairs: what a pair costs does not grow with "
        "the number of neurons.",
        mistakes={
            "these compare neurons, [d_mlp, d_mlp]: the matrices you need compare directions of the stream": lambda W_out, W_in: (
                W_out @ W_out.T,
                W_in.T @ W_in,
                torch.linalg.norm(W_out @ W_in),
            ),
            "the last value is the square of the norm: take the root": lambda W_out, W_in: (
                W_out.T @ W_out,
                W_in @ W_in.T,
                torch.linalg.norm(W_out @ W_in) ** 2,
            ),
            "the two Grams have changed places: W_out's comes first": lambda W_out, W_in: (
                W_in @ W_in.T,
                W_out.T @ W_out,
                torch.linalg.norm(W_out @ W_in),
            ),
            "the traces alone know the sizes and no direction: multiply entry by entry, then sum": lambda W_out, W_in: (
                W_out.T @ W_out,
                W_in @ W_in.T,
                ((W_out.T @ W_out).trace() * (W_in @ W_in.T).trace()).sqrt(),
            ),
            "this is the norm of the product of the two Grams: what you need is their inner product": lambda W_out, W_in: (
                W_out.T @ W_out,
                W_in @ W_in.T,
                torch.linalg.norm(W_out.T @ W_out @ W_in @ W_in.T),
            ),
            "the Grams are right; multiply them entry by entry, where a matrix product mixes the entries": lambda W_out, W_in: (
                W_out.T @ W_out,
                W_in @ W_in.T,
                ((W_out.T @ W_out) @ (W_in @ W_in.T)).sum().sqrt(),
            ),
            "the Grams are right, and the entries' products are squared once more: sum them, then take the root": (
                lambda W_out, W_in: (
                    W_out.T @ W_out,
                    W_in @ W_in.T,
                    torch.linalg.norm((W_out.T @ W_out) * (W_in @ W_in.T)),
                )
            ),
            "this is the norm alone: the two Gram matrices come first": lambda W_out, W_in: torch.linalg.norm(
                W_out @ W_in
            ),
        },
        alternatives=(
            lambda W_out, W_in: (
                W_out.T @ W_out,
                W_in @ W_in.T,
                torch.trace((W_out.T @ W_out) @ (W_in @ W_in.T)) ** 0.5,
            ),
            lambda W_out, W_in: (
                torch.einsum("na,nb->ab", W_out, W_out),
                torch.einsum("an,bn->ab", W_in, W_in),
                torch.dot((W_out.T @ W_out).flatten(), (W_in @ W_in.T).flatten()).sqrt(),
            ),
        ),
    ),
    Exercise(
        id="04.3",
        title="What chance gives",
        stars=1,
        task="Two parts whose directions are random to each other have a normalised coupling of `1/sqrt(d)` (root mean "
        "square), d being the number of directions that the stream offers. Write `chance(d_model)`: the pair (value "
        "for an RMSNorm model, value for a LayerNorm model whose writers are centred).",
        solution=chance,
        inputs=lambda draw: draw.sizes(1),
        returns=("RMSNorm", "LayerNorm"),
        hints=(
            "How many directions can a vector whose coordinates sum to zero take?",
            "One fewer than it has coordinates: nothing is written along all-ones.",
        ),
        learned="Chance falls with the root of the width and is never 0: compare a score with it, not with 0.",
        mistakes={
            "a centred writer cannot write along all-ones, so d is smaller by one in the second": lambda d_model: (
                d_model**-0.5,
                d_model**-0.5,
            ),
            "this is the mean of the square: take the root": lambda d_model: (1 / d_model, 1 / (d_model - 1)),
            "centring takes a direction away; it does not add one": lambda d_model: (
                d_model**-0.5,
                (d_model + 1) ** -0.5,
            ),
            "the two are in the wrong order: LayerNorm is the one that centres": lambda d_model: (
                (d_model - 1) ** -0.5,
                d_model**-0.5,
            ),
            "these are the roots: chance is 1 over them": lambda d_model: (d_model**0.5, (d_model - 1) ** 0.5),
            "centring takes one direction away, not two": lambda d_model: (d_model**-0.5, (d_model - 2) ** -0.5),
            "an RMSNorm takes no direction away: d is d_model in the first": lambda d_model: (
                (d_model - 1) ** -0.5,
                (d_model - 1) ** -0.5,
            ),
            "the 1 is taken off the number of directions, inside the root": lambda d_model: (
                d_model**-0.5,
                d_model**-0.5 - 1,
            ),
        },
        alternatives=(lambda d_model: tuple(1 / d**0.5 for d in (d_model, d_model - 1)),),
    ),
    Exercise(
        id="04.4",
        title="How surprising is it?",
        stars=3,
        task="Take the Gram matrices `A` and `B` of a writer and a reader, both `[d, d]`, and a random rotation between "
        "them: `<A, B>` then has mean `tr(A) tr(B) / d` and variance `2 norm(A0)^2 norm(B0)^2 / ((d - 1)(d + 2))`, "
        "where `A0` is `A` minus its mean eigenvalue times the identity. Write `z_score(A, B)`: by how many standard "
        "deviations `<A, B>` lies above that mean.",
        solution=z_score,
        inputs=_grams,
        returns="z",
        hints=(
            "The mean eigenvalue is the trace divided by `d`.",
            "`<A0, B0> = <A, B> - tr(A) tr(B) / d`, so `z = cos(A0, B0) * sqrt((d - 1)(d + 2) / 2)`.",
        ),
        learned="For the same cosine, z grows with the width: a faint overlap may be far from chance, so z measures "
        "surprise and not strength.",
        mistakes={
            "chance is still in it: take the mean eigenvalue off both Grams first": lambda A, B: _z(A, B, shift=False),
            "the 2 in the variance is missing": lambda A, B: _z(A, B, factor=1),
            "this is rho, the cosine: multiply by sqrt((d - 1)(d + 2) / 2) to get standard deviations": lambda A, B: (
                z_score(A, B) / ((len(A) - 1) * (len(A) + 2) / 2) ** 0.5
            ),
            "this is how far above the mean, not in how many standard deviations": lambda A, B: (
                (A * B).sum() - A.trace() * B.trace() / len(A)
            ),
            "the mean is missing: take tr(A) tr(B) / d off": lambda A, B: (A * B).sum() / _variance(A, B) ** 0.5,
            "the mean is divided by d: tr(A) tr(B) alone is larger": lambda A, B: (
                ((A * B).sum() - A.trace() * B.trace()) / _variance(A, B) ** 0.5
            ),
            "you divided by the variance: divide by its root": lambda A, B: (
                ((A * B).sum() - A.trace() * B.trace() / len(A)) / _variance(A, B)
            ),
            "the mean of all entries is taken off: take the mean eigenvalue, the trace over d, off the diagonal": lambda A, B: (
                ((A - A.mean()) * (B - B.mean())).sum()
                / (torch.linalg.norm(A - A.mean()) * torch.linalg.norm(B - B.mean()))
                * ((len(A) - 1) * (len(A) + 2) / 2) ** 0.5
            ),
            "the whole trace is taken off each eigenvalue: divide it by d": lambda A, B: _z(A, B, shift=len(A)),
            "the mean eigenvalue is taken off every entry: the identity is missing": lambda A, B: (
                ((A0 := A - A.trace() / len(A)) * (B0 := B - B.trace() / len(B))).sum()
                / (torch.linalg.norm(A0) * torch.linalg.norm(B0))
                * ((len(A) - 1) * (len(A) + 2) / 2) ** 0.5
            ),
            "`/ (d - 1) * (d + 2)` multiplies by d + 2: put the product in brackets": lambda A, B: (
                z_score(A, B) / (len(A) + 2)
            ),
            "the variance holds the squares of the two norms": lambda A, B: (
                ((A * B).sum() - A.trace() * B.trace() / len(A))
                / (2 * (_variance(A, B) / 2 / ((len(A) - 1) * (len(A) + 2))) ** 0.5) ** 0.5
            ),
            "d squared stands where (d - 1)(d + 2) belongs: close in a wide stream, and not the formula": lambda A, B: (
                z_score(A, B) * len(A) / ((len(A) - 1) * (len(A) + 2)) ** 0.5
            ),
        },
        alternatives=(
            lambda A, B: ((A * B).sum() - A.trace() * B.trace() / len(A)) / _variance(A, B) ** 0.5,
            lambda A, B: _z(A.double(), B.double()),
        ),
    ),
    Exercise(
        id="04.5",
        title="Do two metrics rank alike?",
        stars=2,
        task="Write `spearman(x, y)`, the correlation of the ranks of two vectors (no value occurs twice): 1 where both "
        "put the pairs in the same order, however differently they are scaled.",
        solution=spearman,
        inputs=_two_metrics,
        returns="correlation of ranks",
        hints=(
            "`argsort` says which value comes first; a rank says at which place a value comes.",
            "`x.argsort().argsort()` are the ranks; `torch.corrcoef` takes the two as rows.",
        ),
        learned="Ranks forget sizes: two metrics may put the pairs in one order and disagree on how much each pair "
        "matters.",
        mistakes={
            "this correlates the values: take their ranks first": lambda x, y: torch.corrcoef(torch.stack([x, y]))[
                0, 1
            ],
            "one argsort gives the order, not the ranks: apply it twice": lambda x, y: torch.corrcoef(
                torch.stack([x.argsort().float(), y.argsort().float()])
            )[0, 1],
            "this is the covariance of the ranks: divide by both standard deviations": lambda x, y: torch.cov(
                torch.stack([x.argsort().argsort(), y.argsort().argsort()]).float()
            )[0, 1],
            "only x was ranked": lambda x, y: torch.corrcoef(torch.stack([x.argsort().argsort().float(), y]))[0, 1],
            "only y was ranked": lambda x, y: torch.corrcoef(torch.stack([x, y.argsort().argsort().float()]))[0, 1],
            "this is the whole matrix of correlations: the number for x with y stands off its diagonal": (
                lambda x, y: torch.corrcoef(torch.stack([v.argsort().argsort().float() for v in (x, y)]))
            ),
            "one of the two is ranked downwards: the sign is flipped": lambda x, y: spearman(x, -y),
            "this sorts the values: the partners are lost, keep each value's place": lambda x, y: torch.corrcoef(
                torch.stack([x.sort().values, y.sort().values])
            )[0, 1],
            "this is the dot product of the ranks: centre them and divide by both standard deviations": lambda x, y: (
                x.argsort().argsort() * y.argsort().argsort()
            ).sum(),
            "this is the cosine of the ranks: take their mean off first": lambda x, y: torch.cosine_similarity(
                x.argsort().argsort().float(), y.argsort().argsort().float(), dim=0
            ),
            "the 6 of the formula is missing": lambda x, y: 1 - (1 - spearman(x, y)) / 6,
            "torch's `std` divides by n - 1 and the mean of the products by n: use one of the two for both": lambda x, y: (
                spearman(x, y) * (len(x) - 1) / len(x)
            ),
            "this is how many ranks are equal: a correlation also sees those that are near": lambda x, y: (
                (x.argsort().argsort() == y.argsort().argsort()).float().mean()
            ),
        },
        alternatives=(
            lambda x, y: (
                1 - 6 * ((x.argsort().argsort() - y.argsort().argsort()) ** 2).sum() / (len(x) * (len(x) ** 2 - 1))
            ),
            lambda x, y: torch.corrcoef(torch.stack([(v[:, None] > v).sum(dim=1).float() for v in (x, y)]))[0, 1],
        ),
    ),
    Exercise(
        id="04.6",
        title="What is really sent",
        stars=2,
        task="A source wrote `out` (`[tokens, d_model]`) on some text; the destination reads it with `W_in` after its norm "
        "divided it by `scale`. Write `weighted(out, W_in, scale)`: the root mean square over tokens of the part of the "
        "destination's input that comes from the source and varies (that is, after taking off the mean over tokens).",
        solution=weighted,
        inputs=_written,
        returns="what is sent",
        hints=(
            "Take the mean over tokens off `out` first: what never changes can stand in the bias.",
            "The squared Frobenius norm sums over tokens and neurons; the mean over tokens divides it by `len(out)`.",
        ),
        learned="A part that writes the same vector at every token may be large and sends nothing by this measure: a "
        "bias could do its work.",
        mistakes={
            "the constant part is still in it: take the mean over tokens off": lambda out, W_in, scale: (
                torch.linalg.norm(out @ W_in) / len(out) ** 0.5 / scale
            ),
            "the mean is taken over the wrong axis: over tokens, not over coordinates": lambda out, W_in, scale: (
                torch.linalg.norm((out - out.mean(dim=1, keepdim=True)) @ W_in) / len(out) ** 0.5 / scale
            ),
            "the destination's scale is missing": lambda out, W_in, scale: weighted(out, W_in, 1.0),
            "torch's `var` and `std` divide by n - 1 unless told otherwise: here the mean over tokens is asked for": (
                lambda out, W_in, scale: weighted(out, W_in, scale) * (len(out) / (len(out) - 1)) ** 0.5
            ),
            "this is the mean over tokens and neurons: sum over the neurons": lambda out, W_in, scale: (
                weighted(out, W_in, scale) / W_in.shape[1] ** 0.5
            ),
            "this is the square: a root mean square is a root": lambda out, W_in, scale: (
                weighted(out, W_in, scale) ** 2
            ),
            "divided by the number of tokens after the root: its root belongs there": lambda out, W_in, scale: (
                weighted(out, W_in, scale) / len(out) ** 0.5
            ),
            "the norm divides by its scale, and you multiplied": lambda out, W_in, scale: weighted(
                out, W_in, 1 / scale
            ),
            "this is a sum over tokens: a root mean square divides by the root of their number": (
                lambda out, W_in, scale: weighted(out, W_in, scale) * len(out) ** 0.5
            ),
            "these are standard deviations, summed over neurons: sum the variances, then take the root": (
                lambda out, W_in, scale: (out @ W_in).std(dim=0, correction=0).sum() / scale
            ),
            "standard deviations are summed (sum the variances, then take the root), and torch's divide by n - 1": (
                lambda out, W_in, scale: (out @ W_in).std(dim=0).sum() / scale
            ),
            "one mean for all neurons is taken off, and the mean runs over neurons too: take each neuron's own, and sum": (
                lambda out, W_in, scale: (out @ W_in).std() / scale
            ),
            "this is a variance: a root mean square is a root": lambda out, W_in, scale: (
                (out @ W_in).var(dim=0, correction=0).sum() / scale
            ),
            "this is a variance, and torch's divides by n - 1: take the mean over tokens, then the root": (
                lambda out, W_in, scale: (out @ W_in).var(dim=0).sum() / scale
            ),
            "this is the mean of the lengths: take the mean of their squares, then the root": lambda out, W_in, scale: (
                torch.linalg.norm((out - out.mean(dim=0)) @ W_in, dim=-1).mean() / scale
            ),
            "divided by the scale twice": lambda out, W_in, scale: weighted(out, W_in, scale**2),
            "one mean for all coordinates is taken off: take each coordinate's mean over tokens": lambda out, W_in, scale: (
                torch.linalg.norm((out - out.mean()) @ W_in) / len(out) ** 0.5 / scale
            ),
        },
        alternatives=(
            lambda out, W_in, scale: ((out @ W_in / scale).var(dim=0, correction=0).sum()) ** 0.5,
            lambda out, W_in, scale: ((torch.cov(out.T, correction=0) * (W_in @ W_in.T)).sum()) ** 0.5 / scale,
        ),
    ),
]

QUIZ = [
    Question(
        "A pair has a normalised coupling equal to `1/sqrt(d_model)` in an RMSNorm model. That means ...",
        {
            "the two are disconnected": "Disconnected would be 0: nothing that the one writes would be read by the other.",
            "they overlap as random directions do": "Chance is not zero: random directions overlap by 1/sqrt(d).",
            "they are strongly aligned": "Full alignment is 1; this is what directions give that know nothing of each other.",
        },
        "they overlap as random directions do",
    ),
    Question(
        "Which of these needs `W_out` and `W_in` of the same pair multiplied out?",
        {
            "the raw norm": "Its square is the sum of products of two Gram matrices, each of `d_model` by `d_model`.",
            "z": "The score and the effective ranks in its null come from the two Gram matrices: no product is needed.",
            "the strongest pair of neurons": "Norms and their null need only the two Gram matrices; single entries need the product.",
        },
        "the strongest pair of neurons",
    ),
    Question(
        "z = 40 for one pair and z = 4 for another. Then the first ...",
        {
            "sends ten times as much": "z counts spreads of the null, not amounts: what is sent depends on norms and activations.",
            "is further from what random directions would do": "Significance is not effect: z knows neither sizes nor activations.",
            "matters more for the output": "z looks at two matrices only; what the output makes of them takes a causal test.",
        },
        "is further from what random directions would do",
    ),
    Question(
        "A late MLP writes, an early one reads, and the pair has z = 12. What does that show?",
        {
            "the late one informs the early one": "It cannot: the early one has read before the late one writes.",
            "that z is computed wrongly": "z says only that the directions are not random to each other, and that can be true of any two parts.",
            "that z alone is no sign of communication": "Here nothing can pass and z is large all the same: compare pairs that can communicate with such pairs.",
        },
        "that z alone is no sign of communication",
    ),
]
