// One streamed answer: chunks go in, the message's present state comes out. No clock and no network
// of its own, so that a test can play both.
import type { Chunk, Usage, WireLogprob, WireToken } from '../core/wire';
import { addParts, type ToolCall } from './calls';
import type { Alternative, Message, Stats, TokenScore } from './tree';

export class AnswerBuilder {
    content: string;
    reasoning: string;
    private calls: ToolCall[] = [];
    private scores: TokenScore[];
    private usage: Usage | null = null;
    private finish: string | undefined;
    private firstTokenAt: number | null = null;
    private contentAt: number | null = null;
    private pieces = 0;

    /** `before` is what a continued answer has already. */
    constructor(
        private readonly startedAt: number,
        before: Pick<Message, 'content' | 'reasoning' | 'scores'> = { content: '', reasoning: '' },
    ) {
        this.content = before.content;
        this.reasoning = before.reasoning;
        this.scores = [...(before.scores ?? [])];
    }

    take(chunk: Chunk, now: number): void {
        if (chunk.usage) this.usage = chunk.usage;
        for (const choice of chunk.choices ?? []) {
            const reasoning = choice.delta?.reasoning_content ?? '';
            const content = choice.delta?.content ?? choice.text ?? '';
            const calls = choice.delta?.tool_calls ?? [];
            if (reasoning !== '' || content !== '' || calls.length > 0) {
                this.firstTokenAt ??= now;
                this.pieces += 1;
            }
            if (content !== '' || calls.length > 0) this.contentAt ??= now;
            addParts(this.calls, calls);
            this.reasoning += reasoning;
            this.content += content;
            for (const score of choice.logprobs?.content ?? []) this.scores.push(scoreOf(score));
            if (choice.finish_reason) this.finish = choice.finish_reason;
        }
    }

    get thinking(): boolean {
        return this.reasoning !== '' && this.contentAt === null;
    }

    stats(now: number): Stats {
        const details = this.usage?.completion_tokens_details;
        const first = this.firstTokenAt ?? now;
        return {
            promptTokens: this.usage?.prompt_tokens ?? 0,
            cachedTokens: this.usage?.prompt_cache_hit_tokens ?? this.usage?.prompt_tokens_details?.cached_tokens ?? 0,
            // Until the server says: a piece is a token, or a little more with speculation.
            completionTokens: this.usage?.completion_tokens ?? this.pieces,
            acceptedDrafts: details?.accepted_prediction_tokens ?? 0,
            rejectedDrafts: details?.rejected_prediction_tokens ?? 0,
            firstTokenMs: first - this.startedAt,
            totalMs: now - this.startedAt,
            thinkingMs: this.reasoning === '' ? 0 : (this.contentAt ?? now) - first,
        };
    }

    message(now: number): Partial<Message> {
        return {
            content: this.content,
            reasoning: this.reasoning,
            stats: this.stats(now),
            ...(this.calls.length > 0 ? { calls: this.calls.map((call) => ({ ...call })) } : {}),
            ...(this.scores.length > 0 ? { scores: [...this.scores] } : {}), // what is drawn never changes
            ...(this.finish !== undefined ? { finish: this.finish } : {}),
        };
    }
}

/** A token may be a part of a letter: its bytes then, "⟨E2 96⟩". */
function tokenOf({ token, logprob, bytes }: WireToken): Alternative {
    if (!token.includes('\ufffd') || !bytes?.length) return { token, logprob };
    const hex = bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, '0'));
    return { token: `⟨${hex.join(' ')}⟩`, logprob };
}

function scoreOf(score: WireLogprob): TokenScore {
    return { ...tokenOf(score), top: (score.top_logprobs ?? []).map(tokenOf) };
}
