"""Exercises of chapter 05."""

import tracemalloc

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rsutils.teaching.checks import Exercise, changes_arguments, run
from rsutils.teaching.questions import Question

# 05.1


def induction_score(pattern, length):
    return sum(pattern[q, q - length + 1] for q in range(length + 1, 2 * length + 1)) / length


def duplicate_score(pattern, length):
    return sum(pattern[q, q - length] for q in range(length + 1, 2 * length + 1)) / length


def token_before(pattern, length):
    return sum(pattern[q, q - length - 1] for q in range(length + 1, 2 * length + 1)) / length


def whole_diagonal(pattern, length):
    return pattern.diagonal(-(length - 1)).mean()


def bos_forgotten(pattern, length):
    return sum(pattern[q, q - length + 1] for q in range(length, 2 * length)) / length


def key_as_row(pattern, length):
    return induction_score(pattern.T, length)


def induction_by_diagonal(pattern, length):
    return pattern.diagonal(1 - length)[2:].mean()


# 05.2


def into_query(x, W_V_source, W_O_source, W_Q_destination):
    return x @ W_V_source @ W_O_source @ W_Q_destination


def backwards(x, W_V_source, W_O_source, W_Q_destination):
    return x @ (W_Q_destination.T @ W_V_source @ W_O_source).T


def source_left_out(x, W_V_source, W_O_source, W_Q_destination):
    return x @ W_Q_destination


def with_residual(x, W_V_source, W_O_source, W_Q_destination):
    return (x + x @ W_V_source @ W_O_source) @ W_Q_destination


def circuit_first(x, W_V_source, W_O_source, W_Q_destination):
    W_OV = W_V_source @ W_O_source
    return torch.einsum("pi,ij,jh->ph", x, W_OV, W_Q_destination)


# 05.3


def k_composition(W_V_source, W_O_source, W_Q_destination, W_K_destination):
    W_OV = W_V_source @ W_O_source
    W_QK = W_Q_destination @ W_K_destination.T
    return (W_OV @ W_QK.T).norm() / (W_OV.norm() * W_QK.norm())


def q_composition(W_V_source, W_O_source, W_Q_destination, W_K_destination):
    return k_composition(W_V_source, W_O_source, W_K_destination, W_Q_destination)


def k_norm(W_V_source, W_O_source, W_Q_destination, W_K_destination):
    return (W_V_source @ W_O_source @ W_K_destination @ W_Q_destination.T).norm()


def backward_k(W_V_source, W_O_source, W_Q_destination, W_K_destination):
    return k_composition(W_O_source.T, W_V_source.T, W_Q_destination, W_K_destination)


def k_spectral(W_V_source, W_O_source, W_Q_destination, W_K_destination):
    W_OV = W_V_source @ W_O_source
    W_KQ = W_K_destination @ W_Q_destination.T
    return torch.linalg.matrix_norm(W_OV @ W_KQ, 2) / (
        torch.linalg.matrix_norm(W_OV, 2) * torch.linalg.matrix_norm(W_KQ, 2)
    )


def k_from_singular_values(W_V_source, W_O_source, W_Q_destination, W_K_destination):
    W_OV, W_KQ = W_V_source @ W_O_source, W_K_destination @ W_Q_destination.T
    sizes = [torch.linalg.svdvals(W).square().sum().sqrt() for W in (W_OV @ W_KQ, W_OV, W_KQ)]
    return sizes[0] / sizes[1] / sizes[2]


# 05.4


def thin_norm(W_V, W_O):
    return ((W_V.T @ W_V) * (W_O @ W_O.T)).sum().sqrt()


def product_of_norms(W_V, W_O):
    return W_V.norm() * W_O.norm()


def root_forgotten(W_V, W_O):
    return ((W_V.T @ W_V) * (W_O @ W_O.T)).sum()


def norm_of_grams(W_V, W_O):
    return ((W_V.T @ W_V) @ (W_O @ W_O.T)).norm()


def by_qr(W_V, W_O):
    return (torch.linalg.qr(W_V).R @ W_O).norm()


# 05.5


