// Functions that a model may call, and its calls of them. The page runs none: it shows what the
// model wanted.
import type { WireCall } from '../core/wire';

export interface ToolCall {
    id: string;
    name: string;
    arguments: string; // JSON, as far as it has come
}

/** Parts of calls put together by their index; id and name come once, arguments piece by piece. */
export function addParts(calls: ToolCall[], parts: WireCall[]): void {
    for (const part of parts) {
        const call = (calls[part.index ?? 0] ??= { id: '', name: '', arguments: '' });
        call.id = part.id ?? call.id;
        call.name = part.function?.name ?? call.name;
        call.arguments += part.function?.arguments ?? '';
    }
}

/** With line breaks if it is whole; as it is otherwise. */
export function pretty(json: string): string {
    try {
        return JSON.stringify(JSON.parse(json), null, 2);
    } catch {
        return json;
    }
}

/** What stands in the options: a list of functions, or of tools as the API has them; null if it is neither. */
export function toolsOf(text: string): object[] | null {
    if (text.trim() === '') return [];
    let given: unknown;
    try {
        given = JSON.parse(text);
    } catch {
        return null;
    }
    const list: unknown[] = Array.isArray(given) ? given : [given];
    const tools = list.map((entry) => {
        if (typeof entry !== 'object' || entry === null) return null;
        if ('function' in entry) return entry;
        return 'name' in entry ? { type: 'function', function: entry } : null;
    });
    return tools.includes(null) ? null : (tools as object[]);
}
