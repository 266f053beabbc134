#!/usr/bin/env python3
"""Training speed of hadal and of Transformers on PyTorch, in turns on the same machine.

    peer_transformers.py --hadal build/release/hadal [--configs demo wide] [--modes …] [--rounds 3] [--steps 4] [--threads 4]
                         [--sequences N] [--isa avx512]

Both train the model of recipes/bench_<config>.toml (Transformers reads the very same [model] table) on batches of random tokens of the
recipe's size with AdamW, clipped gradients, no MTP. Each round runs every mode of the peer once and hadal once, each in a process of its own, so that a
change of the machine's mood meets both. Rates are medians: of the steps of a process, then of the rounds. The first step of
each process (compilation, first touch of memory) does not count. On a machine with other work, compare tokens per processor second
of one thread (--threads 1): another program's time is not in it, and OpenMP threads that wait for a processor do not spoil it.

Modes of the peer: fp32, bf16 (weights and moments in bfloat16: it keeps no float32 master copy, hadal does), autocast (float32 weights,
bfloat16 products); `-compile` adds torch.compile. Experts always run as grouped products, the peer's fastest way.

What the machine's matrix products reach is measured in the same rounds: PyTorch's product of two 4096×4096 matrices in bf16. `--modes none`
measures only that and hadal.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PRODUCT = "product"
MODES = ["fp32", "bf16", "autocast", "fp32-compile", "bf16-compile", "autocast-compile"]


def read_recipe(config):
    return tomllib.loads((ROOT / f"recipes/bench_{config}.toml").read_text())


def run_peer(options):
    """In a process of its own: one mode, one line of JSON."""
    import os
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import torch
    import transformers

    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    transformers.utils.logging.set_verbosity_error()
    recipe = read_recipe(options.configs[0])
    settings = {key: value for key, value in recipe["model"].items() if key not in ("model_type", "num_nextn_predict_layers")}
    config = transformers.DeepseekV3Config(num_key_value_heads=settings["num_attention_heads"], norm_topk_prob=True,
                                           routed_scaling_factor=2.5, **settings)
    config._attn_implementation = "sdpa"
    config._experts_implementation = "grouped_mm"
    precision, _, compiled = options.peer.partition("-")
    model = transformers.DeepseekV3ForCausalLM(config).train()
    if precision == "bf16":
        model.to(torch.bfloat16)
    forward = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
    shape = (options.sequences or recipe["batch"]["sequences"], recipe["data"]["seq_len"])
    seconds, processor = [], []
    for _ in range(options.steps + 1):
        ids = torch.randint(settings["vocab_size"], shape)
        begin, processor_begin = time.perf_counter(), time.process_time()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "autocast"):
            loss = forward(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        float(loss.detach())
        seconds.append(time.perf_counter() - begin)
        processor.append(time.process_time() - processor_begin)
    print(json.dumps({"tokens_per_second": shape[0] * shape[1] / statistics.median(seconds[1:]),
                      "tokens_per_processor_second": shape[0] * shape[1] / statistics.mean(processor[1:]), "first_step_seconds": seconds[0],
                      "parameters": sum(weight.numel() for weight in model.parameters()), "torch": torch.__version__,
                      "transformers": transformers.__version__}))


def run_product(options):
    """PyTorch's large product in bf16, in a process of its own."""
    import torch

    torch.set_num_threads(options.threads)
    side, times = 4096, []
    left, right = (torch.randn(side, side).to(torch.bfloat16) for _ in range(2))
    for _ in range(8):
        begin = time.perf_counter()
        torch.mm(left, right)
        times.append(time.perf_counter() - begin)
    print(json.dumps({"gflops": 2 * side**3 / statistics.median(times[1:]) * 1e-9, "torch": torch.__version__}))


