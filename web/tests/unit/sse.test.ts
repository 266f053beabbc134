import { describe, expect, it } from 'vitest';
import { eventsOf, SseParser } from '../../src/core/sse';

const kStream =
    ': keep-alive\n\ndata: {"a":"über 🌊"}\r\n\r\nevent: x\ndata:one\ndata: two\n\ndata: [DONE]\n\ndata: late\n\n';

function responseOf(pieces: Uint8Array[]): Response {
    return new Response(
        new ReadableStream({
            start(controller) {
                for (const piece of pieces) controller.enqueue(piece);
                controller.close();
            },
        }),
    );
}

async function all(response: Response): Promise<string[]> {
    const list: string[] = [];
    for await (const event of eventsOf(response)) list.push(event);
    return list;
}

describe('server-sent events', () => {
    it('are the same however the stream is cut', async () => {
        const bytes = new TextEncoder().encode(kStream);
        for (const size of [1, 2, 3, 7, 1000]) {
            const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
                bytes.slice(index * size, (index + 1) * size),
            );
            expect(await all(responseOf(pieces)), `pieces of ${size}`).toEqual(['{"a":"über 🌊"}', 'one\ntwo']);
        }
    });

    it('do not come from comments or from an unfinished event', () => {
        expect(new SseParser().feed(': hello\n\n:\n\ndata: half\n')).toEqual([]);
    });

    it('fail when the connection ends before [DONE]', async () => {
        const cut = new TextEncoder().encode('data: 1\n\ndata: 2\n\n');
        await expect(all(responseOf([cut]))).rejects.toThrow('ended before');
    });
});
