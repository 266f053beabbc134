// A conversation is a tree: editing a question or asking again adds a sibling, and nothing is lost.
// All functions give a new conversation and leave the old one as it was.

import type { ToolCall } from './calls';

export interface Alternative {
    token: string;
    logprob: number;
}
export interface TokenScore extends Alternative {
    top: Alternative[];
}

export interface Stats {
    promptTokens: number;
    cachedTokens: number;
    completionTokens: number;
    acceptedDrafts: number;
    rejectedDrafts: number;
    firstTokenMs: number;
    totalMs: number;
    thinkingMs: number;
}

export interface Message {
    id: string;
    parent: string | null;
    role: 'user' | 'assistant';
    content: string;
    reasoning: string;
    created: number;
    calls?: ToolCall[];
    scores?: TokenScore[]; // of the content's tokens and the reasoning's
    stats?: Stats;
    finish?: string; // finish_reason; "stopped" by the reader, "broken" by the network
    error?: string;
}

export interface Sampling {
    temperature: number;
    topP: number;
    maxTokens: number | null;
    seed: number | null;
    frequencyPenalty: number;
    presencePenalty: number;
    stop: string[];
}

export interface Options extends Sampling {
    system: string;
    tools: string; // JSON
    thinking: 'model' | 'on' | 'off';
    probabilities: boolean;
}

export interface Conversation {
    id: string;
    title: string;
    created: number;
    updated: number;
    options: Options;
    messages: Record<string, Message>;
    chosen: Record<string, string>; // parent ("" at the beginning) → the child that is shown
}

export const kDefaults: Options = {
    system: '',
    tools: '',
    temperature: 0.7,
    topP: 0.95,
    maxTokens: null,
    seed: null,
    frequencyPenalty: 0,
    presencePenalty: 0,
    stop: [],
    thinking: 'model',
    probabilities: false,
};

const slot = (parent: string | null): string => parent ?? '';

export function newConversation(id: string, now: number, options: Options): Conversation {
    return { id, title: '', created: now, updated: now, options, messages: {}, chosen: {} };
}

/** Adds a message below its parent and shows it. */
export function add(conversation: Conversation, message: Message): Conversation {
    if (message.parent !== null && !conversation.messages[message.parent]) {
        throw new Error(`message ${message.id} has no parent ${message.parent}`);
    }
    return {
        ...conversation,
        updated: Math.max(conversation.updated, message.created),
        title: conversation.title || (message.role === 'user' ? titleOf(message.content) : ''),
        messages: { ...conversation.messages, [message.id]: message },
        chosen: { ...conversation.chosen, [slot(message.parent)]: message.id },
    };
}

export function change(conversation: Conversation, id: string, part: Partial<Message>): Conversation {
    const message = conversation.messages[id];
    if (!message) return conversation;
    return { ...conversation, messages: { ...conversation.messages, [id]: { ...message, ...part } } };
}

/** Messages of one parent, oldest first. */
export function children(conversation: Conversation, parent: string | null): Message[] {
    return Object.values(conversation.messages)
        .filter((message) => message.parent === parent)
        .sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
}

/** What is shown: from the beginning down the chosen children. */
export function path(conversation: Conversation): Message[] {
    const shown: Message[] = [];
    let parent: string | null = null;
    for (;;) {
        const below = children(conversation, parent);
        const next: Message | undefined =
            below.find((message) => message.id === conversation.chosen[slot(parent)]) ?? below.at(-1);
        if (!next) return shown;
        shown.push(next);
        parent = next.id;
    }
}

/** From the beginning down to `id`, whatever is shown. */
export function ancestors(conversation: Conversation, id: string | null): Message[] {
    const line: Message[] = [];
    for (let at = id; at !== null;) {
        const message: Message | undefined = conversation.messages[at];
        if (!message || line.includes(message)) break;
        line.unshift(message);
        at = message.parent;
    }
    return line;
}

/** Shows the sibling that is `step` places on; nothing changes beyond the ends. */
export function choose(conversation: Conversation, id: string, step: number): Conversation {
    const message = conversation.messages[id];
    if (!message) return conversation;
    const siblings = children(conversation, message.parent);
    const sibling = siblings[siblings.indexOf(message) + step];
    if (!sibling) return conversation;
    return {
        ...conversation,
        chosen: { ...conversation.chosen, [slot(message.parent)]: sibling.id },
    };
}

/** Takes a message and all below it away. */
export function remove(conversation: Conversation, id: string): Conversation {
    const gone = new Set([id]);
    for (let grew = true; grew;) {
        const before = gone.size;
        for (const message of Object.values(conversation.messages)) {
            if (message.parent !== null && gone.has(message.parent)) gone.add(message.id);
        }
        grew = gone.size > before;
    }
    const kept = Object.entries(conversation.messages).filter(([key]) => !gone.has(key));
    const chosen = Object.entries(conversation.chosen).filter(
        ([parent, child]) => !gone.has(parent) && !gone.has(child),
    );
    return { ...conversation, messages: Object.fromEntries(kept), chosen: Object.fromEntries(chosen) };
}

export function titleOf(text: string): string {
    const line =
        text
            .trim()
            .split('\n', 1)[0]
            ?.replace(/^[#>*\s-]+/, '') ?? '';
    const letters = [...line];
    return letters.length <= 48 ? line : `${letters.slice(0, 47).join('').trimEnd()}…`;
}
