// Server-sent events as OpenAI-compatible servers write them: "data: …" lines, comments between
// them, an empty line after each.

/** Takes text in pieces of any size and gives the data of each finished event. */
export class SseParser {
    private rest = '';
    private data: string[] = [];

    feed(text: string): string[] {
        const events: string[] = [];
        const lines = (this.rest + text).split('\n');
        this.rest = lines.pop() ?? '';
        for (const line of lines) this.line(line.endsWith('\r') ? line.slice(0, -1) : line, events);
        return events;
    }

    private line(line: string, events: string[]): void {
        if (line === '') {
            if (this.data.length > 0) events.push(this.data.join('\n'));
            this.data = [];
        } else if (line.startsWith('data:')) {
            this.data.push(line.slice(line[5] === ' ' ? 6 : 5));
        }
        // Comments (":…") keep the connection alive; other fields mean nothing here.
    }
}

/** The data of each event of an answer, up to "[DONE]". Ending without it is an error. */
export async function* eventsOf(response: Response): AsyncGenerator<string> {
    if (!response.body) throw new Error('the server sent no body');
    const parser = new SseParser();
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    try {
        for (;;) {
            const { done, value } = await reader.read();
            if (done) throw new TypeError('the connection ended before the answer did');
            for (const event of parser.feed(decoder.decode(value, { stream: true }))) {
                if (event === '[DONE]') return;
                yield event;
            }
        }
    } finally {
        reader.cancel().catch(() => undefined);
    }
}
