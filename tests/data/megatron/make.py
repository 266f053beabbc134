"""Writes the pairs that token_dataset_test.cpp reads, with numpy alone: an independent hand at the format."""
import struct
import numpy as np

def write(name, documents, dtype, code):
    sequences = [np.array(s, dtype) for d in documents for s in d]
    lengths = np.array([len(s) for s in sequences], np.int32)
    starts = np.cumsum(np.concatenate([[0], lengths[:-1]])).astype(np.int64) * np.dtype(dtype).itemsize
    first = np.cumsum([0] + [len(d) for d in documents]).astype(np.int64)
    with open(name + ".bin", "wb") as f:
        for s in sequences:
            f.write(s.tobytes())
    with open(name + ".idx", "wb") as f:
        f.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, len(sequences), len(first)))
        f.write(lengths.tobytes() + starts.tobytes() + first.tobytes())

# Two sequences in the second document, an empty third one.
write("narrow", [[[5, 6, 65499]], [[1, 2], [3]], [], [[9, 8, 7, 1]]], np.uint16, 8)
write("wide", [[[129279, 0, 1]], [[70000]]], np.int32, 4)
