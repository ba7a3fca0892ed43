"""The model card, written from measured figures: no number in it is typed by hand."""

from __future__ import annotations

from pathlib import Path

from training.batches import HELD_LAGS
from training.heads import PREFIX

CARD = """# The embedded model

A transformer of the GPT-2 architecture, small enough to take apart on a laptop: {n_parameters:,} parameters and a
vocabulary of {d_vocab:,} tokens (byte-level, so any text encodes). It was trained on two things: short stories that a
small grammar writes, and made-up rows in which something comes back, so that only copying predicts it. Its weights are
stored in half precision, which costs {half_precision_kl:.0e} nats a token.

`python -m training.train` made it, seed {seed}, in {steps:,} steps of together {tokens:,} tokens; the run whose weights
these are took {minutes:.0f} minutes on one core of a busy machine. `python -m training.measure` wrote every figure
here, and the file `measured.json`, which `rsutils.models.measured()` reads.

## What it was trained on
{story:.0%} of what it read were stories, {synthetic:.0%} rows to copy; in the last {last_steps:,} steps these were
{last_synthetic:.0%}. (Shares are of tokens.)

{kinds}

The grammar, `training/corpus.py`, draws each story from one of these kinds: {documents}.

The curriculum, `training/recipe.py`, went stage by stage. *Alone* counts the steps of a stage in which block 0 ran
without the others, on echo rows. *Scattered* is the share of the rows to copy whose tokens stood at random increasing
positions, so that distances tell little.

{stages}

**Did the heads come by themselves?** No. No weight was set by hand, and no loss looked at attention. But the rows and
the order in which the blocks joined were chosen for these heads, and changed until they formed: block 1 was trained
before block 0, block 0 alone for {alone:,} steps on rows that looking one position back solves, and the last blocks
joined at step {joined:,}. So this model shows what such heads are, how to find them and how they work together. It
does not show that text alone makes them, nor when.

## Heads
Measured on repeated random tokens: {prefix} random tokens, then a span twice. No span of {held} tokens was ever
repeated in training, spans of {trained_lag} were; the figures below are for {lag}.

| what | measured |
|---|---|
| induction, L{induction_head[0]}H{induction_head[1]}: attention to what came after the first | {induction_score:.2f} |
| previous-token head L{previous_head[0]}H{previous_head[1]}: attention to the position before | {previous_score:.2f} |
| loss on the first and second copy, nats a token | {loss_first_copy:.2f}, {loss_second_copy:.2f} |
| share of the second copy predicted right | {copied:.2f} |
| K-composition of the two, percentile of {n_pairs} earlier-to-later pairs | {K_composition:.3f}, {K_percentile:.1f} |
| duplicate-token head L{duplicate_head[0]}H{duplicate_head[1]}: attention to the first copy | {duplicate_score:.2f} |
| Q-composition of it with the induction head, percentile | {Q_duplicate:.3f}, {Q_duplicate_percentile:.1f} |
| induction score when the previous-token head writes nothing | {induction_without_previous:.2f} |
| induction score when the duplicate-token head writes nothing | {induction_without_duplicate:.2f} |

So three heads do the copying. The previous-token head speaks to the induction head's keys, as in the textbook; the
duplicate-token head, which finds where the token stood before, speaks to its queries, and the textbook's pair of heads
has no such third. The last two rows show that neither of the two is enough alone.

The same for each length of span; of the induction heads, the one that K-composes most with a previous-token head:

{lags}

## Language
Recall counts only if the name is the most likely of all tokens; agreement, if the right words are likelier than the
wrong ones. Held-out names never give or receive in training, held-out openings never open a giving scene.

| what | measured |
|---|---|
| name recall, new names in new openings | {names_new_names_and_openings:.0%} |
| name recall, new names | {names_new_names:.0%} |
| name recall, new openings ("When Mary and John went to the store, John gave a drink to") | {names_new_openings:.0%} |
| name recall, new pairs of names | {names_new_pairs:.0%} |
| pronouns that follow the name | {pronouns:.0%} |
| number of the verb, with a noun of the other number before it | {number:.0%} |
| capitals of its stories | {capitals:.0%} |
| opposites of its stories | {opposites:.0%} |
| loss on held-out stories, nats a token | {loss_held_out:.2f} |
| time to load, TransformerLens imported, on the machine that measured | {load_seconds:.2f} s |

## Samples
The first three samples of three sentences, seeds counted from 0, temperature 0.7.

{samples}

## What it cannot do
- English outside its stories: {loss_prose:.1f} nats a token on ordinary prose, against {loss_held_out:.2f} at home.
- Follow a thing through two hands: asked who has it now, it is right in {holder:.0%}.
- Reason, count, answer questions, or know anything that its grammar does not say.

## How it formed
Copying was learnt on few tokens first. Rows to copy drew from a *pool* of {first_size} tokens, which widened to the
whole vocabulary as copying got better. So a checkpoint is shown twice: first in the pool that its last rows drew from,
on pairs as in its first rows and on spans, which no row had before step {spans:,}. The spans stand at the start of a
row. Up to step {scattered:,} no row was longer than {length} tokens, so there a span of {longest} ends at positions
new to the model. The heads are measured on spans of {pool_lag}; *previous* and *duplicate* are the best that stand in
an earlier block than the induction head, since only those can feed it, and the last two columns are the induction
score without them.

{pools}

{without_previous}

Then over the whole vocabulary, on spans of {lag} and on held-out stories:

{curve}

Up to step {joined_checkpoint:,} the losses over the whole vocabulary are poor because copying was trained on a pool of
{widest} of its {d_vocab:,} tokens at most. That blocks {fresh_blocks} still had random weights is not the cause: if
they write nothing, none of these losses changes by more than {fresh_cost:.2f}.
"""

