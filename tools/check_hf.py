#!/usr/bin/env python3
"""Checks hadal against Transformers, both ways.

    check_hf.py --hadal build/release/hadal [MODEL …]

For each MODEL written by hadal (none: fresh ones of the presets tiny and mini are made) and for random models that Transformers
saves: the model loads in DeepseekV3ForCausalLM, logits agree, greedy tokens agree; where a tokenizer lies beside the model, ids agree;
written in block-FP8, logits agree with those of the weights that PyTorch makes of codes and scales.

Tolerances. float32: the largest difference is at most 1e-4 of the largest logit. bfloat16: both sides round every intermediate
to 8 bits, in different orders; the relative L2 distance of either from a float32 run of the same weights is measured at each
position, and hadal's median may be at most 1.5 times Transformers' own. The median, because at a few positions two experts are so
close that rounding swaps them, on either side.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import save_file
import transformers
from transformers import AutoModelForCausalLM, DeepseekV2Config, DeepseekV2ForCausalLM, DeepseekV3Config, DeepseekV3ForCausalLM

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

FAILURES = []


def report(name, good, text):
    print(f"{'ok  ' if good else 'FAIL'} {name}: {text}")
    if not good:
        FAILURES.append(name)


def hadal(arguments, *words):
    run = subprocess.run([arguments.hadal, *map(str, words), "--json"], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"hadal {' '.join(map(str, words))}: {run.stderr.strip()}")
    return json.loads(run.stdout.strip().splitlines()[-1])


def hadal_logits(arguments, model, ids, dtype, folder):
    tokens, out = folder / "tokens.json", folder / f"{dtype}.safetensors"
    tokens.write_text(json.dumps(ids.tolist()))
    hadal(arguments, "score", model, "--tokens", tokens, "--out", out, "--dtype", dtype)
    logits = load_file(out)["logits"]
    return torch.from_numpy(logits.reshape(*ids.shape, -1).astype(np.float32))


def reference(model, dtype):
    return AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()


def compare(arguments, name, model, folder):
    config = json.loads((pathlib.Path(model) / "config.json").read_text())
    torch.manual_seed(1)
    ids = torch.randint(2, config["vocab_size"], (2, 48))
    exact_model = reference(model, torch.float32)
    with torch.no_grad():
        exact = exact_model(ids).logits
    ours = hadal_logits(arguments, model, ids, "f32", folder)
    difference = float((ours - exact).abs().max())
    scale = float(exact.abs().max())
    report(f"{name} f32 logits", difference <= 1e-4 * scale, f"largest difference {difference:.2e}, largest logit {scale:.2f}")
    report(f"{name} f32 greedy choice", bool((ours.argmax(-1) == exact.argmax(-1)).all()), "every position")

    half = reference(model, torch.bfloat16)
    for layer in half.model.layers:  # float32 in the released files, and in Transformers when it loads them
        if hasattr(layer.mlp, "gate") and hasattr(layer.mlp.gate, "e_score_correction_bias"):
            layer.mlp.gate.e_score_correction_bias = layer.mlp.gate.e_score_correction_bias.float()
    with torch.no_grad():
        theirs = half(ids).logits.float()
    ours = hadal_logits(arguments, model, ids, "bf16", folder)
    distance = lambda x: float(((x - exact).norm(dim=-1) / exact.norm(dim=-1)).median())
    if config.get("torch_dtype", config.get("dtype")) == "bfloat16":
        report(f"{name} bf16 logits", distance(ours) <= 1.5 * distance(theirs),
               f"median relative L2 from float32: hadal {distance(ours):.4f}, Transformers {distance(theirs):.4f}")
    prompt = ids[:1, :16]
    with torch.no_grad():
        tokens = exact_model.generate(prompt, max_new_tokens=24, do_sample=False, eos_token_id=None, pad_token_id=0)
    check_generation(arguments, name, model, prompt, tokens[0, 16:].tolist(), folder)


def check_generation(arguments, name, model, prompt, expected, folder):
    if not (pathlib.Path(model) / "tokenizer.json").exists():
        return
    (folder / "prompt.json").write_text(json.dumps(prompt[0].tolist()))
    made = hadal(arguments, "generate", model, "--tokens", folder / "prompt.json", "-n", 24, "--dtype", "f32")["tokens"]
    report(f"{name} greedy text", made == expected[: len(made)] and len(made) > 0, f"{len(made)} tokens")


def check_tokenizer(arguments, name, model, folder):
    if not (pathlib.Path(model) / "tokenizer.json").exists():
        return
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(pathlib.Path(model) / "tokenizer.json"))
    texts = ["Once upon a time, there was a fox.", "int main(void) {\n    return 0;\n}\n", "12345 + 678 = 13023", "naïve café — déjà vu… 漢字かな交じり文", "\t\n  \r\n x", "a" * 300]
    path = folder / "text.txt"
    for text in texts:
        path.write_text(text)
        theirs = tokenizer.encode(text, add_special_tokens=False).ids
        ours = hadal(arguments, "tokenizer", "encode", model, "--text", path)["ids"]
        if ours != theirs:
            return report(f"{name} tokenizer", False, f"{text!r}: {ours} against {theirs}")
    report(f"{name} tokenizer", True, f"{len(texts)} texts encode identically")


def dequantised(model, folder):
    """A block-FP8 directory in float32, by PyTorch's own float8 type and nothing of hadal's. Returns the tensors and how many were codes."""
    tensors = {}
    for file in model.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            tensors.update({name: opened.get_tensor(name) for name in opened.keys()})
    wide, codes = {}, 0
    for name, tensor in tensors.items():
        if name.endswith("_scale_inv"):
            continue
        if tensor.dtype == torch.float8_e4m3fn:
            scale = tensors[f"{name}_scale_inv"].repeat_interleave(128, 0).repeat_interleave(128, 1)
            wide[name] = tensor.float() * scale[: tensor.shape[0], : tensor.shape[1]]
            codes += 1
        else:
            wide[name] = tensor.float()
    config = json.loads((model / "config.json").read_text())
    assert config.pop("quantization_config")["quant_method"] == "fp8"
    config["torch_dtype"] = "float32"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(wide, folder / "model.safetensors", {"format": "pt"})
    return wide, codes


def check_quantised(arguments, name, model, folder):
    """Block-FP8: hadal's logits on the codes are Transformers' on the weights that PyTorch makes of them."""
    fp8, bf16, wide_folder = folder / "fp8", folder / "bf16", folder / "wide"
    for path in (fp8, bf16, wide_folder):
        shutil.rmtree(path, ignore_errors=True)
    hadal(arguments, "quantize", model, "--to", "fp8", "--out", fp8)
    wide, codes = dequantised(fp8, wide_folder)
    hadal(arguments, "quantize", fp8, "--to", "bf16", "--out", bf16)
    with safe_open(bf16 / "model.safetensors", "pt") as opened:
        same = all(torch.equal(opened.get_tensor(key), value.to(opened.get_tensor(key).dtype)) for key, value in wide.items())
    report(f"{name} back in bf16", same and codes > 0, f"{codes} weights in E4M3, the bits of PyTorch's product")
    torch.manual_seed(2)
    vocab = json.loads((fp8 / "config.json").read_text())["vocab_size"]
    ids = torch.randint(2, vocab, (2, 48))
    with torch.no_grad():
        exact = reference(wide_folder, torch.float32)(ids).logits
    difference = float((hadal_logits(arguments, fp8, ids, "f32", folder) - exact).abs().max())
    scale = float(exact.abs().max())
    report(f"{name} block-FP8 logits", difference <= 1e-4 * scale, f"largest difference {difference:.2e}, largest logit {scale:.2f}")


def transformers_model(folder, name, dtype, **changes):
    settings = dict(vocab_size=320, hidden_size=64, intermediate_size=96, moe_intermediate_size=32, num_hidden_layers=3,
                    num_attention_heads=4, num_key_value_heads=4, n_shared_experts=1, n_routed_experts=8, routed_scaling_factor=2.5,
                    kv_lora_rank=24, q_lora_rank=40, qk_rope_head_dim=8, v_head_dim=16, qk_nope_head_dim=16, n_group=4, topk_group=2,
                    num_experts_per_tok=2, first_k_dense_replace=1, norm_topk_prob=True, max_position_embeddings=512,
                    initializer_range=0.1)
    settings.update(changes)
    torch.manual_seed(3)
    model = DeepseekV3ForCausalLM(DeepseekV3Config(**settings)).to(dtype)
    path = folder / name
    model.save_pretrained(path)
    return path


def transformers_v2_model(folder, name, **changes):
    settings = dict(vocab_size=320, hidden_size=64, intermediate_size=96, moe_intermediate_size=32, num_hidden_layers=3,
                    num_attention_heads=4, num_key_value_heads=4, n_shared_experts=2, n_routed_experts=8, kv_lora_rank=24,
                    qk_rope_head_dim=8, v_head_dim=16, qk_nope_head_dim=16, num_experts_per_tok=2, first_k_dense_replace=1,
                    max_position_embeddings=512, initializer_range=0.1)
    torch.manual_seed(4)
    DeepseekV2ForCausalLM(DeepseekV2Config(**settings, **changes)).save_pretrained(folder / name)
    return folder / name


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hadal", required=True)
    parser.add_argument("models", nargs="*")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        models = {model: model for model in arguments.models}
        if not models:
            for preset, dtype in (("tiny", "f32"), ("mini", "bf16")):
                path = folder / preset
                hadal(arguments, "init", "--preset", preset, "--out", path, "--dtype", dtype, "--seed", 5)
                models[f"hadal {preset}"] = path
        models["Transformers f32"] = transformers_model(folder, "hf32", torch.float32)
        models["Transformers bf16"] = transformers_model(folder, "hf16", torch.bfloat16)
        models["Transformers without q_lora"] = transformers_model(folder, "hfq", torch.float32, q_lora_rank=None, n_group=1, topk_group=1)
        yarn = dict(rope_type="yarn", rope_theta=10000.0, factor=8.0, original_max_position_embeddings=64, beta_fast=32, beta_slow=1,
                    mscale=1.0, mscale_all_dim=1.0)
        models["Transformers YaRN"] = transformers_model(folder, "hfyarn", torch.float32, rope_parameters=yarn)
        models["Transformers V2 greedy"] = transformers_v2_model(folder, "v2", topk_method="greedy", q_lora_rank=None, n_group=None,
                                                                 topk_group=None)
        models["Transformers V2 groups"] = transformers_v2_model(folder, "v2g", topk_method="group_limited_greedy", q_lora_rank=40,
                                                                 n_group=4, topk_group=2, routed_scaling_factor=16.0)
        for name, model in models.items():
            check_tokenizer(arguments, name, model, folder)
            compare(arguments, name, model, folder)
            check_quantised(arguments, name, model, folder)
    print(f"{len(FAILURES)} failures" if FAILURES else "all agree")
    sys.exit(bool(FAILURES))


if __name__ == "__main__":
    main()