def last_json(words):
    run = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=ROOT)
    if run.returncode != 0:
        sys.exit(f"error: {' '.join(map(str, words))}\n{run.stderr[-2000:]}")
    return json.loads(run.stdout.strip().splitlines()[-1])


def measure(options, config):
    rates, details, processor = {}, {}, {}
    products = []
    for round_number in range(options.rounds):
        products.append(last_json([sys.executable, __file__, "--peer", PRODUCT, "--threads", options.threads])["gflops"])
        for mode in [*options.modes, "hadal"]:
            if mode == "hadal":
                words = [options.hadal, "bench", "train", f"recipes/bench_{config}.toml", "--steps", options.steps, "--threads",
                         options.threads, "--json"]
                if options.sequences:
                    words += ["--set", f"batch.sequences={options.sequences}", "--set", f"batch.micro_batch={options.sequences}"]
                if options.isa:
                    words += ["--isa", options.isa]
            else:
                words = [sys.executable, __file__, "--peer", mode, "--configs", config, "--steps", options.steps, "--threads",
                         options.threads]
                if options.sequences:
                    words += ["--sequences", options.sequences]
            result = last_json(words)
            details[mode] = result
            rates.setdefault(mode, []).append(result["tokens_per_second"])
            processor.setdefault(mode, []).append(result["tokens_per_processor_second"])
            print(f"round {round_number + 1} {config} {mode}: {rates[mode][-1]:.0f} tokens/s, "
                  f"{processor[mode][-1]:.0f} per processor second", file=sys.stderr)
    details[PRODUCT] = statistics.median(products)
    return rates, details, {mode: statistics.median(values) for mode, values in processor.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hadal", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--configs", nargs="+", default=["demo", "wide"])
    parser.add_argument("--modes", nargs="+", choices=[*MODES, "none"], default=["fp32", "bf16-compile", "autocast-compile"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="measured in each process, after one that warms up")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--sequences", type=int, help="of a batch, instead of the recipe's")
    parser.add_argument("--isa", help="hadal's instruction set; cap the peer's with ONEDNN_MAX_CPU_ISA")
    parser.add_argument("--peer", choices=[*MODES, PRODUCT], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return run_product(options) if options.peer == PRODUCT else run_peer(options)
    options.modes = [mode for mode in options.modes if mode != "none"]
    if not options.hadal:
        parser.error("--hadal is missing")
    for config in options.configs:
        rates, details, processor = measure(options, config)
        medians = {mode: statistics.median(values) for mode, values in rates.items()}
        ours = details["hadal"]
        print(f"\n{config}: {ours['mflop_per_token']:.1f} MFLOP a token, {options.threads} threads, hadal on {ours['isa']}")
        print(f"{'':18}{'tokens/s':>10}{'lowest':>10}{'highest':>10}{'hadal ÷ it':>12}{'per processor s':>17}{'hadal ÷ it':>12}")
        for mode, values in rates.items():
            ratio = medians["hadal"] / medians[mode]
            print(f"{mode:18}{medians[mode]:10.0f}{min(values):10.0f}{max(values):10.0f}{ratio:12.2f}"
                  f"{processor[mode]:17.0f}{processor['hadal'] / processor[mode]:12.2f}")
        if options.modes:
            best = max(options.modes, key=medians.get)
            peer = details[best]
            print(f"{peer['parameters'] / 1e6:.1f} M parameters, torch {peer['torch']}, transformers {peer['transformers']}; "
                  f"against its best mode ({best}): {medians['hadal'] / medians[best]:.2f} times")
        reached = medians["hadal"] * ours["mflop_per_token"] * 1e-3
        print(f"{reached:.0f} GFLOP/s: {reached / details[PRODUCT]:.0%} of PyTorch's product of 4096³ in bf16 ({details[PRODUCT]:.0f}), "
              f"{reached / ours['gemm_gflops']:.0%} of hadal's of 2048³ ({ours['gemm_gflops']:.0f})")


if __name__ == "__main__":
    main()
