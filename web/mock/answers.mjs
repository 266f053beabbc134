// What the mock model says: enough of Markdown to look at, tokenised by a simple rule.
export const kAnswers = {
    python: `Sort by start, then keep extending the last interval while the next one touches it.

\`\`\`python
def merge(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merges overlapping intervals; the input may be in any order."""
    merged = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:      # touches the last one
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged

print(merge([(1, 3), (8, 10), (2, 6), (15, 18)]))  # [(1, 6), (8, 10), (15, 18)]
\`\`\`

Sorting dominates, so the cost is $O(n \\log n)$; the pass itself is linear and needs no memory beyond the result.`,
    primes: `Suppose there were only finitely many primes $p_1, p_2, \\dots, p_n$. Consider

$$N = 1 + \\prod_{i=1}^{n} p_i .$$

Every $p_i$ leaves remainder $1$ when it divides $N$:

$$N \\equiv 1 \\pmod{p_i} \\qquad\\text{for all } i .$$

But $N > 1$ has **some** prime divisor $q$, and $q \\ne p_i$ for every $i$ — a contradiction. The same idea gives a bound: from $p_{n+1} \\le p_1 p_2 \\cdots p_n + 1$ follows by induction

$$p_n \\le 2^{2^{\\,n-1}}, \\qquad \\sum_{p \\le x} \\frac{1}{p} \\sim \\ln\\ln x .$$`,
    table: `Three common ways, from the simplest to the most general:

| Approach | Read | Write | Good when |
|:--|--:|--:|:--|
| Cache-aside | 1 miss, then hits | invalidates | reads dominate |
| Write-through | always a hit | pays twice | staleness hurts |
| Write-back | always a hit | fast, lossy | writes dominate |

1. **Cache-aside** keeps the logic in the application.
2. **Write-through** keeps both stores equal.
3. **Write-back** trades durability for speed:
   - batch the writes
   - bound what a crash can lose

> If you cannot say how stale an answer may be, begin with cache-aside and a short time to live.`,
    hostile: `Look: <img src=x onerror="document.title='owned'"> and <script>document.title='owned'</script>

[press](javascript:document.title='owned') ![pixel](https://example.org/pixel.png) [fine](https://example.org/)

<iframe src="https://example.org"></iframe>

$\\href{javascript:alert(1)}{x}$ and \`<b>code</b>\``,
    plain: `QUIC moves the transport into user space and carries it over UDP. For a web developer three things change:

- **One round trip less.** The TLS 1.3 handshake is part of the transport's own, so a new connection costs one round trip and a repeated one can cost none.
- **No head-of-line blocking between streams.** A lost packet delays only the stream it belonged to; over TCP it delays everything behind it.
- **Connections survive a change of network.** A connection has an identity of its own, so moving from Wi-Fi to mobile does not break a download.

You write the same HTTP. What you may drop are the workarounds for TCP: *domain sharding* and bundling everything into one file.`,
};

export const kThoughts = `The reader is a web developer, so the transport's internals matter less than what they change in practice.

Points to make: handshake, streams, migration. I should say that the application does not have to change. Keep it short.`;

export const kFill = `    smaller = [value for value in values if value < pivot]
    equal = [value for value in values if value == pivot]
    larger = [value for value in values if value > pivot]
`;

export function answerTo(question) {
    const name = ['python', 'primes', 'table', 'hostile'].find((word) => question.toLowerCase().includes(word));
    return kAnswers[name ?? 'plain'];
}

export function tokensOf(text) {
    return text.match(/\s?[\p{L}\p{N}]{1,7}|\s?[^\s\p{L}\p{N}]{1,2}|\s+/gu) ?? [];
}