def null_z(write, read):
    d = write.shape[1]
    write_gram, read_gram = write @ write.T, read @ read.T
    write_spread = (write_gram**2).sum() / write_gram.trace() ** 2
    read_spread = (read_gram**2).sum() / read_gram.trace() ** 2
    score = (write @ read.T).norm() / (write.norm() * read.norm())
    deviation = (2 / ((d - 1) * (d + 2)) * (write_spread - 1 / d) * (read_spread - 1 / d)).sqrt()
    return (score**2 - 1 / d) / deviation


def score_not_squared(write, read):
    d = write.shape[1]
    score = (write @ read.T).norm() / (write.norm() * read.norm())
    return null_z(write, read) * (score - 1 / d) / (score**2 - 1 / d)


def root_mean(write, read):
    d = write.shape[1]
    score = (write @ read.T).norm() / (write.norm() * read.norm())
    return null_z(write, read) * (score - d**-0.5) / (score**2 - 1 / d)


def root_of_variance_forgotten(write, read):
    d = write.shape[1]
    share = (write @ read.T).norm() ** 2 / (write.norm() * read.norm()) ** 2
    return null_z(write, read) ** 2 / (share - 1 / d)


def flat_spectra(write, read):
    d, h = write.shape[1], write.shape[0]
    score = (write @ read.T).norm() / (write.norm() * read.norm())
    return (score**2 - 1 / d) / ((2 / ((d - 1) * (d + 2))) ** 0.5 * (1 / h - 1 / d))


def null_z_from_singular_values(write, read):
    d = write.shape[1]
    p, q = (torch.linalg.svdvals(W) ** 2 for W in (write, read))
    p, q = p / p.sum(), q / q.sum()
    share = (write @ read.T).square().sum() / (write.square().sum() * read.square().sum())
    variance = 2 * (p.square().sum() - 1 / d) * (q.square().sum() - 1 / d) / ((d - 1) * (d + 2))
    return (share - 1 / d) / variance.sqrt()


# 05.6


def mean_ablate(z, head):
    z = z.clone()
    z[:, :, head] = z[:, :, head].mean(dim=(0, 1))
    return z


def zero_ablate(z, head):
    z = z.clone()
    z[:, :, head] = 0
    return z


def ablate_position(z, head):
    z = z.clone()
    z[:, head] = z.mean(dim=(0, 1))
    return z


def mean_over_batch(z, head):
    z = z.clone()
    z[:, :, head] = z[:, :, head].mean(dim=0)
    return z


def mean_of_everything(z, head):
    z = z.clone()
    z[:, :, head] = z.mean(dim=(0, 1, 2))
    return z


def mean_ablate_by_where(z, head):
    chosen = torch.arange(z.shape[2])[:, None] == head
    return torch.where(chosen, z.mean(dim=(0, 1)), z)


def _copied_span(draw):
    (length,) = draw.sizes(1)
    return draw.pattern(2 * length + 1), length


def _chain(draw):
    pos, *heads_and_stream = draw.sizes(4)
    d_source, d_destination, d_model = sorted(heads_and_stream)
    return (
        draw.normal(pos, d_model),
        draw.normal(d_model, d_source),
        draw.normal(d_source, d_model),
        draw.normal(d_model, d_destination),
    )


def _two_circuits(draw):
    d_source, d_destination, d_model = sorted(draw.sizes(3))
    return (
        draw.normal(d_model, d_source),
        draw.normal(d_source, d_model),
        draw.normal(d_model, d_destination),
        draw.normal(d_model, d_destination),
    )


def _thin_factors(draw):
    d_head, d_model = draw.deal(3, 5, 7), draw.deal(1009, 1013, 1019)
    # Mixed, so that the Gram matrices are far from diagonal, as trained ones are.
    return draw.normal(d_model, d_head) @ draw.normal(d_head, d_head), draw.normal(d_head, d_head) @ draw.normal(
        d_head, d_model
    )


def _overlapping(draw):
    d_head, d = sorted(draw.sizes(2))
    write = draw.normal(d_head, d)
    return write, draw.normal(d_head, d) + write


def _head_outputs(draw):
    batch, (pos, n_heads, d_head) = draw.deal(2, 3), draw.sizes(3)
    z = draw.normal(batch, pos, n_heads, d_head) + draw.normal(n_heads, d_head)
    return z, draw.integer(0, min(pos, n_heads) - 1)


