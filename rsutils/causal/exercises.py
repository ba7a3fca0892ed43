"""Exercises of chapter 06."""

import torch

from rsutils.teaching.checks import Exercise
from rsutils.teaching.questions import Question

# 06.1


def patched_read(x, clean, corrupt):
    return x - clean + corrupt


def wrong_direction(x, clean, corrupt):
    return x - corrupt + clean


def added_only(x, clean, corrupt):
    return x + corrupt


def removed_only(x, clean, corrupt):
    return x - clean


def by_change(x, clean, corrupt):
    return x + (corrupt - clean)


# 06.2


def patched_block(mid, clean, corrupt, W_in, W_out):
    return mid + torch.relu((mid - clean + corrupt) @ W_in) @ W_out


def resid_mid_patched(mid, clean, corrupt, W_in, W_out):
    patched = mid - clean + corrupt
    return patched + torch.relu(patched @ W_in) @ W_out


def mlp_alone(mid, clean, corrupt, W_in, W_out):
    return torch.relu((mid - clean + corrupt) @ W_in) @ W_out


def skip_alone(mid, clean, corrupt, W_in, W_out):
    return mid - clean + corrupt + torch.relu(mid @ W_in) @ W_out


def block_by_change(mid, clean, corrupt, W_in, W_out):
    return torch.relu(mid @ W_in + (corrupt - clean) @ W_in) @ W_out + mid


# 06.3


def live_read(x, clean, corrupt):
    new = x - clean + corrupt
    return new / new.square().mean(dim=-1, keepdim=True).sqrt()


def frozen_read(x, clean, corrupt):
    return (x - clean + corrupt) / x.square().mean(dim=-1, keepdim=True).sqrt()


def divided_by_length(x, clean, corrupt):
    new = x - clean + corrupt
    return new / new.norm(dim=-1, keepdim=True)


def one_scale_for_all(x, clean, corrupt):
    new = x - clean + corrupt
    return new / new.square().mean().sqrt()


def live_by_rms_norm(x, clean, corrupt):
    new = x + (corrupt - clean)
    return new * new.shape[-1] ** 0.5 / new.norm(dim=-1, keepdim=True)


# 06.4


def logit_difference(logits, right, wrong):
    rows = torch.arange(len(logits))
    return logits[rows, right] - logits[rows, wrong]


def probability_difference(logits, right, wrong):
    return logit_difference(logits.softmax(dim=-1), right, wrong)


def wrong_first(logits, right, wrong):
    return logit_difference(logits, wrong, right)


def right_alone(logits, right, wrong):
    return logits[torch.arange(len(logits)), right]


def by_log_softmax(logits, right, wrong):
    logs = logits.log_softmax(dim=-1)
    return (logs.gather(1, right[:, None]) - logs.gather(1, wrong[:, None]))[:, 0]


# 06.5


def answers(logits, lengths):
    return logits[torch.arange(len(logits)), lengths - 1]


def last_column(logits, lengths):
    return logits[:, -1]


def after_the_end(logits, lengths):
    return logits[torch.arange(len(logits)), lengths]


def one_length_for_all(logits, lengths):
    return logits[:, lengths.min() - 1]


def answers_one_by_one(logits, lengths):
    return torch.stack([row[int(length) - 1] for row, length in zip(logits, lengths, strict=True)])


# 06.6


def effect_of_chosen(effects, k):
    chosen = effects[:, ::2].mean(dim=1).argsort(descending=True)[:k]
    return effects[chosen, 1::2].mean()


def chosen_on_all(effects, k):
    return effects[effects.mean(dim=1).argsort(descending=True)[:k]].mean()


def chosen_where_judged(effects, k):
    judged = effects[:, 1::2]
    return judged[judged.mean(dim=1).argsort(descending=True)[:k]].mean()


def judged_where_chosen(effects, k):
    return chosen_where_judged(effects.roll(1, dims=1), k)


def halves_exchanged(effects, k):
    return effects[effects[:, 1::2].mean(dim=1).argsort(descending=True)[:k], ::2].mean()


def effect_by_topk(effects, k):
    return effects[:, 1::2].mean(dim=1)[effects[:, ::2].mean(dim=1).topk(k).indices].mean()


def _writes(draw):
    n, d_model = draw.sizes(2)
    return draw.normal(n, d_model), draw.normal(n, d_model), 2 * draw.normal(n, d_model)


