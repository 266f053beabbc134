#!/usr/bin/env python3
"""A model of hadal as a BF16 GGUF file that llama.cpp and ik_llama.cpp load: same weights, same routing, made-up vocabulary.

    llamacpp_model.py MODEL OUT.gguf
    llamacpp_model.py CONFIG.json OUT.gguf

MODEL is a folder in Hugging Face layout with BF16 weights (`hadal init --config bench/shapes/s.json --out MODEL --dtype bf16`). Other types are
made from the result by llama.cpp's own quantiser (`llama-quantize OUT.gguf Q4.gguf q4_0`). Tensors are written one after the other, so memory
stays at one layer's experts. The vocabulary only has the right size: speed measurements feed ids. Needs `pip install gguf numpy`.

From a configuration alone a file of random weights in Q4_0 is made, for models whose BF16 would not fit on the machine;
`hadal quantize OUT.gguf --to int4 --out MODEL` gives hadal the same ones.
"""
import json
import pathlib
import struct
import sys

import gguf
import numpy


def read_tensors(folder):
    """Name → (dtype, memory-mapped array)."""
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        with open(file, "rb") as stream:
            size = struct.unpack("<Q", stream.read(8))[0]
            header = json.loads(stream.read(size))
        data = numpy.memmap(file, dtype=numpy.uint8, mode="r", offset=8 + size)
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                words = numpy.uint16 if entry["dtype"] == "BF16" else numpy.float32
                tensors[name] = data[begin:end].view(words).reshape(entry["shape"])
    return tensors


def to_float(array):
    return (array.astype(numpy.uint32) << 16).view(numpy.float32) if array.dtype == numpy.uint16 else array


class RandomWeights:
    """Arrays by the names of Hugging Face: matrices as blocks of Q4_0 (a scale in float16, 32 codes), the rest in float32."""
    BLOCK, BYTES = 32, 18

    def __init__(self, config):
        hidden, heads = config["hidden_size"], config["num_attention_heads"]
        nope, rope, value = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
        rank, shared = config["kv_lora_rank"], config["n_shared_experts"] * config["moe_intermediate_size"]
        self.random = numpy.random.default_rng(1)
        self.experts = config["n_routed_experts"]
        self.hidden = hidden
        self.vectors = {"kv_a_layernorm": rank, "q_a_layernorm": config.get("q_lora_rank")}
        query_in = config.get("q_lora_rank") or hidden
        self.matrices = {
            "embed_tokens": (config["vocab_size"], hidden), "lm_head": (config["vocab_size"], hidden),
            "q_proj": (heads * (nope + rope), hidden), "q_a_proj": (config.get("q_lora_rank"), hidden),
            "q_b_proj": (heads * (nope + rope), query_in), "kv_a_proj_with_mqa": (rank + rope, hidden),
            "o_proj": (hidden, heads * value)}  # fmt: skip
        self.key_value = (heads, nope, value, rank)
        self.wide = {"shared_experts.": shared, "experts.": config["moe_intermediate_size"], "": config["intermediate_size"]}

    def blocks(self, *shape):
        count = shape[-1] // self.BLOCK
        blocks = self.random.integers(0, 256, (*shape[:-1], count, self.BYTES), dtype=numpy.uint8)
        blocks[..., :2] = numpy.frombuffer(numpy.float16(0.004).tobytes(), dtype=numpy.uint8)  # codes of −8 … 7: deviation 0.02
        return blocks.reshape(*shape[:-1], count * self.BYTES)

    def __getitem__(self, name):
        part = name.removesuffix(".weight").rsplit(".", 1)[-1]
        if part == "e_score_correction_bias":
            return numpy.zeros(self.experts, dtype=numpy.float32)
        if part == "gate":
            return self.random.normal(0, 0.02, (self.experts, self.hidden)).astype(numpy.float32)
        if part.endswith("norm"):
            return numpy.ones(self.vectors.get(part, self.hidden), dtype=numpy.float32)
        if part in self.matrices:
            return self.blocks(*self.matrices[part])
        wide = next(width for kind, width in self.wide.items() if kind in name)
        return self.blocks(*((self.hidden, wide) if part == "down_proj" else (wide, self.hidden)))


