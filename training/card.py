"""The model card, written from measured figures: no number in it is typed by hand."""

from __future__ import annotations

from pathlib import Path

CARD = """# The embedded model

A GPT-2-architecture model that lives in a small world of short English stories. It is small enough to take apart on a
laptop and was trained to show, for real, what the course teaches: {n_parameters:,} parameters, vocabulary {d_vocab:,}
(byte-level, so any text encodes), weights in half precision, which costs {half_precision_kl:.0e} nats a token.

`python -m training.train` made it, seed {seed}, in {steps:,} steps of together {tokens:,} tokens; the run whose weights
these are took {minutes:.0f} minutes on one core of a busy machine. `python -m training.measure` wrote every figure
here, and the file `measured.json`. Nothing in it was planted, and no loss looked at attention; the curriculum, in
`training/recipe.py`, was chosen with these heads in mind.

## Heads
Measured on repeated random tokens: a random prefix, then a span twice, at a distance never repeated in training.

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

So two circuits meet in the induction head: the previous-token head speaks to its keys, as in the textbook, and the
duplicate-token head, which tells where the token stood before, to its queries. The last two rows weigh them.

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
| capitals of its world | {capitals:.0%} |
| opposites of its world | {opposites:.0%} |
| loss on held-out documents, nats a token | {loss_held_out:.2f} |
| time to load, TransformerLens imported, on the machine that measured | {load_seconds:.2f} s |

## Samples
The first three samples of three sentences, seeds counted from 0, temperature 0.7.

{samples}

## What it cannot do
- English outside its world: {loss_prose:.1f} nats a token on ordinary prose, against {loss_held_out:.2f} at home.
- Follow a thing through two hands: asked who has it now, it is right in {holder:.0%}.
- Reason, count, answer questions, or know anything that its grammar does not say.

## How it formed
The same measurements on the shipped checkpoints. The best heads of each checkpoint are shown; they may differ. Before
step {joined:,} only blocks 0 and 1 were trained, on repeated material alone. The other two still had random weights and
blur what the first two predict, so that the losses up to there say little and the heads' scores more.

{curve}
"""


def write_card(figures: dict, path: Path) -> None:
    """Write the card for figures as `training.measure` makes them."""
    columns = ["step", "induction", "previous", "copied", "loss, 2nd copy", "names", "loss, stories"]
    rows = [
        [
            str(point["step"]),
            f"{point['induction_score']:.2f} (L{point['induction_head'][0]}H{point['induction_head'][1]})",
            f"{point['previous_score']:.2f} (L{point['previous_head'][0]}H{point['previous_head'][1]})",
            f"{point['copied']:.2f}",
            f"{point['loss_second_copy']:.2f}",
            f"{point['names']:.0%}",
            f"{point['loss_held_out']:.2f}",
        ]
        for point in figures["curve"]
    ]
    table = [columns, ["---"] * len(columns), *rows]
    path.write_text(
        CARD.format(
            **figures["heads"],
            **figures["language"],
            **figures["trained"],
            n_parameters=figures["n_parameters"],
            d_vocab=figures["d_vocab"],
            joined=figures["joined"],
            load_seconds=figures["load_seconds"],
            samples="\n".join(f"> {text}\n" for text in figures["samples"]),
            curve="\n".join("| " + " | ".join(row) + " |" for row in table),
        )
    )
