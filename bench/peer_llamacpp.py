#!/usr/bin/env python3
"""Speed of hadal's engine and of llama.cpp (or ik_llama.cpp) on the same weights, in turns on the same machine.

    peer_llamacpp.py --pair bf16 MODEL FILE.gguf [--pair int4 MODEL-int4 FILE-q4_0.gguf …] --peer llama.cpp=PATH/llama-bench [--peer …]
                     [--hadal build/release/hadal] [--prefill 512] [--decode 64] [--depth 4096] [--batch 16] [--rounds 3] [--threads 4]

PATH may be followed by options of its own ("ik=PATH/llama-bench -mla 3 -fmoe 1"). A pair is a model of hadal and the file that bench/llamacpp_model.py and llama-quantize made of it. Every round runs each program once for each
pair, so that a change of the machine's mood meets all; rates are medians of the rounds, printed as a table in Markdown with hadal ÷ peer. The peers
run with flash attention. Build llama-bench from the complete tree inside the llama-cpp-python source package. --batch needs
llama-batched-bench beside llama-bench. A figure that a program cannot give is left empty.
"""
import argparse
import json
import pathlib
import re
import shlex
import statistics
import subprocess


def output_of(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        print(f"failed: {' '.join(str(part) for part in command)}\n{done.stderr[-600:]}")
    return done.stdout if done.returncode == 0 else ""


def run_hadal(options, model):
    """Test → tokens per second."""
    base = [options.hadal, "bench", model, "--threads", options.threads, "--repetitions", 1, "--json"]
    if options.isa:
        base += ["--isa", options.isa]
    runs = [["--prefill", options.prefill, "--decode", options.decode]]
    runs += [["--prefill", 1, "--depth", depth, "--decode", options.decode] for depth in options.depth]
    runs += [["--prefill", 1, "--batch", batch, "--depth", 128, "--decode", options.decode] for batch in options.batch]
    rates = {}
    for run in runs:
        text = output_of(base + run)
        for result in json.loads(text)["results"] if text else []:
            if result["test"].startswith("prefill"):
                if run is runs[0]:
                    rates[f"prefill {options.prefill}"] = result["tokens_per_second"]
            elif result["batch"] > 1:
                rates[f"batch {result['batch']}"] = result["tokens_per_second"]
            else:
                rates[f"decode at {result['depth']}"] = result["tokens_per_second"]
    return rates


def run_peer(options, peer, file):
    program, *settings = shlex.split(peer)
    program = pathlib.Path(program)
    base = [program, "-m", file, "-t", options.threads, "-fa", 1, "-r", 1, *settings, "-o", "json"]
    has_depth = "--n-depth" in subprocess.run([program, "--help"], capture_output=True, text=True).stdout
    runs = [["-p", options.prefill, "-n", options.decode]]
    runs += [["-p", 0, "-n", options.decode, "-d", depth] if has_depth else
             ["-p", 0, "-n", 0, "-gp", f"{depth},{options.decode}"] for depth in options.depth]
    rates = {}
    for run in runs:
        text = output_of(base + run)
        for result in json.loads(text[text.index("["):]) if "[" in text else []:
            if result["n_gen"] == 0:
                rates[f"prefill {result['n_prompt']}"] = result["avg_ts"]
            else:
                rates[f"decode at {result.get('n_depth', result['n_prompt'])}"] = result["avg_ts"]
    batched = program.parent / "llama-batched-bench"
    for batch in options.batch if batched.exists() else []:
        text = output_of([batched, "-m", file, "-t", options.threads, "-fa", *(["on"] if has_depth else []), "-npp", 128, "-ntg", options.decode, "-npl", batch,
                          "-c", batch * (128 + options.decode)])
        rows = [re.split(r"\s*\|\s*", line.strip("| \n")) for line in text.splitlines() if line.startswith("|")]
        numbers = [row for row in rows if row[0].isdigit()]
        if numbers:
            rates[f"batch {batch}"] = float(numbers[-1][7])  # S_TG t/s
    return rates


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs=3, action="append", required=True, metavar=("NAME", "MODEL", "GGUF"))
    parser.add_argument("--peer", action="append", required=True, metavar="NAME=PROGRAM")
    parser.add_argument("--hadal", default="build/release/hadal")
    parser.add_argument("--isa", default="")
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--depth", type=int, nargs="*", default=[])
    parser.add_argument("--batch", type=int, nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    peers = [peer.split("=", 1) for peer in options.peer]
    rates = {}  # (pair, program, test) → rates
    for _ in range(options.rounds):
        for name, model, file in options.pair:
            for program, result in [("hadal", run_hadal(options, model))] + \
                    [(peer, run_peer(options, path, file)) for peer, path in peers]:
                for test, rate in result.items():
                    rates.setdefault((name, program, test), []).append(rate)
    print("| weights | test | hadal |" + "".join(f" {peer} | hadal ÷ {peer} |" for peer, _ in peers))
    print("|---|---|---:|" + "---:|---:|" * len(peers))
    for name, _, _ in options.pair:
        for test in [test for pair, program, test in rates if pair == name and program == "hadal"]:
            ours = statistics.median(rates[name, "hadal", test])
            line = f"| {name} | {test} | {ours:.1f} |"
            for peer, _ in peers:
                theirs = rates.get((name, peer, test))
                line += f" {statistics.median(theirs):.1f} | {ours / statistics.median(theirs):.2f} |" if theirs else " | |"
            print(line)


main()