class Model:
    def __init__(self, source):
        self.is_random = source.is_file()
        self.config = json.loads((source if self.is_random else source / "config.json").read_text())
        self.weights = RandomWeights(self.config) if self.is_random else read_tensors(source)
        self.plan = []  # (GGUF name, function that gives the array)

    def add(self, name, source):
        self.plan.append((name, lambda: self.weights[source]))

    def add_float(self, name, source):
        self.plan.append((name, lambda: to_float(self.weights[source])))

    def add_experts(self, name, layer, part):
        count = self.config["n_routed_experts"]
        self.plan.append((name, lambda: numpy.stack(
            [self.weights[f"model.layers.{layer}.mlp.experts.{e}.{part}.weight"] for e in range(count)])))

    def add_key_value(self, block, source):
        """kv_b_proj [heads · (nope + v), rank] as k_b [heads, rank, nope] and v_b [heads, v, rank]."""
        if self.is_random:
            heads, nope, value, rank = self.weights.key_value
            self.plan.append((f"{block}.attn_k_b.weight", lambda: self.weights.blocks(heads, rank, nope)))
            self.plan.append((f"{block}.attn_v_b.weight", lambda: self.weights.blocks(heads, value, rank)))
            return
        heads, nope = self.config["num_attention_heads"], self.config["qk_nope_head_dim"]
        split = lambda: self.weights[source].reshape(heads, -1, self.config["kv_lora_rank"])
        self.plan.append((f"{block}.attn_k_b.weight", lambda: numpy.ascontiguousarray(split()[:, :nope].transpose(0, 2, 1))))
        self.plan.append((f"{block}.attn_v_b.weight", lambda: numpy.ascontiguousarray(split()[:, nope:])))

    def add_layer(self, layer):
        block, source = f"blk.{layer}", f"model.layers.{layer}"
        self.add_float(f"{block}.attn_norm.weight", f"{source}.input_layernorm.weight")
        if self.config.get("q_lora_rank"):
            self.add(f"{block}.attn_q_a.weight", f"{source}.self_attn.q_a_proj.weight")
            self.add_float(f"{block}.attn_q_a_norm.weight", f"{source}.self_attn.q_a_layernorm.weight")
            self.add(f"{block}.attn_q_b.weight", f"{source}.self_attn.q_b_proj.weight")
        else:
            self.add(f"{block}.attn_q.weight", f"{source}.self_attn.q_proj.weight")
        self.add(f"{block}.attn_kv_a_mqa.weight", f"{source}.self_attn.kv_a_proj_with_mqa.weight")
        self.add_float(f"{block}.attn_kv_a_norm.weight", f"{source}.self_attn.kv_a_layernorm.weight")
        self.add_key_value(block, f"{source}.self_attn.kv_b_proj.weight")
        self.add(f"{block}.attn_output.weight", f"{source}.self_attn.o_proj.weight")
        self.add_float(f"{block}.ffn_norm.weight", f"{source}.post_attention_layernorm.weight")
        parts = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
        if layer < self.config["first_k_dense_replace"]:
            for short, long in parts.items():
                self.add(f"{block}.ffn_{short}.weight", f"{source}.mlp.{long}.weight")
            return
        self.add_float(f"{block}.ffn_gate_inp.weight", f"{source}.mlp.gate.weight")
        self.add_float(f"{block}.exp_probs_b.bias", f"{source}.mlp.gate.e_score_correction_bias")
        for short, long in parts.items():
            self.add_experts(f"{block}.ffn_{short}_exps.weight", layer, long)
            self.add(f"{block}.ffn_{short}_shexp.weight", f"{source}.mlp.shared_experts.{long}.weight")

    def arrays(self):
        self.add("token_embd.weight", "model.embed_tokens.weight")
        for layer in range(self.config["num_hidden_layers"]):
            self.add_layer(layer)
        self.add_float("output_norm.weight", "model.norm.weight")
        self.add("output.weight", "lm_head.weight")
        return self.plan


def add_settings(writer, config):
    rope, nope = config["qk_rope_head_dim"], config["qk_nope_head_dim"]
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(1)
    writer.add_rope_freq_base(config.get("rope_theta", 10000.0))
    writer.add_rope_dimension_count(rope)
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-6))
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_q_lora_rank(config.get("q_lora_rank") or 0)
    writer.add_kv_lora_rank(config["kv_lora_rank"])
    writer.add_key_length(config["kv_lora_rank"] + rope)
    writer.add_value_length(config["kv_lora_rank"])
    writer.add_key_length_mla(nope + rope)
    writer.add_value_length_mla(config["v_head_dim"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_scale(config.get("routed_scaling_factor", 2.5))
    writer.add_expert_weights_norm(config.get("norm_topk_prob", True))
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    if config.get("n_group", 1) > 1:
        writer.add_expert_group_count(config["n_group"])
        writer.add_expert_group_used_count(config["topk_group"])


def add_vocabulary(writer, size):
    letters = [chr(c) for c in range(33, 127)]
    tokens = letters + ["ab"] + [f"<t{i}>" for i in range(size - len(letters) - 1)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("deepseek-v3")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * size)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(size - 2)
    writer.add_eos_token_id(size - 1)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    model = Model(pathlib.Path(sys.argv[1]))
    writer = gguf.GGUFWriter(sys.argv[2], "deepseek2")
    add_settings(writer, model.config)
    add_vocabulary(writer, model.config["vocab_size"])
    arrays = model.arrays()
    types = {numpy.dtype(numpy.uint16): gguf.GGMLQuantizationType.BF16, numpy.dtype(numpy.float32): gguf.GGMLQuantizationType.F32,
             numpy.dtype(numpy.uint8): gguf.GGMLQuantizationType.Q4_0}  # fmt: skip
    for name, array_of in arrays:
        array = array_of()
        # The writer counts a raw type's shape in bytes.
        shape = (*array.shape[:-1], array.shape[-1] * 2) if array.dtype == numpy.uint16 else array.shape
        dtype = array.dtype if array.dtype == numpy.float32 else numpy.dtype(numpy.uint8)
        writer.add_tensor_info(name, shape, dtype, array.nbytes, raw_dtype=types[array.dtype])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, array_of in arrays:
        writer.write_tensor_data(numpy.ascontiguousarray(array_of()))
    writer.close()


main()
