#!/usr/bin/env python3
"""Uses a server as the network does: thousands of requests of all kinds at once, many of them bad, broken off or slow.

Every good answer is compared with what the server said when it was alone: a text depends on its request only, so one that differs was
lost, crossed or corrupted. Afterwards nothing may be left: no open request, no page of the cache, no memory.

    tools/soak_server.py build/release/hadal MODEL [--requests 10000] [--clients 32] [--json]
"""

import argparse
import collections
import json
import random
import re
import socket
import statistics
import subprocess
import sys
import threading
import time

KEY = "sk-soak"
PATIENCE = 60


class Client:
    """A connection that sends bytes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # the server has hung up; what it said can still be read

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def read_all(self):
        parts = []
        try:
            while part := self.socket.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass
        return b"".join(parts)


def post(body, path="/v1/completions", headers=""):
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def status_of(answer):
    match = re.match(rb"HTTP/1\.1 (\d+)", answer)
    return int(match[1]) if match else 0


def body_of(answer):
    return answer.partition(b"\r\n\r\n")[2]


def unchunked(body):
    text = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        count = int(size, 16)
        if count == 0:
            return text
        text += rest[:count]
        body = rest[count + 2 :]
    raise ValueError("a stream without its end")


def streamed_text(answer):
    text, done = "", False
    for event in unchunked(body_of(answer)).decode().split("\n\n"):
        if event == "data: [DONE]":
            done = True
        elif event.startswith("data: "):
            text += "".join(choice["text"] for choice in json.loads(event[6:])["choices"])
    if not done:
        raise ValueError("a stream without [DONE]")
    return text


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


class Soak:
    def __init__(self, port, seed):
        self.port, self.random = port, random.Random(seed)
        self.lock = threading.Lock()
        self.counts, self.faults, self.times = collections.Counter(), [], []
        self.prompts = [self.request(i) for i in range(48)]
        self.expected = []
        for prompt in self.prompts:  # alone
            answer = self.ask(post(prompt))
            assert status_of(answer) == 200, answer
            self.expected.append(json.loads(body_of(answer))["choices"][0]["text"])

    def request(self, i):
        words = " ".join(self.random.choice(["Once", "upon", "a", "time", "the", "end", "user"]) for _ in range(3 + i))
        sampling = {"temperature": 0} if i % 2 else {"temperature": 1, "seed": i, "top_p": 0.95}
        return {"prompt": words, "max_tokens": 4 + i, "ignore_eos": True, **sampling}

    def ask(self, data):
        with Client(self.port) as client:
            client.send(data)
            return client.read_all()

    def fault(self, kind, what):
        with self.lock:
            self.faults.append(f"{kind}: {what[:300]}")

    # Each kind of request. Random numbers are those of its thread.

    def good(self, rng):
        i = rng.randrange(len(self.prompts))
        begin = time.monotonic()
        answer = self.ask(post(self.prompts[i]))
        with self.lock:
            self.times.append(time.monotonic() - begin)
        if status_of(answer) != 200:
            return self.fault("good", repr(answer))
        text = json.loads(body_of(answer))["choices"][0]["text"]
        if text != self.expected[i]:
            self.fault("good", f"{text!r} instead of {self.expected[i]!r}")

    def stream(self, rng):
        i = rng.randrange(len(self.prompts))
        answer = self.ask(post({**self.prompts[i], "stream": True}))
        if status_of(answer) != 200 or streamed_text(answer) != self.expected[i]:
            self.fault("stream", repr(answer))

    def broken_off(self, rng):
        """Leaves in the middle of a stream."""
        with Client(self.port) as client:
            client.send(post({**self.prompts[-1], "max_tokens": 400, "stream": True}))
            client.socket.recv(rng.choice([1, 200, 1000]))
            if rng.random() < 0.5:
                client.reset()

    def left(self, rng):
        """Leaves before the answer, or in the middle of the request."""
        data = post({**self.prompts[-1], "max_tokens": 400})
        with Client(self.port) as client:
            client.send(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.5 else data)
            if rng.random() < 0.5:
                client.reset()

    def expect_status(self, kind, data, statuses):
        answer = self.ask(data)
        if status_of(answer) not in statuses:
            self.fault(kind, f"{data[:100]!r}: {answer!r}")

    def bad_json(self, rng):
        bodies = [b"", b"{", b"[]", b"null", b'{"prompt": "a", "max_tokens": -1}', b'{"prompt": 7}', b'{"prompt": "\xff"}',
                  b'{"prompt": "a", "n": 1000000}', b'{"prompt": [99999999]}', b'{"prompt": "a", "temperature": "hot"}',
                  b"[" * 10000, b'{"prompt": "a", "model": "another"}']
        self.expect_status("bad_json", post(rng.choice(bodies)), (400, 404))

    def bad_http(self, rng):
        requests = [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\nHost: h\r\n\r\n", b"GET / HTTP/1.1\nHost: h\n\n",
                    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n", b"\x16\x03\x01\x00\xff" + b"\0" * 300]
        self.expect_status("bad_http", rng.choice(requests), (400, 505))

    def too_large(self, rng):
        requests = [b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
                    b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n"]
        self.expect_status("too_large", rng.choice(requests), (413, 431))

    def no_key(self, rng):
        path = rng.choice(["/v1/models", "/v1/completions", "/metrics", "/tokenize"])
        self.expect_status("no_key", f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode(), (401,))

    def half_open(self, rng):
        """A part of a request, silence, and the end."""
        with Client(self.port) as client:
            client.send(post(self.prompts[0])[: rng.randrange(1, 100)])
            time.sleep(rng.random() * 0.3)

    KINDS = [("good", 50), ("stream", 18), ("broken_off", 8), ("left", 6), ("bad_json", 6), ("bad_http", 4), ("too_large", 3), ("no_key", 3),
             ("half_open", 2)]

    def work(self, seed, count):
        rng = random.Random(seed)
        names, weights = zip(*self.KINDS)
        for kind in rng.choices(names, weights, k=count):
            try:
                getattr(self, kind)(rng)
            except Exception as error:  # whatever a client meets is a finding
                self.fault(kind, repr(error))
            with self.lock:
                self.counts[kind] += 1

    def drip(self, stop):
        """A slow-loris: a byte of a header now and then, on some connections all the time."""
        while not stop.is_set():
            with Client(self.port) as client:
                for byte in b"GET / HTTP/1.1\r\nHost: slow\r\nX-Never-Ending: " + b"x" * 10_000:
                    if stop.wait(0.3):
                        return
                    try:
                        client.socket.sendall(bytes([byte]))
                    except OSError:
                        break  # given up, as it should be
            with self.lock:
                self.counts["slow"] += 1

    def run(self, requests, clients, seed):
        share = requests // clients
        threads = [threading.Thread(target=self.work, args=(seed + i, share)) for i in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def metric(soak, name):
    request = f"GET /metrics HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n"
    text = body_of(soak.ask(request.encode())).decode()
    return float(re.search(rf"^{name}\{{[^}}]*\}} (\S+)", text, re.M)[1])


def nothing_left(soak):
    names = ["hadal:open_requests", "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"]
    for _ in range(50):
        left = {name: value for name in names if (value := metric(soak, name)) != 0}
        if not left:
            return True
        time.sleep(0.1)
    soak.fault("end", f"left: {left}")
    return False


def measure(soak, pid, arguments):
    stop = threading.Event()
    slow = [threading.Thread(target=soak.drip, args=(stop,)) for _ in range(4)]
    for thread in slow:
        thread.start()
    soak.run(arguments.requests // 5, arguments.clients, 1)  # until buffers and caches are as large as they get
    early = resident_bytes(pid)
    begin = time.monotonic()
    soak.run(arguments.requests - arguments.requests // 5, arguments.clients, 1000)
    seconds = time.monotonic() - begin
    stop.set()
    for thread in slow:
        thread.join()
    nothing_left(soak)
    late = resident_bytes(pid)
    growth = late / early - 1
    if growth > arguments.growth:
        soak.fault("end", f"memory grew from {early} to {late} bytes")
    times = sorted(soak.times)
    return {"requests": sum(soak.counts.values()), "kinds": dict(soak.counts), "faults": len(soak.faults),
            "requests_per_second": round(arguments.requests * 0.8 / seconds, 1), "p50_ms": round(1e3 * statistics.median(times), 1),
            "p99_ms": round(1e3 * times[int(len(times) * 0.99)], 1), "resident_mib_early": early >> 20, "resident_mib_late": late >> 20,
            "growth": round(growth, 4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("hadal")
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2, help="of the engine")
    parser.add_argument("--growth", type=float, default=0.15, help="share that memory may grow after the first fifth: the allocator's slack")
    parser.add_argument("--key-file", required=True, help=f"written here, with the key {KEY}")
    arguments = parser.parse_args()
    with open(arguments.key_file, "w") as file:
        file.write(f"{KEY} soak\n")
    words = [arguments.hadal, "serve", arguments.model, "--port", "0", "--json", "--api-key-file", arguments.key_file, "--access-log", "off",
             "--threads", str(arguments.threads), "--cache-gib", "0.05"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        url = json.loads(server.stdout.readline())["url"]
        soak = Soak(int(url.rpartition(":")[2]), 0)
        result = measure(soak, server.pid, arguments)
        server.terminate()
        if (status := server.wait(timeout=60)) != 0:
            soak.fault("end", f"the server ended with {status}")
    finally:
        server.kill()
    for fault in soak.faults[:20]:
        print("fault:", fault, file=sys.stderr)
    print(json.dumps(result | {"faults": len(soak.faults)}, indent=2))
    sys.exit(1 if soak.faults else 0)


if __name__ == "__main__":
    main()