class _Made(TorchDispatchMode):
    """Remembers how many numbers the largest tensor has that torch makes."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor):  # its memory and not its shape, which a view may stretch
                self.largest = max(self.largest, tensor.untyped_storage().nbytes() // tensor.element_size())
        return made


def _whole_product(answer, inputs):
    tracemalloc.start()  # sees what NumPy makes, and not what torch makes
    with _Made() as made:
        run(answer, inputs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    d_model = len(inputs[0])
    if max(made.largest, peak / 4) >= d_model**2:
        return "the number is right, and you made a `d_model x d_model` matrix on the way: the task is to do without"
    return None


EXERCISES = [
    Exercise(
        id="05.1",
        title="The induction score",
        stars=2,
        task="Write `induction_score(pattern, length)` for one head's attention pattern `[query, key]` on BOS + span + "
        "span, each span `length` tokens long: the mean attention that a query in the second copy pays to the token "
        "**after** its first copy.",
        solution=induction_score,
        inputs=_copied_span,
        returns="induction score",
        hints=(
            "The queries are at positions `length + 1` to `2 * length` (position 0 is BOS).",
            "The first copy of query `q` is at `q - length`; the token after it is at `q - length + 1`.",
        ),
        learned="A pattern shows where a head looks. What it moves from there is for its OV circuit to say.",
        mistakes={
            "that is the duplicate-token score: it looks at the first copy itself": duplicate_score,
            "that is the token before the first copy; induction looks at the one after": token_before,
            "the diagonal is right, but it begins with two queries of the first copy": whole_diagonal,
            "BOS is forgotten: it stands at position 0, and the second copy begins at length + 1": bos_forgotten,
            "this is a sum over the queries: take their mean": lambda pattern, length: (
                length * induction_score(pattern, length)
            ),
            "the mean runs over the queries of the second copy: there are `length` of them": lambda pattern, length: (
                length * induction_score(pattern, length) / (2 * length + 1)
            ),
            "rows are queries and columns are keys; you have them the other way round": key_as_row,
            "BOS is forgotten, and this is the diagonal of the first copy itself (duplicate tokens)": lambda pattern, length: (
                sum(pattern[q, q - length] for q in range(length, 2 * length)) / length
            ),
            "this is the whole diagonal of the duplicate-token score, one key too early": lambda pattern, length: (
                pattern.diagonal(-length).mean()
            ),
            "the diagonal is right, but it begins with one query of the first copy: its first two do not count": (
                lambda pattern, length: pattern.diagonal(1 - length)[1:].mean()
            ),
            "the last query is missing: `range` stops before its end, 2 * length + 1": lambda pattern, length: (
                pattern.diagonal(1 - length)[2:-1].mean()
            ),
            "the last query is missing in the sum: `range` stops before its end, 2 * length + 1": lambda pattern, length: (
                pattern.diagonal(1 - length)[2:-1].sum() / length
            ),
            "this is a sum, and BOS is forgotten: it stands at position 0": lambda pattern, length: (
                length * bos_forgotten(pattern, length)
            ),
            "two tokens after the first copy; induction looks at the one after": lambda pattern, length: (
                sum(pattern[q, q - length + 2] for q in range(length + 1, 2 * length + 1)) / length
            ),
        },
        alternatives=(induction_by_diagonal,),
    ),
    Exercise(
        id="05.2",
        title="What one head adds to another's query",
        stars=1,
        task="Write `into_query(x, W_V_source, W_O_source, W_Q_destination)`. The source head attends to a position "
        "whose (normalised) stream vector is `x`, and writes what it found to the stream; the destination's query "
        "weights read it. Return what arrives there. `x` has shape `[pos, d_model]`, the answer `[pos, d_head]`.",
        solution=into_query,
        inputs=_chain,
        returns="query [pos, d_head]",
        hints=(
            "Vectors are rows and multiply from the left: follow `x` through the weights in the order it meets them.",
            "`x` is read by `W_V`, written by `W_O`, and read again by `W_Q`: three products from the left.",
        ),
        learned="The map from `x` to this query has at most the rank of the narrower head: whatever the source says "
        "goes through that many directions.",
        mistakes={
            "that is `W_Q.T @ W_OV`: the shapes fit, and it sends x through the source's circuit backwards": backwards,
            "that is what the destination reads from x itself; the source head is missing": source_left_out,
            "that is x and the source's output together; only what the source adds is asked for": with_residual,
            "this stops in the stream: the destination's W_Q still reads it": lambda x, W_V_source, W_O_source, W_Q_destination: (
                x @ W_V_source @ W_O_source
            ),
            "this stops in the source head: W_O writes it, and the destination's W_Q reads it": (
                lambda x, W_V_source, W_O_source, W_Q_destination: x @ W_V_source
            ),
            "the numbers are right and transposed: rows are positions": lambda x, W_V_source, W_O_source, W_Q_destination: (
                into_query(x, W_V_source, W_O_source, W_Q_destination).T
            ),
            "a softmax belongs to patterns, over keys: a query is the plain product": (
                lambda x, W_V_source, W_O_source, W_Q_destination: into_query(
                    x, W_V_source, W_O_source, W_Q_destination
                ).softmax(dim=-1)
            ),
        },
        alternatives=(circuit_first,),
    ),
    Exercise(
        id="05.3",
        title="K-composition",
        stars=2,
        task="Write `k_composition(W_V_source, W_O_source, W_Q_destination, W_K_destination)`: the norm of the source's "
        "OV circuit composed with the **key** side of the destination's QK circuit, over the product of the two "
        "circuits' norms. Here you may multiply the circuits out.",
        solution=k_composition,
        inputs=_two_circuits,
        returns="score",
        hints=(
            "`W_QK = W_Q @ W_K.T` is asked by the query on its left and answered by the key on its right.",
            "The source's output must meet `W_K` first, so compose `W_OV @ W_QK.T`; `.norm()` is the Frobenius norm.",
        ),
        learned="Q- and K-composition are one transposition apart: which side of `W_QK` the source's output meets.",
        mistakes={
            "that is Q-composition: the source's output meets W_Q first": q_composition,
            "that is the norm of the composed circuits: divide by the norms of both": k_norm,
            "the source's OV circuit stands backwards: what it reads is compared, not what it writes": backward_k,
            "those are spectral norms (largest singular value); the Frobenius norm is asked for": k_spectral,
            "`x / a * b` multiplies by b: put the product of the norms in brackets": (
                lambda W_V_source, W_O_source, W_Q_destination, W_K_destination: (
                    k_composition(W_V_source, W_O_source, W_Q_destination, W_K_destination)
                    * (W_Q_destination @ W_K_destination.T).norm() ** 2
                )
            ),
            "this composes with `W_K` alone: the destination's circuit is `W_Q @ W_K.T`": (
                lambda W_V_source, W_O_source, W_Q_destination, W_K_destination: (
                    (W_V_source @ W_O_source @ W_K_destination).norm()
                    / ((W_V_source @ W_O_source).norm() * W_K_destination.norm())
                )
            ),
            "divide by the norms of the two circuits, not by those of the four weights": (
                lambda W_V_source, W_O_source, W_Q_destination, W_K_destination: (
                    k_norm(W_V_source, W_O_source, W_Q_destination, W_K_destination)
                    / (W_V_source.norm() * W_O_source.norm() * W_Q_destination.norm() * W_K_destination.norm())
                )
            ),
            "that is the square: a norm is a root": lambda W_V_source, W_O_source, W_Q_destination, W_K_destination: (
                k_composition(W_V_source, W_O_source, W_Q_destination, W_K_destination) ** 2
            ),
        },
        alternatives=(k_from_singular_values,),
    ),
    Exercise(
        id="05.4",
        title="The norm of a circuit that is never multiplied out",
        stars=2,
        task="Write `thin_norm(W_V, W_O)`: the Frobenius norm of `W_V @ W_O` without making any "
        "`d_model x d_model` matrix. `W_V` is `[d_model, d_head]`, `W_O` is `[d_head, d_model]`. (The checker "
        "looks at what you make on the way.)",
        solution=thin_norm,
        inputs=_thin_factors,
        returns="norm",
        forbids=_whole_product,
        hints=(
            "`norm(M)**2 == trace(M.T @ M)`, and a trace lets you move factors round in a circle.",
            "`trace(W_O.T @ W_V.T @ W_V @ W_O) == trace((W_V.T @ W_V) @ (W_O @ W_O.T))`: two small matrices.",
        ),
        learned="Two matrices of `d_head x d_head` were enough: this is why the course keeps circuits as factors.",
        mistakes={
            "that is the product of the two norms, which only bounds the norm of the product": product_of_norms,
            "that is the square: take the root": root_forgotten,
            "the two small Gram matrices meet in a trace, not in a norm": norm_of_grams,
            "that sums the entries of a matrix product: the trace is the sum of the entries' own products, `*`": (
                lambda W_V, W_O: ((W_V.T @ W_V) @ (W_O @ W_O.T)).sum().sqrt()
            ),
            "the entries' products are squared once more: sum them, then take the root": (
                lambda W_V, W_O: ((W_V.T @ W_V) * (W_O @ W_O.T)).norm()
            ),
            "that is the norm of `W_O @ W_V`, the factors in the other order": lambda W_V, W_O: (W_O @ W_V).norm(),
        },
        alternatives=(by_qr,),
    ),
    Exercise(
        id="05.5",
        title="How surprising is this score?",
        stars=3,
        task="Write `null_z(write, read)` for thin factors of shape `[d_head, d]`: by how many standard deviations "
        "does score² (the squared norm of `write @ read.T` over the two squared norms) exceed its mean if a random "
        "rotation of the `d` dimensions stood between them? Mean: `1/d`. Variance: "
        "`2 (p - 1/d) (q - 1/d) / ((d - 1) (d + 2))`, where `p` and `q` are the spreads of the two spectra, "
        "`sum(s**4) / sum(s**2)**2`.",
        solution=null_z,
        inputs=_overlapping,
        returns="z",
        hints=(
            "The sums over singular values need no SVD: `sum(s**2)` is the trace of `write @ write.T`.",
            "and `sum(s**4)` is the sum of the squares of that matrix' entries.",
        ),
        learned="z says how far two circuits are from random directions, not that anything passes between them: pairs "
        "whose writer comes too late can have a large z too.",
        mistakes={
            "the score's square has mean 1/d, not the score": score_not_squared,
            "1/sqrt(d) is the root mean square, not the mean; compare squares": root_mean,
            "that divides by the variance: divide by its root": root_of_variance_forgotten,
            "that is how far above the mean, not in how many standard deviations": lambda write, read: (
                (write @ read.T).norm() ** 2 / (write.norm() * read.norm()) ** 2 - 1 / write.shape[1]
            ),
            "that holds for equal singular values; use each circuit's own spread": flat_spectra,
            "the mean is missing: take 1/d off score squared": lambda write, read: (
                null_z(write, read)
                * (r := (write @ read.T).norm() ** 2 / (write.norm() * read.norm()) ** 2)
                / (r - 1 / write.shape[1])
            ),
            "the 2 in the variance is missing": lambda write, read: null_z(write, read) * 2**0.5,
            "this is score squared as a multiple of chance: how many standard deviations above it was asked for": (
                lambda write, read: (write @ read.T).norm() ** 2 / (write.norm() * read.norm()) ** 2 * write.shape[1]
            ),
            "`/ (d - 1) * (d + 2)` multiplies by d + 2: put the product in brackets": lambda write, read: (
                null_z(write, read) / (write.shape[1] + 2)
            ),
            "the score is not normalised: divide the squared norm by the two squared norms": lambda write, read: (
                null_z(write, read)
                * ((write @ read.T).norm() ** 2 - 1 / write.shape[1])
                / ((write @ read.T).norm() ** 2 / (write.norm() * read.norm()) ** 2 - 1 / write.shape[1])
            ),
        },
        alternatives=(null_z_from_singular_values,),
    ),
    Exercise(
        id="05.6",
        title="Take one head away",
        stars=1,
        task="Write `mean_ablate(z, head)`: a copy of `z` (`hook_z`, shape `[batch, pos, head, d_head]`) in which that "
        "head's output is its mean over batch and positions everywhere. Leave the given tensor as it is.",
        solution=mean_ablate,
        inputs=_head_outputs,
        returns="z [batch, pos, head, d_head]",
        forbids=changes_arguments,
        hints=(
            "`z[:, :, head]` has shape `[batch, pos, d_head]`; which of its dimensions does the mean take?",
            "`.mean(dim=(0, 1))` leaves one vector of `d_head` numbers, which fits every batch row and position.",
        ),
        learned="The mean keeps the head's constant part, so what changes is due to what differs between texts and "
        "positions; zero takes both away.",
        mistakes={
            "that is zero ablation, which also takes away the head's constant part": zero_ablate,
            "that replaces a position, not a head: heads are the third dimension": ablate_position,
            "that is the mean over the batch alone: positions still differ": mean_over_batch,
            "that is the mean of all heads, not of this one": mean_of_everything,
            "that is one number, the mean over d_head too: each direction keeps its own mean": lambda z, head: (
                torch.where(torch.arange(z.shape[2])[:, None] == head, z[:, :, head].mean(), z)
            ),
            "that is the mean over positions alone: batch rows still differ": lambda z, head: torch.where(
                torch.arange(z.shape[2])[:, None] == head, z.mean(dim=1, keepdim=True), z
            ),
            "that is this head's part alone: give back all heads, this one replaced": lambda z, head: mean_ablate(
                z, head
            )[:, :, head],
            "that replaces every head by its mean: leave the others as they are": lambda z, head: (
                z.mean(dim=(0, 1)).expand_as(z).clone()
            ),
            "that is the sum over batch and positions: take the mean": lambda z, head: torch.where(
                torch.arange(z.shape[2])[:, None] == head, z.sum(dim=(0, 1)), z
            ),
            "that takes the mean off: put the mean in the output's place": lambda z, head: torch.where(
                torch.arange(z.shape[2])[:, None] == head, z - z.mean(dim=(0, 1)), z
            ),
            "that indexes the last axis, d_head: heads are the third of four": lambda z, head: torch.where(
                torch.arange(z.shape[3]) == head, z[..., head].mean(), z
            ),
        },
        alternatives=(mean_ablate_by_where,),
    ),
]

QUIZ = [
    Question(
        "An induction head reads a previous-token head's output with its ...",
        {
            "queries": "The query stands at the current token. What it may need is which token that is, or where it stood before; a previous-token head tells neither.",
            "keys": "The position after the first copy must announce which token came before it: that is what its key says.",
            "values": "The values carry the token to be copied, which stands at the attended position already.",
        },
        "keys",
    ),
    Question(
        "What arrives in the query of head 2 from head 1 at a position whose vector is `x`?",
        {
            "`x @ W_OV1 @ W_Q2`": "Written first, read second, vectors on the left.",
            "`W_Q2.T @ W_OV1 @ x`": "With vectors as columns it would be `W_Q2.T @ W_OV1.T @ x`: here `W_OV1` is not transposed.",
            "`x @ W_Q2 @ W_OV1`": "This reads before it writes, and the shapes do not fit: `W_Q2` ends in `d_head`.",
        },
        "`x @ W_OV1 @ W_Q2`",
    ),
    Question(
        "A pair has z = 40. This shows that ...",
        {
            "ablating the source will change the destination": "z comes from weights alone; whether an effect follows has to be measured by ablating.",
            "the two circuits' directions did not meet by chance": "z measures surprise, not size, not effect and not communication.",
            "the source tells the destination something": "Pairs whose writer comes after their reader, which can tell it nothing, reach a large z too: compare with them.",
            "the composition score is near 1": "The null's spread is small, so that a score a little above chance can have a large z.",
        },
        "the two circuits' directions did not meet by chance",
    ),
    Question(
        "A head attends to what came after the first copy of its token. Its model therefore has a previous-token head.",
        {
            "true": "It is the textbook way, and not the only one: a head that notes where its token stood can serve queries and keys alike.",
            "false": "The same attention can come from another circuit: which one, the split of the score and the cut of single paths say.",
        },
        "false",
    ),
    Question(
        "In a model with rotary positions, which composition depends on the distance between tokens?",
        {
            "V only": "Values are not rotated: the V-composition `W_OV1 @ W_OV2` is the same at every distance.",
            "Q and K": "The rotation stands between W_Q and W_K.T; the OV circuits have none.",
            "all three": "Not all: values are read and written without a rotation.",
        },
        "Q and K",
    ),
]
