"""Train the embedded model from nothing: tokenizer, copying first, then stories. One command, one process.

    python -m training.train

It runs on one core, saves its state every few hundred steps in `training/run` and takes up from there if it was
stopped. A batch depends on the seed, the step and the level of difficulty alone, so a resumed run sees what an unbroken
one would have seen.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from training.batches import NO_LOSS, batch, shuffled_tokens
from training.export import SHIPPED, cost_of_halving, export, save_weights
from training.recipe import Recipe
from training.tokenizer import build_tokenizer

# One thread is the quickest for matrices this small; glibc would otherwise give back and refault its big buffers.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
    "MALLOC_TOP_PAD_": "268435456",
    "TOKENIZERS_PARALLELISM": "false",
}

RUN = Path(__file__).parent / "run"
MASTERED = 1.0  # nats a token: below it, copying gets harder
LEVEL_STEP = 1 / 300


class Run:
    """A training run in a folder: the model, its optimizer, the step it has reached and the level of difficulty."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        torch.manual_seed(recipe.seed)
        torch.set_num_threads(1)
        self.recipe, self.folder = recipe, folder
        self.tokenizer = build_tokenizer(folder / "tokenizer", recipe)
        self.shuffled = shuffled_tokens(recipe, self.tokenizer)
        self.model = new_model(recipe, self.tokenizer)
        self.blocks = list(self.model.transformer.h)
        self.optimizer = new_optimizer(self.model, recipe)
        self.step, self.level, self.seconds = 0, 0.0, 0.0
        self.levels: dict[int, float] = {}  # of the kept weights
        if (folder / "state.pt").exists():
            self.load()

    def save(self) -> None:
        """Write everything a resumed run needs; the old state is replaced only once the new one is whole."""
        self.use(range(len(self.blocks)))
        state = {name: getattr(self, name) for name in ("step", "level", "levels", "seconds")}
        state |= {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state, self.folder / "state.tmp")
        os.replace(self.folder / "state.tmp", self.folder / "state.pt")

    def load(self) -> None:
        """Take up the run where its last save left it."""
        state = torch.load(self.folder / "state.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.level, self.seconds = state["step"], state["level"], state["seconds"]
        self.levels = state["levels"]

    def use(self, blocks) -> None:
        """Run only these blocks; the others keep their fresh weights until they join."""
        self.model.transformer.h = torch.nn.ModuleList(self.blocks[i] for i in blocks)
        self.model.config.n_layer = len(self.model.transformer.h)

    def train_step(self) -> float:
        """One optimiser step; returns the loss in nats a token."""
        self.use(self.recipe.stage(self.step).blocks)
        tokens, labels, positions = batch(self.step, self.level, self.recipe, self.tokenizer, self.shuffled)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.step)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = self.model(tokens, position_ids=positions).logits
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=NO_LOSS)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def train(self, until: int | None = None) -> None:
        """Train to the end of the recipe, or to the step `until`, with saves, kept weights and a log on the way."""
        recipe, losses = self.recipe, []
        until = min(until or recipe.steps, recipe.steps)
        if self.step == 0:
            self.keep()
        while self.step < until:
            start = time.perf_counter()
            losses.append(self.train_step())
            stage = recipe.stage(self.step - 1)
            if stage.stories or (len(stage.blocks) > 1 and losses[-1] < MASTERED):
                self.level = min(1.0, self.level + LEVEL_STEP)
            self.seconds += time.perf_counter() - start
            if self.step in recipe.keep:
                self.keep()
            if self.step % recipe.save_every == 0 or self.step == until:
                self.save()
                self.report(losses)
                losses = []

    def facts(self) -> dict:
        """What the card says of the making: how long, how much, how hard the copying, what half precision costs."""
        self.use(range(len(self.blocks)))
        stories = next(step for step in reversed(range(self.recipe.steps)) if self.recipe.stage(step).stories)
        tokens, _, _ = batch(stories, 1.0, self.recipe, self.tokenizer, self.shuffled)
        return {
            "seed": self.recipe.seed,
            "steps": self.step,
            "tokens": self.step * self.recipe.tokens_per_step,
            "minutes": self.seconds / 60,
            "levels": self.levels,
            "half_precision_kl": cost_of_halving(self.model, tokens),
        }

    def keep(self) -> None:
        """Keep the weights of this step as one of the shipped checkpoints."""
        self.use(range(len(self.blocks)))
        self.levels[self.step] = self.level
        save_weights(self.model, self.folder / "checkpoints" / f"step-{self.step:05d}.safetensors")

    def report(self, losses: list[float]) -> None:
        """Add a line to the log: where the run stands and what it costs."""
        line = {
            "step": self.step,
            "level": round(self.level, 3),
            "loss": round(sum(losses) / max(1, len(losses)), 3),
            "minutes": round(self.seconds / 60, 2),
        }
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(line, flush=True)


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    """A GPT-2 of the recipe's size with fresh weights, without dropout."""
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=recipe.n_ctx, n_embd=recipe.d_model, n_layer=recipe.n_layers,
        n_head=recipe.n_heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.bos_token_id,
        initializer_range=recipe.init_std, activation_function="gelu_pytorch_tanh",
    )  # fmt: skip
    # Written-out attention is twice as quick here as the fused kernel, which is slow in bfloat16 on a CPU.
    config._attn_implementation = "eager"
    return GPT2LMHeadModel(config)


def new_optimizer(model: GPT2LMHeadModel, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW with weight decay on the matrices of the blocks alone."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".h." in name]
    rest = [p for name, p in model.named_parameters() if not (p.ndim == 2 and ".h." in name)]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)


def main() -> None:
    """Run or resume the whole recipe and export the result."""
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        os.execve(sys.executable, [sys.executable, "-m", "training.train", *sys.argv[1:]], os.environ | ENVIRONMENT)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=RUN, help="folder of saves and log (default: training/run)")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the finished model goes")
    args = parser.parse_args()
    run = Run(Recipe(), args.run)
    run.train()
    export(run.model, run.folder, args.out, run.facts())
    print(f"done: {run.step} steps in {run.seconds / 60:.0f} minutes; python -m training.measure writes the card")


if __name__ == "__main__":
    main()
