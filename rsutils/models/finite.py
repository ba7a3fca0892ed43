"""Are all numbers of a weights file finite? Read as a file, a few at a time, and not through the mapped model.

A pass over the loaded weights would touch every mapped page and keep half a gigabyte of GPT-2 resident for nothing.
"""

import json
from pathlib import Path

import numpy as np

CHUNK = 2**24  # bytes read at once
# An exponent of ones alone stands for infinity or NaN: the type to read, and these bits.
EXPONENT = {"F64": ("<u8", 0x7FF0 << 48), "F32": ("<u4", 0x7F80 << 16), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80)}


def first_not_finite(file: Path) -> str | None:
    """The first tensor of a whole safetensors file that holds NaN or infinity, if there is one.

    The format: eight bytes with the header's length, the header as JSON, then the numbers at its offsets.
    """
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(length))
        for name, tensor in header.items():
            if tensor.get("dtype") not in EXPONENT:  # integers, and the file's own notes
                continue
            kind, bits = EXPONENT[tensor["dtype"]]
            start, end = tensor["data_offsets"]
            opened.seek(8 + length + start)
            for place in range(start, end, CHUNK):
                numbers = np.frombuffer(opened.read(min(CHUNK, end - place)), kind)
                if ((numbers & bits) == bits).any():
                    return name
    return None
