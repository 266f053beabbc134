#!/usr/bin/env python3
"""Makes tests/golden/v2_greedy and v2_groups: small random DeepSeek-V2 models and Transformers' float32 logits for them.

    .venv-hf/bin/python tools/make_v2_golden.py        (torch 2.13.0 CPU, transformers 5.23.0)
"""
import pathlib

import torch
from safetensors.torch import save_file
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM

COMMON = dict(vocab_size=100, hidden_size=32, intermediate_size=48, moe_intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
              num_key_value_heads=2, n_shared_experts=2, n_routed_experts=8, kv_lora_rank=12, qk_rope_head_dim=8, v_head_dim=8,
              qk_nope_head_dim=8, num_experts_per_tok=3, first_k_dense_replace=1, max_position_embeddings=128, initializer_range=0.15)
CASES = {
    "v2_greedy": dict(topk_method="greedy", q_lora_rank=None, n_group=None, topk_group=None, routed_scaling_factor=1.0),
    "v2_groups": dict(topk_method="group_limited_greedy", q_lora_rank=20, n_group=4, topk_group=2, routed_scaling_factor=16.0),
}

for name, settings in CASES.items():
    folder = pathlib.Path(__file__).parent.parent / "tests/golden" / name
    torch.manual_seed(7)
    model = DeepseekV2ForCausalLM(DeepseekV2Config(**COMMON, **settings)).eval()
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    ids = torch.randint(2, COMMON["vocab_size"], (2, 29))
    with torch.no_grad():
        logits = model(ids).logits
    save_file({"input_ids": ids, "logits": logits.contiguous()}, folder / "golden.safetensors")
