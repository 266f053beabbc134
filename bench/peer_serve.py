#!/usr/bin/env python3
"""hadal serve and another OpenAI-compatible server on the same weights, in turns: requests a second, time to the first token, time between tokens.

    peer_serve.py --server "hadal=build/release/hadal serve MODEL --port {port} …" --server "llama.cpp=llama-server -m FILE.gguf --port {port} …"
                  [--users 1 8 32] [--requests 4] [--prompt 128] [--tokens 64] [--vocabulary 32000]

Every user sends `requests` streamed completions one after the other, greedy, of prompts of random ids that nobody sent before. A server
is started for each number of users, waited for, asked, and ended, so that both meet the same moods of the machine. Figures are
those that a client sees: the first event with text counts as the first token, each further one as a token.
"""
import argparse
import asyncio
import json
import random
import shlex
import signal
import socket
import statistics
import subprocess
import time


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


async def ask(port, prompt, tokens):
    """Times of the events with text, from the request on."""
    body = json.dumps({"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True, "ignore_eos": True}).encode()
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nConnection: close\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(body) + body)
    times = []
    while line := await reader.readline():
        if line.startswith(b"data: {") and b'"choices":[{' in line.replace(b" ", b""):
            times.append(time.perf_counter() - begin)
    writer.close()
    return times


async def user(port, options, seed, results):
    source = random.Random(seed)
    for _ in range(options.requests):
        prompt = [source.randrange(300, options.vocabulary) for _ in range(options.prompt)]
        results.append(await ask(port, prompt, options.tokens))


async def wait_until_ready(port):
    for _ in range(600):
        try:
            if await ask(port, [301, 302, 303], 2):
                return
        except OSError:
            pass
        await asyncio.sleep(0.2)
    raise SystemExit("error: the server does not answer")


def measure(command, users, options):
    port = free_port()
    server = subprocess.Popen(shlex.split(command.format(port=port, users=users)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def run():
        await wait_until_ready(port)
        results = []
        begin = time.perf_counter()
        await asyncio.gather(*(user(port, options, 1000 * users + i, results) for i in range(users)))
        return results, time.perf_counter() - begin
    try:
        return asyncio.run(run())
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", action="append", required=True, metavar="NAME=COMMAND")
    parser.add_argument("--users", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=32000)
    options = parser.parse_args()
    print("| users | server | requests/s | tokens/s | first token p50, p99 | between tokens p50, p99 |\n|--|--|--|--|--|--|")
    for users in options.users:
        for server in options.server:
            name, command = server.split("=", 1)
            results, seconds = measure(command, users, options)
            first = [times[0] * 1e3 for times in results if times]
            between = [(b - a) * 1e3 for times in results for a, b in zip(times, times[1:])]
            tokens = sum(len(times) for times in results)
            print(f"| {users} | {name} | {len(results) / seconds:.2f} | {tokens / seconds:.0f} | "
                  f"{statistics.median(first):.0f}, {percentile(first, 0.99):.0f} ms | "
                  f"{statistics.median(between):.1f}, {percentile(between, 0.99):.1f} ms |", flush=True)


main()
