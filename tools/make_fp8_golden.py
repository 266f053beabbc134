#!/usr/bin/env python3
"""Writes tests/golden/fp8_blocks: block-scaled float8 weights whose scales lie in another file, and what they mean.

Needs NumPy only and shares no code with hadal: the codes are decoded here from their definition, in float64, the
product is rounded once to float32 (two factors of at most 24 bits: exact in float64) and from there to bfloat16.
"""
import json
import pathlib
import struct
import sys

import numpy as np


def decode_e4m3(codes):
    codes = codes.astype(np.int64)
    exponent, fraction = codes >> 3 & 15, codes & 7
    value = np.where(exponent == 0, fraction * 2.0**-9, (8 + fraction) * 2.0 ** (exponent - 10.0))
    return np.where(codes & 0x80, -value, value)


def to_bfloat16(values):
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def write(path, tensors):
    header, data = {}, b""
    for name, (dtype, array) in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/fp8_blocks")
    out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20250101)
    first, second, expected, weight_map = {}, {}, {}, {}
    for name, (rows, columns) in {"inside": (128, 256), "edges": (130, 140), "thin": (1, 129), "small": (5, 3)}.items():
        codes = random.integers(0, 256, (rows, columns)).astype(np.uint8)
        codes[codes & 0x7F == 0x7F] = 0x01  # no NaN: they are compared elsewhere
        scale = np.exp2(random.uniform(-12, 2, (-(-rows // 128), -(-columns // 128)))).astype(np.float32)
        spread = np.repeat(np.repeat(scale, 128, 0), 128, 1)[:rows, :columns]
        value = (decode_e4m3(codes) * spread.astype(np.float64)).astype(np.float32)
        first[f"{name}.weight"] = ("F8_E4M3", codes)
        second[f"{name}.weight_scale_inv"] = ("F32", scale)
        expected[f"{name}.f32"] = ("F32", value)
        expected[f"{name}.bf16"] = ("BF16", to_bfloat16(value))
    files = {"model-00001-of-00002.safetensors": first, "model-00002-of-00002.safetensors": second}
    for file, tensors in files.items():
        write(out / file, tensors)
        weight_map.update(dict.fromkeys(tensors, file))
    (out / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}, indent=1) + "\n")
    (out / "config.json").write_text("{}\n")
    write(out / "expected.safetensors", expected)


if __name__ == "__main__":
    main()
