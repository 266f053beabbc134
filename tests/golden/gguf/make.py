"""Writes the GGUF goldens with the `gguf` package (0.19, NumPy): needs gguf, numpy, safetensors.

    python tests/golden/gguf/make.py

blocks.gguf       one small tensor of each type that hadal reads. K-quants are random bits with
                  plausible scales (the package only reads them), the others quantised noise.
blocks.safetensors   the same names, dequantised by the package, float32.
../../fuzz/corpus/gguf_fuzz/small.gguf   where fuzzing starts.
model.gguf        tests/golden/mtp, float32, names and shapes as the stock converter writes them.
"""
import json
import pathlib

import gguf
import numpy as np
from safetensors.numpy import load_file, save_file

HERE = pathlib.Path(__file__).parent
Q = gguf.GGMLQuantizationType


def random_k_blocks(rng, kind, rows, blocks):
    """Rows of K-quant blocks: all bits random, but the float16 scales finite and small."""
    _, size = gguf.GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (rows, blocks, size), dtype=np.uint8)
    scales = rng.uniform(1e-4, 2e-2, (rows, blocks, 2)).astype(np.float16).view(np.uint8)
    if kind == Q.Q6_K:
        data[:, :, 208:210] = scales.reshape(rows, blocks, 4)[:, :, :2]
    else:
        data[:, :, 0:4] = scales.reshape(rows, blocks, 4)
    return data.reshape(rows, blocks * size)


def write_blocks():
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(HERE / "blocks.gguf", "none")
    expected = {}
    for kind in (Q.F32, Q.F16, Q.BF16, Q.Q4_0, Q.Q5_0, Q.Q8_0, Q.Q4_K, Q.Q5_K, Q.Q6_K):
        rows, columns = (3, 512) if kind in (Q.Q4_K, Q.Q5_K, Q.Q6_K) else (5, 96)
        if kind in (Q.Q4_K, Q.Q5_K, Q.Q6_K):
            data = random_k_blocks(rng, kind, rows, columns // 256)
        else:
            data = gguf.quants.quantize(
                rng.standard_normal((rows, columns)).astype(np.float32), kind)
        expected[kind.name] = gguf.quants.dequantize(data, kind).astype(np.float32)
        assert expected[kind.name].shape == (rows, columns) and np.isfinite(expected[kind.name]).all()
        writer.add_tensor(kind.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, HERE / "blocks.safetensors")


def write_fuzz_seed():
    """Every kind of value and three types, as small as they come."""
    corpus = HERE.parent.parent / "fuzz/corpus/gguf_fuzz"
    corpus.mkdir(parents=True, exist_ok=True)
    w = gguf.GGUFWriter(corpus / "small.gguf", "deepseek2")
    w.add_string("s", "text")
    w.add_bool("b", True)
    w.add_float32("f", 0.5)
    w.add_float64("d", 0.25)
    w.add_uint8("u8", 1)
    w.add_int64("i64", -1)
    w.add_uint64("u64", 1)
    w.add_array("words", ["a", "bc"])
    w.add_array("numbers", [1, 2, 3])
    one = np.ones((2, 32), np.float32)
    w.add_tensor("f32", one)
    w.add_tensor("q5_0", gguf.quants.quantize(one, Q.Q5_0), raw_dtype=Q.Q5_0)
    w.add_tensor("q8_0", gguf.quants.quantize(one, Q.Q8_0), raw_dtype=Q.Q8_0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp", "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp",
    "eh_proj": "nextn.eh_proj", "enorm": "nextn.enorm", "hnorm": "nextn.hnorm",
    "embed_tokens": "nextn.embed_tokens", "shared_head.head": "nextn.shared_head_head",
    "shared_head.norm": "nextn.shared_head_norm",
}
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def tensors_of(weights, config):
    heads, nope, v = (config[k] for k in ("num_attention_heads", "qk_nope_head_dim", "v_head_dim"))
    experts = {}
    for name, value in sorted(weights.items()):
        stem = name.removesuffix(".weight")
        if stem in TOP:
            yield TOP[stem] + ".weight", value
            continue
        _, _, layer, rest = stem.split(".", 3)
        if rest == "mlp.gate.e_score_correction_bias":
            yield f"blk.{layer}.exp_probs_b.bias", value
        elif rest == "self_attn.kv_b_proj":
            parts = value.reshape(heads, nope + v, -1)
            yield f"blk.{layer}.attn_k_b.weight", parts[:, :nope].transpose(0, 2, 1).copy()
            yield f"blk.{layer}.attn_v_b.weight", parts[:, nope:].copy()
        elif rest.startswith("mlp.experts."):
            expert, part = rest.removeprefix("mlp.experts.").split(".")
            key = f"blk.{layer}.ffn_{part.removesuffix('_proj')}_exps.weight"
            experts.setdefault(key, {})[int(expert)] = value
        else:
            yield f"blk.{layer}.{NAMES[rest]}.weight", value
    for name, parts in experts.items():
        yield name, np.stack([parts[i] for i in range(len(parts))])


def write_model():
    source = HERE.parent / "mtp"
    c = json.loads((source / "config.json").read_text())
    w = gguf.GGUFWriter(HERE / "model.gguf", "deepseek2")
    w.add_block_count(c["num_hidden_layers"] + c["num_nextn_predict_layers"])
    w.add_nextn_predict_layers(c["num_nextn_predict_layers"])
    w.add_vocab_size(c["vocab_size"])
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_expert_feed_forward_length(c["moe_intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv(1)
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_rope_freq_base(c["rope_theta"])
    w.add_rope_dimension_count(c["qk_rope_head_dim"])
    w.add_leading_dense_block_count(c["first_k_dense_replace"])
    w.add_q_lora_rank(c["q_lora_rank"])
    w.add_kv_lora_rank(c["kv_lora_rank"])
    w.add_key_length(c["kv_lora_rank"] + c["qk_rope_head_dim"])
    w.add_value_length(c["kv_lora_rank"])
    w.add_key_length_mla(c["qk_nope_head_dim"] + c["qk_rope_head_dim"])
    w.add_value_length_mla(c["v_head_dim"])
    w.add_expert_count(c["n_routed_experts"])
    w.add_expert_used_count(c["num_experts_per_tok"])
    w.add_expert_shared_count(c["n_shared_experts"])
    w.add_expert_group_count(c["n_group"])
    w.add_expert_group_used_count(c["topk_group"])
    w.add_expert_weights_scale(c["routed_scaling_factor"])
    w.add_expert_weights_norm(c["norm_topk_prob"])
    w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    w.add_bos_token_id(c["bos_token_id"])
    w.add_eos_token_id(c["eos_token_id"])
    for name, value in tensors_of(load_file(source / "model.safetensors"), c):
        w.add_tensor(name, np.ascontiguousarray(value, dtype=np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


write_blocks()
write_fuzz_seed()
write_model()
