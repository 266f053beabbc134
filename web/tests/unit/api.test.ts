import { describe, expect, it } from 'vitest';
import { Api, ApiError, errorOf } from '../../src/core/api';

const kSignal = new AbortController().signal;
const kRequest = { model: 'm', messages: [] };

function answering(status: number, body: string, seen: Request[] = []): Api {
    return new Api(
        () => ' secret ',
        async (path, init) => {
            seen.push(new Request(new URL(String(path), 'http://server'), init));
            return new Response(body, { status, headers: { 'Retry-After': '7' } });
        },
    );
}

async function failure(promise: Promise<unknown>): Promise<ApiError> {
    try {
        await promise;
    } catch (cause) {
        return cause as ApiError;
    }
    throw new Error('nothing failed');
}

describe('the server’s errors', () => {
    it('are shown in its own words', () => {
        const error = errorOf(400, '{"error":{"message":"temperature is 9","param":"temperature"}}');
        expect([error.message, error.status, error.param]).toEqual(['temperature is 9', 400, 'temperature']);
    });
    it('have words of ours where it has none', () => {
        expect(errorOf(401, '{"error":"Unauthorized"}').message).toBe('Unauthorized');
        expect(errorOf(429, '').message).toBe('The server is busy.');
        expect(errorOf(502, '<html>gateway</html>').message).toBe('The server answered 502.');
        expect(errorOf(500, 'null').message).toBe('The server answered 500.');
    });
    it('say when to come again', async () => {
        expect((await failure(answering(429, '').models())).retryAfterSeconds).toBe(7);
    });
    it('within a stream end it', async () => {
        const api = answering(200, 'data: {"error":{"message":"out of pages"}}\n\ndata: [DONE]\n\n');
        expect((await failure(api.chat(kRequest, kSignal).next())).message).toBe('out of pages');
    });
    it('of the network are told apart from those of the server', async () => {
        const api = new Api(
            () => '',
            () => Promise.reject(new TypeError('fetch failed')),
        );
        expect((await failure(api.models())).unreachable).toBe(true);
        const cut = answering(200, 'data: {"choices":[]}\n\n').chat(kRequest, kSignal);
        await cut.next();
        expect((await failure(cut.next())).unreachable).toBe(true);
    });
});

describe('a request', () => {
    it('carries the key in a header, never in the address', async () => {
        const seen: Request[] = [];
        await answering(200, '{"data":[{"id":"a"}]}', seen).models();
        expect(seen[0]?.headers.get('Authorization')).toBe('Bearer secret');
        expect(seen[0]?.url).toBe('http://server/v1/models');
    });
    it('asks for a stream with its usage', async () => {
        const seen: Request[] = [];
        await answering(200, 'data: [DONE]\n\n', seen).chat(kRequest, kSignal).next();
        expect(await seen[0]?.json()).toMatchObject({ stream: true, stream_options: { include_usage: true } });
    });
});
