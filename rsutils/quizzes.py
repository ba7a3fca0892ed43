"""The questions at the end of each chapter, kept here so that a notebook does not show the answers."""

from rsutils.errors import CourseError
from rsutils.questions import Question, Quiz

QUIZZES = {
    "00": [
        Question(
            "Which of these writes to the stream?",
            ["`W_in`", "`W_Q`", "`W_out`", "`W_U`"],
            "`W_out`",
            "Its last axis is `d_model`: each row is a vector of the stream.",
        ),
        Question(
            "A head in block 5 wants to use what an MLP in block 2 found. How does it get it?",
            [
                "through a wire from block 2 to block 5",
                "by reading the stream, where it was added",
                "from block 4, which passes it on",
            ],
            "by reading the stream, where it was added",
            "Nothing is replaced on the way: what was added in block 2 is a term of the sum that block 5 reads.",
        ),
    ],
    "01": [
        Question(
            "How does `W_U` change when the stream is rotated by `R`?",
            ["`W_U @ R`", "`R.T @ W_U`", "`R @ W_U @ R.T`", "not at all"],
            "`R.T @ W_U`",
            "It reads the stream: its first axis is `d_model`.",
        ),
        Question(
            "Which claim can change when the basis of the stream changes?",
            [
                "this neuron fires on names",
                "this head attends to the previous token",
                "coordinate 138 of the stream is huge",
                "these two writes are orthogonal",
            ],
            "coordinate 138 of the stream is huge",
            "Neurons, patterns and angles are the same in every basis; coordinates are the basis.",
        ),
        Question(
            "“The residual stream has no privileged basis” is ...",
            [
                "a fact about every trained model",
                "a symmetry of the architecture, which training need not respect",
                "wrong, because of GELU",
            ],
            "a symmetry of the architecture, which training need not respect",
            "The architecture allows rotations; Adam steps along coordinates, and trained models show it.",
        ),
    ],
    "02": [
        Question(
            "A head's direct attribution to a logit is +5. What happens to the logit when the head is cut?",
            ["it falls by 5", "it falls, by less than 5", "the attribution does not say"],
            "the attribution does not say",
            "The final norm's scale changes and later components read another stream: they may make up for the "
            "loss, or lose more.",
        ),
        Question(
            "Why does a plot of contributions have to start with the embedding and layer 0?",
            ["They are always the largest", "Without them the bars do not sum to the stream", "For symmetry"],
            "Without them the bars do not sum to the stream",
            "The running sum is exact only with all writes. Whether they are large is a question for the model "
            "at hand.",
        ),
        Question(
            "A source position has the largest attention weight. Does most of the head's write come from it?",
            ["yes", "not necessarily"],
            "not necessarily",
            "What it brings is the weight times `v @ W_O`: a source with a small value vector brings little, and "
            "others can cancel it.",
        ),
    ],
    "03": [
        Question(
            "Why is `activation * V / scale` not the change you see when you remove the neuron from the later "
            "MLP's input?",
            ["GELU lies on the path", "the norm divides by a new scale", "W_in is nonlinear"],
            "the norm divides by a new scale",
            "Nothing else on the direct path depends on the rest of the stream.",
        ),
        Question(
            "A table of layers is filled at `[destination, source]`, row 0 on top. Where are the pairs in which "
            "the source comes earlier?",
            ["upper triangle", "lower triangle"],
            "lower triangle",
            "The source's column number is smaller than the destination's row number: below the diagonal.",
        ),
        Question(
            "A pair of MLPs has the largest norm of `V` in the model. What follows?",
            ["they are well aligned", "cutting the path matters most", "neither: its factors may just be large"],
            "neither: its factors may just be large",
            "Divide by both norms and compare with chance; then measure the effect.",
        ),
    ],
    "04": [
        Question(
            "A pair has a normalised coupling equal to `1/sqrt(d_model)` in an RMSNorm model. That means ...",
            ["the two are disconnected", "they overlap as random directions do", "they are strongly aligned"],
            "they overlap as random directions do",
            "Chance is not zero: random directions overlap by 1/sqrt(d).",
        ),
        Question(
            "Which of these needs `W_out` and `W_in` of the same pair multiplied out?",
            ["the raw norm", "z", "the strongest pair of neurons"],
            "the strongest pair of neurons",
            "Norms and their null need only the two Gram matrices; single entries need the product.",
        ),
        Question(
            "z = 40 for one pair and z = 4 for another. Then the first ...",
            [
                "sends ten times as much",
                "is further from what random directions would do",
                "matters more for the output",
            ],
            "is further from what random directions would do",
            "Significance is not effect: z knows neither sizes nor activations.",
        ),
    ],
    "05": [
        Question(
            "An induction head reads a previous-token head's output with its ...",
            ["queries", "keys", "values"],
            "keys",
            "The position after the first copy must announce which token came before it: that is what its key says.",
        ),
        Question(
            "What arrives in the query of head 2 from head 1 at a position whose vector is `x`?",
            ["`x @ W_OV1 @ W_Q2`", "`W_Q2.T @ W_OV1 @ x`", "`x @ W_Q2 @ W_OV1`"],
            "`x @ W_OV1 @ W_Q2`",
            "Written first, read second, vectors on the left.",
        ),
        Question(
            "A pair has z = 40. This shows that ...",
            [
                "ablating the source will change the destination",
                "the two circuits' directions did not meet by chance",
                "the composition score is near 1",
            ],
            "the two circuits' directions did not meet by chance",
            "z measures surprise, not size and not effect.",
        ),
        Question(
            "In a model with rotary positions, which composition depends on the distance between tokens?",
            ["V only", "Q and K", "all three"],
            "Q and K",
            "The rotation stands between W_Q and W_K.T; the OV circuits have none.",
        ),
    ],
}


def quiz(chapter: str) -> Quiz:
    """The quiz of a chapter, by its number (``"03"``).

    Raises:
        CourseError: there is no such chapter.
    """
    if chapter not in QUIZZES:
        raise CourseError(f"no quiz {chapter!r}: expected one of {', '.join(QUIZZES)}")
    return Quiz(QUIZZES[chapter])
