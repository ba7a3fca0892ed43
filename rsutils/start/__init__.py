"""Chapter 00: what a residual stream is, and how this course works."""

from rsutils.start import figures

__all__ = [
    "figures",
]
