"""Chapter 06: a predictor is sealed before anyone looks, and judged where it was not tuned."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Float64
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.causal.parts import can_hear, readers, writers
from rsutils.causal.predictors import Predictors
from rsutils.causal.ranking import lead, pick, within_layers
from rsutils.causal.table import EdgeEffects
from rsutils.errors import CourseError

BASELINE = "size of W_OV"
Predictor = Callable[[TransformerBridge], Float[Tensor | np.ndarray, "source destination"]]


def predict(model: TransformerBridge, predictor: Predictor) -> Float64[np.ndarray, "source destination"]:
    """What a predictor says of every edge, checked: one number for each writer and reader of ``model``.

    Raises:
        CourseError: it returns another shape, or not a number for an edge that exists.
    """
    can = can_hear(writers(model), readers(model))
    found = np.asarray(predictor(model), dtype=np.float64)
    if found.shape != can.shape:
        raise CourseError(
            f"expected a score for each of {can.shape[0]} writers and {can.shape[1]} readers, got shape "
            f"{list(found.shape)}: see causal.writers(model) and causal.readers(model)"
        )
    if not np.isfinite(found[can]).all():
        raise CourseError("expected a finite score for every edge that exists, got NaN or infinity: give it a 0")
    return found


def seal(scores: Float64[np.ndarray, "source destination"]) -> str:
    """A hash of the order in which scores put the edges; the order is all that is judged, so rescaling changes nothing.

    >>> seal(np.array([[1.0, 2.0]])) == seal(np.array([[10.0, 30.0]])) != seal(np.array([[2.0, 1.0]]))
    True
    """
    order = pd.Series(scores.ravel()).rank(method="min", na_option="top").astype(int)
    return hashlib.sha256(order.to_numpy().tobytes()).hexdigest()[:16]


class Board:
    """The entries that were tried on this machine, a line each in a file; an entry is sealed before it is judged.

    Args:
        file: where the board is kept; without one, ``contest.jsonl`` in the folder ``RSUTILS_HOME`` or
            ``~/.residual-stream``.
    """

    def __init__(self, file: Path | None = None) -> None:
        home = Path(os.environ.get("RSUTILS_HOME") or Path.home() / ".residual-stream")
        self.file = file or home / "contest.jsonl"

    def enter(self, name: str, model: TransformerBridge, predictor: Predictor) -> str:
        """Seal what a predictor says of a model, before any effect is looked at; returns the seal.

        Raises:
            CourseError: the predictor's scores are not of this model's edges, or the board cannot be written.
        """
        stamp = seal(predict(model, predictor))
        self._write({"event": "sealed", "entry": name, "model": Path(model.info.name).name, "seal": stamp})
        return stamp

    def judge(
        self,
        name: str,
        model: TransformerBridge,
        predictor: Predictor,
        predictors: Predictors,
        effects: EdgeEffects,
        metric: str = "live",
        kind: str = "K",
    ) -> pd.Series:
        """Open the seal: how well the entry ranks effects within pairs of layers, and does it beat the source's size?

        It wins if the interval of the *difference* from ``size of W_OV`` lies above zero.

        Raises:
            CourseError: the entry was not sealed for this model, or says something else now.
        """
        scores = predict(model, predictor)
        sealed = [line["seal"] for line in self._read() if line.get("event") == "sealed" and line["entry"] == name]
        if seal(scores) not in sealed:
            said = "something else" if sealed else "nothing"
            raise CourseError(
                f"expected {name!r} to be sealed as it is, got {said} on the board: enter it before it is judged"
            )
        contest = Predictors(predictors.sources, predictors.destinations, predictors.values | {name: scores})
        gap, interval = lead(contest, effects, metric, kind, (name, BASELINE))
        found = {
            "entry": name,
            "model": effects.model,
            "family": effects.family,
            "kind": kind,
            "within": within_layers(pick(contest, effects, metric, kind, name)),
            "lead": gap,
            "low": interval.low,
            "high": interval.high,
            "wins": bool(interval.low > 0),
        }
        self._write({"event": "judged", "seal": seal(scores), **found})
        return pd.Series(found)

    def table(self) -> pd.DataFrame:
        """Every entry that was judged here, the best lead first; the last judgement of the same thing counts."""
        columns = ["entry", "model", "family", "kind", "within", "lead", "low", "high", "wins"]
        judged = pd.DataFrame([line for line in self._read() if line.get("event") == "judged"], columns=columns)
        judged = judged.drop_duplicates(["entry", "model", "family", "kind"], keep="last")
        return judged.sort_values("lead", ascending=False, ignore_index=True)

    def _read(self) -> list[dict]:
        """The lines that can be read: one that was cut off when a disk was full is left where it is."""
        try:
            lines = self.file.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CourseError(
                f"the board {self.file} cannot be read ({error.strerror}): check its permissions"
            ) from None
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return [line for line in found if isinstance(line, dict)]

    def _write(self, line: dict) -> None:
        text = json.dumps({"when": time.strftime("%Y-%m-%dT%H:%M:%S"), **line}) + "\n"
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            cut = self.file.exists() and not self.file.read_bytes().endswith(b"\n") and self.file.stat().st_size
            with self.file.open("a") as board:
                board.write("\n" + text if cut else text)
        except OSError as error:
            raise CourseError(
                f"the board {self.file} cannot be written ({error.strerror}): free some space, or set RSUTILS_HOME "
                "to a folder that can"
            ) from None
