#!/usr/bin/env python3
"""Decoding while other programs keep every core busy, against decoding without them.

usage: foreign_load.py HADAL MODEL [--threads N] [--decode N] [--rounds N]

As many endless loops as engine threads run beside `hadal bench`, in every second run. Prints the speeds, and the ratio of
the medians: a fair share of the cores is 0.5, an engine whose threads wait for each other by spinning gets next to nothing.
On a machine that others use, run it at raised priority: the loops inherit it.
"""

import argparse
import json
import multiprocessing
import statistics
import subprocess


def spin():
    while True:
        pass


def tokens_per_second(arguments):
    command = [arguments.hadal, "bench", arguments.model, "--prefill", "1", "--decode", str(arguments.decode),
               "--repetitions", "1", "--json", "--threads", str(arguments.threads)]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return next(test["tokens_per_second"] for test in result["results"] if test["test"].startswith("decode"))


def beside_loops(arguments):
    loops = [multiprocessing.Process(target=spin, daemon=True) for _ in range(arguments.threads)]
    for loop in loops:
        loop.start()
    try:
        return tokens_per_second(arguments)
    finally:
        for loop in loops:
            loop.terminate()
            loop.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hadal")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--decode", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    alone, loaded = [], []
    for _ in range(arguments.rounds):
        alone.append(tokens_per_second(arguments))
        loaded.append(beside_loops(arguments))
        print(f"alone {alone[-1]:7.1f} tokens/s   beside {arguments.threads} loops {loaded[-1]:7.1f}", flush=True)
    print(f"ratio of the medians {statistics.median(loaded) / statistics.median(alone):.2f}")


if __name__ == "__main__":
    main()
