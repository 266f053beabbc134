// Calls to the server that this page came from. The key travels in a header, never in an address.
import { eventsOf } from './sse';
import type { ChatRequest, Chunk, FillRequest, Live, Model, WireError } from './wire';

/** What the server said no with, or why it could not be asked. */
export class ApiError extends Error {
    constructor(
        message: string,
        readonly status: number, // 0: no answer
        readonly param: string | null = null,
        readonly retryAfterSeconds: number | null = null,
    ) {
        super(message);
    }
    get needsKey(): boolean {
        return this.status === 401;
    }
    get unreachable(): boolean {
        return this.status === 0;
    }
}

const kFallback: Record<number, string> = {
    401: 'This server wants an API key.',
    404: 'This server has no such model or address.',
    413: 'The conversation is larger than the server takes.',
    429: 'The server is busy.',
    503: 'The server is starting or stopping.',
};

export function errorOf(status: number, body: string, retryAfter: string | null = null): ApiError {
    let wire: WireError = {};
    try {
        const parsed: unknown = JSON.parse(body);
        const inner = (parsed as { error?: unknown } | null)?.error;
        if (typeof inner === 'string') wire = { message: inner };
        else if (inner && typeof inner === 'object') wire = inner as WireError;
    } catch {
        // not JSON: a proxy's page, which nobody wants to read
    }
    const message = wire.message || kFallback[status] || `The server answered ${status}.`;
    const seconds = retryAfter === null ? NaN : Number(retryAfter);
    return new ApiError(message, status, wire.param ?? null, Number.isFinite(seconds) ? seconds : null);
}

export class Api {
    constructor(
        private readonly key: () => string,
        private readonly send: typeof fetch = (...args) => fetch(...args),
    ) {}

    private async ask(path: string, init: RequestInit): Promise<Response> {
        const headers = new Headers(init.headers);
        const key = this.key().trim();
        if (key !== '') headers.set('Authorization', `Bearer ${key}`);
        let response: Response;
        try {
            response = await this.send(path, { ...init, headers });
        } catch (cause) {
            if (init.signal?.aborted) throw cause;
            throw new ApiError('The server cannot be reached.', 0);
        }
        if (!response.ok) {
            throw errorOf(response.status, await response.text(), response.headers.get('Retry-After'));
        }
        return response;
    }

    private async get<T>(path: string, signal?: AbortSignal): Promise<T> {
        const response = await this.ask(path, signal ? { signal } : {});
        return (await response.json()) as T;
    }

    async models(): Promise<Model[]> {
        return (await this.get<{ data?: Model[] }>('/v1/models')).data ?? [];
    }

    live(signal?: AbortSignal): Promise<Live> {
        return this.get<Live>('/v1/hadal/live', signal);
    }

    chat(request: ChatRequest, signal: AbortSignal): AsyncGenerator<Chunk> {
        return this.stream('/v1/chat/completions', request, signal);
    }

    fill(request: FillRequest, signal: AbortSignal): AsyncGenerator<Chunk> {
        return this.stream('/v1/completions', request, signal);
    }

    private async *stream(path: string, request: object, signal: AbortSignal): AsyncGenerator<Chunk> {
        const response = await this.ask(path, {
            method: 'POST',
            headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } }),
            signal,
        });
        try {
            for await (const data of eventsOf(response)) {
                const chunk = JSON.parse(data) as Chunk;
                if (chunk.error) throw errorOf(500, data);
                yield chunk;
            }
        } catch (cause) {
            if (cause instanceof TypeError && !signal.aborted) {
                throw new ApiError('The connection to the server broke off.', 0);
            }
            throw cause;
        }
    }
}