def _block(draw):
    n, d_model, d_mlp = draw.sizes(3)
    stream = draw.normal(n, d_model), draw.normal(n, d_model), 2 * draw.normal(n, d_model)
    return *stream, draw.normal(d_model, d_mlp), draw.normal(d_mlp, d_model)


def _answered(draw):
    n, d_vocab = draw.sizes(2)
    right = torch.tensor([draw.integer(0, d_vocab - 2) for _ in range(n)])
    return draw.normal(n, d_vocab), right, (right + 1) % d_vocab


def _padded(draw):
    n, n_pos, d_vocab = draw.sizes(3)
    lengths = torch.tensor([2 + i % (n_pos - 2) for i in range(n)])
    return draw.normal(n, n_pos, d_vocab), lengths


def _effects(draw):
    n_parts, half = draw.sizes(2)
    return draw.normal(n_parts, 2 * half), draw.integer(2, n_parts - 2)


EXERCISES = [
    Exercise(
        id="06.1",
        title="Patch one edge",
        stars=1,
        task="Write `patched_read(x, clean, corrupt)`: the stream `x` (`[pos, d_model]`) of a clean run as one reader "
        "gets it if one writer, which wrote `clean` into it, had written `corrupt`.",
        solution=patched_read,
        inputs=_writes,
        returns="stream [pos, d_model]",
        hints=(
            "The stream is a sum: what one writer wrote can be taken out again.",
            "Take out what it wrote in the clean run, put in what it wrote in the corrupt one.",
        ),
        learned="Every other reader still gets the clean output: an edge is one writer in one reader's input.",
        mistakes={
            "that patches the wrong direction: the clean output must go and the corrupt one come": wrong_direction,
            "the clean output is still in the stream": added_only,
            "that is zero ablation of the edge: put the corrupt output in its place": removed_only,
        },
        alternatives=(by_change,),
    ),
    Exercise(
        id="06.2",
        title="The way past the MLP",
        stars=2,
        task="Write `patched_block(mid, clean, corrupt, W_in, W_out)`: the stream after a block if **only the MLP** "
        "reads `corrupt` in place of `clean`. The MLP is `relu(x @ W_in) @ W_out`, without a norm and without biases; "
        "`mid` is `resid_mid`, `[pos, d_model]`.",
        solution=patched_block,
        inputs=_block,
        returns="stream [pos, d_model]",
        hints=(
            "The stream after the block is what the MLP read **plus** what the MLP wrote.",
            "What the MLP writes changes; what goes past it does not.",
        ),
        learned="A block's output holds its own input: patching `resid_mid` and patching what the MLP reads are two "
        "experiments.",
        mistakes={
            "that patches resid_mid: the change also takes the skip path past the MLP": resid_mid_patched,
            "the skip path is missing: add what goes past the MLP": mlp_alone,
            "that patches the skip path and leaves the MLP as it was": skip_alone,
        },
        alternatives=(block_by_change,),
        tolerance=1e-3,
    ),
    Exercise(
        id="06.3",
        title="Live or frozen",
        stars=2,
        task="Write `live_read(x, clean, corrupt)`: what one reader gets after its RMSNorm (divide each position by "
        "its root mean square, without an epsilon) if one writer's `clean` becomes `corrupt`. The norm is **live**: "
        "it sees the patched stream.",
        solution=live_read,
        inputs=_writes,
        returns="normalised stream [pos, d_model]",
        hints=(
            "Patch first, divide afterwards.",
            "The divisor is `new.square().mean(dim=-1, keepdim=True).sqrt()` of the patched stream `new`.",
        ),
        learned="With a live norm the effect is not linear in the patch: a writer also acts on everybody else's part "
        "through the scale.",
        mistakes={
            "that is frozen: the norm still has the scale of the clean stream": frozen_read,
            "that divides by the length: the root *mean* square is asked for": divided_by_length,
            "that is one scale for all positions: each has its own": one_scale_for_all,
        },
        alternatives=(live_by_rms_norm,),
    ),
    Exercise(
        id="06.4",
        title="The metric",
        stars=1,
        task="Write `logit_difference(logits, right, wrong)`: for `logits` of shape `[prompt, d_vocab]`, how far each "
        "prompt's right answer lies above its wrong one, in logits. `right` and `wrong` hold a token a prompt.",
        solution=logit_difference,
        inputs=_answered,
        returns="difference [prompt]",
        hints=(
            "Each prompt has its own two answers: index rows and columns together.",
            "`logits[torch.arange(len(logits)), right]` is one number a prompt.",
        ),
        learned="What raises all logits alike cancels in a difference, and a difference does not saturate as a "
        "probability does.",
        mistakes={
            "that is a difference of probabilities, which saturate: leave the softmax out": probability_difference,
            "that is wrong minus right": wrong_first,
            "that is the right answer's logit alone: any token may have risen with it": right_alone,
        },
        alternatives=(by_log_softmax,),
    ),
    Exercise(
        id="06.5",
        title="Prompts of unequal lengths",
        stars=2,
        task="Write `answers(logits, lengths)`: the logits after each prompt's **last token**, where prompts of "
        "`lengths` tokens were filled up on the right. `logits` has shape `[prompt, pos, d_vocab]`. (The chapter's "
        "prompts have one length, since a position must also mean the same in the run that is patched in.)",
        solution=answers,
        inputs=_padded,
        returns="logits [prompt, d_vocab]",
        hints=(
            "The last column is padding wherever a prompt is shorter than the longest.",
            "A prompt of length n ends at position n - 1.",
        ),
        learned="Padding has logits too, and no error warns of reading them.",
        mistakes={
            "that is the last column: shorter prompts have padding there": last_column,
            "that is one position too far: positions count from 0": after_the_end,
            "that takes the shortest prompt's end for all": one_length_for_all,
        },
        alternatives=(answers_one_by_one,),
    ),
    Exercise(
        id="06.6",
        title="Choose here, judge there",
        stars=3,
        task="Write `effect_of_chosen(effects, k)` for effects `[part, prompt]`: choose the `k` parts with the largest "
        "mean effect on the even prompts (0, 2, ...), and return their mean effect on the odd ones.",
        solution=effect_of_chosen,
        inputs=_effects,
        returns="mean effect",
        hints=(
            "`effects[:, ::2]` are the even prompts, `effects[:, 1::2]` the odd ones.",
            "Sort parts by the mean over even prompts, and index the odd ones with the first `k`.",
        ),
        learned="On average the fresh half shows less than the half that chose: what is chosen for being large was "
        "partly lucky.",
        mistakes={
            "that chooses and judges on all prompts: chance that helped a part to be chosen flatters it": chosen_on_all,
            "that chooses by the metric it judges with: choose on the even prompts": chosen_where_judged,
            "that judges where it has chosen: judge on the odd prompts": judged_where_chosen,
            "the halves are exchanged: choose on the even prompts, judge on the odd ones": halves_exchanged,
        },
        alternatives=(effect_by_topk,),
    ),
]

