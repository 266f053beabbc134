#!/usr/bin/env python3
"""Writes tests/golden/int4 or int8: weights in groups of 32 as `compressed-tensors` packs them, and what they mean.

Needs PyTorch, safetensors and compressed-tensors; shares no code with hadal. Each weight is quantised and unpacked by
that package: `model.safetensors` has what it ships, `expected.safetensors` the weights before and the values after.
"""
import json
import pathlib
import sys

import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import save_file

GROUP = 32


def weight(rows, columns, generator):
    """Groups of very different sizes, with ties of the rounding, clipped values, and groups of zeros."""
    groups = columns // GROUP
    w = torch.randn(rows, columns, generator=generator)
    w *= torch.exp2(torch.randint(-12, 6, (rows, groups), generator=generator).float()).repeat_interleave(GROUP, 1)
    w[0, :GROUP] = 0
    return w


def main():
    bits = int(sys.argv[1])
    out = pathlib.Path(f"tests/golden/int{bits}")
    out.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(20250101)
    args = QuantizationArgs(num_bits=bits, type="int", symmetric=True, strategy="group", group_size=GROUP)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    stored, expected = {}, {}
    for name, (rows, columns) in {"wide": (3, 256), "tall": (17, 32), "one": (1, 64)}.items():
        w = weight(rows, columns, generator)
        amax = w.abs().reshape(rows, -1, GROUP).amax(2)
        scale = torch.where(amax > 0, amax / (2 ** (bits - 1) - 1), torch.ones_like(amax)).to(torch.bfloat16)
        scale[-1] *= 0.75  # the largest values are clipped, at the least code as well as at the most
        exact = scale.float().repeat_interleave(GROUP, 1)
        halves = torch.arange(columns) % 32 < 16  # of the last row: halfway between two codes, from the least on
        w[-1][halves] = (exact[-1] * (torch.arange(columns) % 32 * 2 ** (bits - 4) - 2 ** (bits - 1) - 0.5))[halves]
        state = {"weight": w, "weight_scale": scale}
        packed = PackedQuantizationCompressor.compress(state, scheme)
        values = PackedQuantizationCompressor.decompress(packed, scheme)["weight"]
        assert values.dtype == torch.bfloat16
        for part in ("packed", "scale", "shape"):
            stored[f"{name}.weight_{part}"] = packed[f"weight_{part}"].contiguous()
        expected[f"{name}.before"], expected[f"{name}.after"] = w, values
    save_file(stored, out / "model.safetensors")
    save_file(expected, out / "expected.safetensors")
    (out / "config.json").write_text(json.dumps({}) + "\n")


if __name__ == "__main__":
    main()
