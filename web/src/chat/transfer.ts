// Conversations as a JSON file, out and in. A file is input from outside: every field is checked,
// and what is wrong is named.
import type { ToolCall } from './calls';
import { kDefaults, type Conversation, type Message, type Options, type TokenScore } from './tree';

const kFormat = 'hadal-conversations';
const kVersion = 1;

export function exportText(conversations: Conversation[]): string {
    return JSON.stringify({ format: kFormat, version: kVersion, conversations }, null, 1);
}

type Fields = Record<string, unknown>;

const isFields = (value: unknown): value is Fields =>
    typeof value === 'object' && value !== null && !Array.isArray(value);

function fail(where: string, expected: string): never {
    throw new Error(`This file is not an export of conversations: ${where} is not ${expected}.`);
}

function fields(value: unknown, where: string): Fields {
    return isFields(value) ? value : fail(where, 'an object');
}
function text(value: unknown, where: string): string {
    return typeof value === 'string' ? value : fail(where, 'text');
}
function number(value: unknown, where: string): number {
    return typeof value === 'number' && Number.isFinite(value) ? value : fail(where, 'a number');
}

function optionsOf(value: unknown): Options {
    if (!isFields(value)) return kDefaults;
    const known: Fields = { ...kDefaults };
    for (const [key, fallback] of Object.entries(kDefaults)) {
        const given = value[key];
        const nullable = key === 'maxTokens' || key === 'seed';
        if (nullable ? given === null || typeof given === 'number' : typeof given === typeof fallback) {
            known[key] = given;
        }
    }
    if (!Array.isArray(known.stop) || !known.stop.every((entry) => typeof entry === 'string')) known.stop = [];
    if (!['model', 'on', 'off'].includes(known.thinking as string)) known.thinking = 'model';
    return known as unknown as Options;
}

function scoresOf(value: unknown): TokenScore[] | undefined {
    if (!Array.isArray(value)) return undefined;
    const one = (score: unknown, top: TokenScore['top'], where: string): TokenScore => {
        const given = fields(score, where);
        return { token: text(given.token, where), logprob: number(given.logprob, where), top };
    };
    return value.map((score) => {
        const top = isFields(score) && Array.isArray(score.top) ? score.top : [];
        return one(
            score,
            top.map((entry) => one(entry, [], 'an alternative')),
            'a token',
        );
    });
}

function callsOf(value: unknown, where: string): ToolCall[] | undefined {
    if (!Array.isArray(value)) return undefined;
    return value.map((entry) => {
        const given = fields(entry, where);
        return { id: text(given.id, where), name: text(given.name, where), arguments: text(given.arguments, where) };
    });
}

function messageOf(value: unknown, id: string): Message {
    const where = `message ${id}`;
    const given = fields(value, where);
    const role =
        given.role === 'user' || given.role === 'assistant' ? given.role : fail(`${where}.role`, 'user or assistant');
    const message: Message = {
        id,
        parent: given.parent === null ? null : text(given.parent, `${where}.parent`),
        role,
        content: text(given.content, `${where}.content`),
        reasoning: typeof given.reasoning === 'string' ? given.reasoning : '',
        created: number(given.created, `${where}.created`),
    };
    const calls = callsOf(given.calls, `${where}.calls`);
    if (calls) message.calls = calls;
    const scores = scoresOf(given.scores);
    if (scores) message.scores = scores;
    if (typeof given.finish === 'string') message.finish = given.finish;
    if (typeof given.error === 'string') message.error = given.error;
    if (isFields(given.stats) && Object.values(given.stats).every((entry) => typeof entry === 'number')) {
        message.stats = given.stats as unknown as NonNullable<Message['stats']>;
    }
    return message;
}

function conversationOf(value: unknown, index: number): Conversation {
    const where = `conversation ${index + 1}`;
    const given = fields(value, where);
    const messages: Record<string, Message> = {};
    for (const [id, message] of Object.entries(fields(given.messages, `${where}.messages`))) {
        messages[id] = messageOf(message, id);
    }
    for (const { id, parent } of Object.values(messages)) {
        if (parent !== null && !messages[parent]) fail(`message ${id}.parent`, 'a message of this conversation');
    }
    const chosen = Object.entries(isFields(given.chosen) ? given.chosen : {}).filter(
        (entry): entry is [string, string] => typeof entry[1] === 'string' && entry[1] in messages,
    );
    return {
        id: text(given.id, `${where}.id`),
        title: text(given.title, `${where}.title`),
        created: number(given.created, `${where}.created`),
        updated: number(given.updated, `${where}.updated`),
        options: optionsOf(given.options),
        messages,
        chosen: Object.fromEntries(chosen),
    };
}

/** Error with a sentence for the reader if the file is something else. */
export function importText(file: string): Conversation[] {
    let parsed: unknown;
    try {
        parsed = JSON.parse(file);
    } catch {
        throw new Error('This file is not JSON.');
    }
    const given = fields(parsed, 'the file');
    if (given.format !== kFormat) fail('"format"', `"${kFormat}"`);
    if (given.version !== kVersion) {
        throw new Error(`This file has version ${String(given.version)}; this page reads version ${kVersion}.`);
    }
    if (!Array.isArray(given.conversations)) fail('"conversations"', 'a list');
    return (given.conversations as unknown[]).map(conversationOf);
}