QUIZ = [
    Question(
        "Path patching from a head to an MLP changes ...",
        {
            "what every later part reads": "That is patching the head's output: all its paths at once.",
            "what that MLP reads of that head": "One reader gets another vector of one writer; all else is as it was, until the MLP writes.",
            "the stream between the two": "Patching the stream changes all that goes past the MLP too.",
        },
        "what that MLP reads of that head",
    ),
    Question(
        "A part's clean output is put into a corrupt run, and the answer comes back. This shows that ...",
        {
            "the part is necessary": "Another part might have done the same: necessity is tested by noising the clean run.",
            "the part is sufficient, given the rest of the corrupt run": "That is what denoising tests; what the corruption left intact is taken for granted.",
            "no other part matters": "What the corruption does not touch stands in both runs and is never tested.",
        },
        "the part is sufficient, given the rest of the corrupt run",
    ),
    Question(
        "Attribution patching gives an edge nothing. Then ...",
        {
            "cutting it does nothing": "A slope is local: behind a saturated softmax it is flat, and a large change still matters.",
            "its slope is about flat where the model stands": "That is all that one backward pass knows; steps on the way to the corruption see more.",
            "its weights do not align": "The slope belongs to a run on prompts, not to weights alone.",
        },
        "its slope is about flat where the model stands",
    ),
    Question(
        "Two cuts do nothing each. Both together ...",
        {
            "do nothing": "Either may stand in for the other: a joint cut has to be made.",
            "may take the answer away": "Redundant paths hide each other from single cuts.",
            "do twice as much": "Sums of effects equal joint effects only in linear networks.",
        },
        "may take the answer away",
    ),
    Question(
        "A predictor ranks edges well over all layers and not at all within any two. It has found ...",
        {
            "which heads talk to each other": "Between two given layers it cannot tell.",
            "how effects differ between layers": "Depth alone does that: Simpson's paradox.",
            "an error of the measurement": "Both numbers may be right: they answer two questions.",
        },
        "how effects differ between layers",
    ),
]