KINDS = {
    "story": "short texts of a few sentences; every token counts",
    "pair": "pairs of tokens come back among single ones; only the second token of such a pair counts",
    "span": "a span of tokens comes twice; the second copy counts, or in the stories' stages every token",
    "echo": "half of the tokens repeat the one two places back, and these count: what comes next stands one back",
}


HEADS = ("induction", "previous", "duplicate", "without previous", "without duplicate")


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [columns, ["---"] * len(columns), *rows])


def head_name(head: list[int]) -> str:
    """A head as L0H3."""
    return f"L{head[0]}H{head[1]}"


def percent(shares: dict[str, float], kind: str) -> str:
    """A share in per cent, or a dash for none."""
    return f"{shares[kind]:.0%}" if kind in shares else "-"


def curriculum_words(curriculum: dict) -> dict:
    """The card's words and tables about what the model was trained on."""
    shares, stages = curriculum["shares"], curriculum["stages"]
    last = stages[-1]
    return {
        "story": shares["story"],
        "synthetic": 1 - shares["story"],
        "last_steps": last["stop"] - last["start"],
        "last_synthetic": 1 - last["shares"]["story"],
        "alone": curriculum["alone"],
        "joined": max(curriculum["block_joins"]),
        "spans": next(stage["start"] for stage in stages if "span" in stage["shares"]),
        "scattered": next(stage["start"] for stage in stages if stage["scatter"]),
        "length": stages[0]["length"],
        "documents": ", ".join(f"{kind} {share:.0%}" for kind, share in curriculum["documents"].items()),
        "kinds": table(
            ["rows", "what they are like", "of all", f"of the last {last['stop'] - last['start']:,} steps"],
            [[kind, words, percent(shares, kind), percent(last["shares"], kind)] for kind, words in KINDS.items()],
        ),
        "stages": table(
            ["steps", "blocks", *KINDS, "alone", "tokens in a row", "scattered"],
            [
                [
                    f"{stage['start']:,} to {stage['stop']:,}",
                    ", ".join(map(str, stage["blocks"])),
                    *(percent(stage["shares"], kind) for kind in KINDS),
                    str(stage["alone"] or "-"),
                    str(stage["length"]),
                    f"{stage['scatter']:.0%}" if stage["scatter"] else "-",
                ]
                for stage in stages
            ],
        ),
    }


