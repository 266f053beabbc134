#!/usr/bin/env python3
"""Holds a model of `hadal quantize --to int4` or `int8` against compressed-tensors.

    tools/check_packed.py PACKED [UNPACKED]

Every layer of the files must be packed exactly where that package, from config.json, expects it, in as many bits; with UNPACKED, the
same model after `hadal quantize --to bf16`, the package's values are hadal's, bit for bit. Needs PyTorch, safetensors and
compressed-tensors.
"""
import json
import pathlib
import sys

import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationConfig
from compressed_tensors.utils.match import is_match, match_targets
from safetensors import safe_open


def tensors_of(folder):
    """Each tensor's name and the file that holds it."""
    files = [safe_open(path, "pt") for path in sorted(folder.glob("*.safetensors"))]
    return {name: file for file in files for name in file.keys()}


def scheme_of(config, layer):
    """What the package would do to a linear layer of this name: None is nothing."""
    module = torch.nn.Linear(1, 1)
    if any(is_match(layer, module, pattern) for pattern in config.ignore):
        return None
    schemes = {target: scheme for scheme in config.config_groups.values() for target in scheme.targets}
    matched = match_targets(layer, module, schemes)
    return schemes[matched[0]] if matched else None


def main():
    folder = pathlib.Path(sys.argv[1])
    config = QuantizationConfig.model_validate(json.loads((folder / "config.json").read_text())["quantization_config"])
    tensors = tensors_of(folder)
    unpacked = tensors_of(pathlib.Path(sys.argv[2])) if len(sys.argv) > 2 else {}
    layers = {}
    for name in tensors:
        layer, _, part = name.rpartition(".")
        if part.startswith("weight") and "norm" not in layer and "embed_tokens" not in layer:
            layers.setdefault(layer, set()).add(part)
    packed = 0
    for layer, parts in layers.items():
        scheme = scheme_of(config, layer)
        if ("weight_packed" in parts) != (scheme is not None):
            sys.exit(f"{layer} has {sorted(parts)}, config.json gives it {scheme}")
        if scheme is None:
            continue
        packed += 1
        state = {part: tensors[f"{layer}.{part}"].get_tensor(f"{layer}.{part}") for part in parts}
        values = PackedQuantizationCompressor.decompress(state, scheme)["weight"]
        name = f"{layer}.weight"
        if unpacked and not torch.equal(values, unpacked[name].get_tensor(name)):
            sys.exit(f"{layer}: other values than those that hadal unpacks")
    print(f"{packed} packed layers of {len(layers)} are as compressed-tensors reads them")


if __name__ == "__main__":
    main()
