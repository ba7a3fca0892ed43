"""Chapter 01: the residual stream in another basis."""

from rsutils.basis import figures
from rsutils.basis.contexts import rms_norms, rotated, unfolded, untrained
from rsutils.basis.measures import kurtosis, log_probs, max_change
from rsutils.basis.rotations import fixing_ones, random_rotation, rotate_, turn

__all__ = [
    "figures",
    "fixing_ones",
    "kurtosis",
    "log_probs",
    "max_change",
    "random_rotation",
    "rms_norms",
    "rotate_",
    "rotated",
    "turn",
    "unfolded",
    "untrained",
]