def heads_row(heads: dict) -> list[str]:
    """What `training.heads.measure_heads` found, as cells under `HEADS`."""
    return [
        *(f"{heads[f'{kind}_score']:.2f} ({head_name(heads[f'{kind}_head'])})" for kind in HEADS[:3]),
        *(f"{heads[f'induction_without_{kind}']:.2f}" for kind in HEADS[1:3]),
    ]


def without_previous(curve: list[dict]) -> str:
    """The card's sentences on checkpoints that induce although no head before the induction head looks one back."""
    found = [(point["step"], point["own_pool"]["lags"][0]) for point in curve]
    found = [
        (step, heads) for step, heads in found if heads["induction_score"] >= 0.5 and heads["previous_score"] < 0.1
    ]
    if not found:
        return "No checkpoint has a head that induces without a head before it that looks one position back."
    sentences = [
        f"At step {step:,} a head induces ({heads['induction_score']:.2f}) although no head before it looks one back "
        f"({heads['previous_score']:.2f} at most).\nWithout {head_name(heads['duplicate_head'])}, which finds where "
        f"the token stood before, {heads['induction_without_duplicate']:.2f} is left."
        for step, heads in found
    ]
    return "\n".join([*sentences, "So a model can copy, and have an induction head, without a previous-token head."])


def curve_words(curve: list[dict]) -> dict:
    """The card's words and tables about how the model formed."""
    own = [(point["step"], point["own_pool"]) for point in curve]
    lags = [heads["lag"] for heads in own[0][1]["lags"]]
    fresh = [point for point in curve if point["fresh_blocks"]]
    losses = ("loss_second_copy", "loss_held_out")
    return {
        "first_size": own[0][1]["size"],
        "pool_lag": lags[0],
        "longest": lags[-1],
        "without_previous": without_previous(curve),
        "joined_checkpoint": fresh[-1]["step"],
        "widest": fresh[-1]["own_pool"]["size"],
        "fresh_blocks": " and ".join(map(str, fresh[-1]["fresh_blocks"])),
        "fresh_cost": max(abs(point[f"{loss}_without_fresh"] - point[loss]) for point in fresh for loss in losses),
        "pools": table(
            ["step", "pool", "pairs", *(f"spans of {lag}" for lag in lags), *HEADS],
            [
                [
                    str(step),
                    str(pool["size"]),
                    f"{pool['pairs']:.2f}",
                    *(f"{heads['copied']:.2f}" for heads in pool["lags"]),
                    *heads_row(pool["lags"][0]),
                ]
                for step, pool in own
            ],
        ),
        "curve": table(
            ["step", "induction", "previous", "copied", "loss, 2nd copy", "names", "loss, stories"],
            [
                [
                    str(point["step"]),
                    f"{point['induction_score']:.2f} ({head_name(point['induction_head'])})",
                    f"{point['previous_score']:.2f} ({head_name(point['previous_head'])})",
                    f"{point['copied']:.2f}",
                    f"{point['loss_second_copy']:.2f}",
                    f"{point['names']:.0%}",
                    f"{point['loss_held_out']:.2f}",
                ]
                for point in curve
            ],
        ),
    }


def write_card(figures: dict, path: Path) -> None:
    """Write the card for figures as `training.measure` makes them."""
    path.write_text(
        CARD.format(
            **figures["heads"],
            **figures["language"],
            **figures["trained"],
            **curriculum_words(figures["curriculum"]),
            **curve_words(figures["curve"]),
            n_parameters=figures["n_parameters"],
            d_vocab=figures["d_vocab"],
            prefix=PREFIX,
            held=" or ".join(map(str, HELD_LAGS)),
            trained_lag=next(heads["lag"] for heads in figures["lags"] if heads["lag"] not in HELD_LAGS),
            lags=table(
                ["span", "copied right", *HEADS],
                [[str(heads["lag"]), f"{heads['copied']:.2f}", *heads_row(heads)] for heads in figures["lags"]],
            ),
            load_seconds=figures["load_seconds"],
            samples="\n".join(f"> {text}\n" for text in figures["samples"]),
        )
    )
