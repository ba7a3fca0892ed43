"""Chapter 04 the plain way: the products that the Gram matrices of ``coupling.pairs`` stand for."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float64

from rsutils.coupling.pairs import Reader, Writer, check_one_stream


def by_products(writers: Iterable[Writer], readers: Sequence[Reader]) -> Float64[np.ndarray, "source destination"]:
    """The norm the plain way: one product ``[rows, columns]`` a pair. NaN where the reader does not come later.

    Raises:
        CourseError: a writer and the readers are not of one stream.
    """
    norms = []
    for writer in writers:
        check_one_stream([writer], readers)
        products = (writer.weight @ r.weight if writer.layer < r.layer else torch.tensor([torch.nan]) for r in readers)
        norms.append([torch.linalg.norm(product).item() for product in products])
    return np.array(norms, dtype=np.float64)
