// Conversations and the answers that are being written: the state of the chat, and all that changes
// it.
import { batch, computed, signal } from '@preact/signals';
import { api, chosenModel, report } from '../core/connection';
import { preferences, prefer } from '../core/preferences';
import { Store } from '../core/store';
import { AnswerBuilder } from './answer';
import { chatRequest } from './request';
import * as tree from './tree';
import { exportText, importText } from './transfer';

export const conversations = signal<tree.Conversation[]>([]);
export const currentId = signal('');
export const lasting = signal(true);
/** By conversation: the message that is being written. */
export const writing = signal<Record<string, string>>({});

/** A conversation that has no message yet is not in the list. */
const draft = signal(tree.newConversation(newId(), Date.now(), preferences.value.options));

export const current = computed(() => conversations.value.find(({ id }) => id === currentId.value) ?? draft.value);

const aborts = new Map<string, AbortController>();
let store: Store | undefined;

function newId(): string {
    const bytes = crypto.getRandomValues(new Uint8Array(12)); // randomUUID needs HTTPS
    return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export async function openStore(): Promise<void> {
    store = await Store.open();
    lasting.value = store.lasting;
    conversations.value = await store.all();
}

function find(id: string): tree.Conversation | undefined {
    return conversations.value.find((conversation) => conversation.id === id);
}

function show(conversation: tree.Conversation): void {
    const others = conversations.value.filter(({ id }) => id !== conversation.id);
    conversations.value = [conversation, ...others].sort((a, b) => b.updated - a.updated);
}

function save(conversation: tree.Conversation): void {
    show(conversation);
    void store?.put(conversation);
}

export function startNew(): void {
    const options = preferences.value.options;
    draft.value = tree.newConversation(newId(), Date.now(), options);
    currentId.value = '';
}

export function open(id: string): void {
    if (find(id)) currentId.value = id;
    else startNew();
}

export function rename(id: string, title: string): void {
    const conversation = find(id);
    if (conversation && title.trim() !== '') save({ ...conversation, title: title.trim() });
}

export function forget(id: string): void {
    stop(id);
    conversations.value = conversations.value.filter((conversation) => conversation.id !== id);
    void store?.remove(id);
    if (currentId.value === id) startNew();
}

/** A conversation that was forgotten a moment ago. */
export function bringBack(conversation: tree.Conversation): void {
    save(conversation);
    currentId.value = conversation.id;
}

export function setOptions(part: Partial<tree.Options>): void {
    const options = { ...current.value.options, ...part };
    prefer({ options });
    if (find(current.value.id)) save({ ...current.value, options });
    else draft.value = { ...draft.value, options };
}

export function send(text: string): void {
    if (text.trim() === '') return;
    const parent = tree.path(current.value).at(-1)?.id ?? null;
    ask(current.value, parent, text.trim());
}

/** The question again in other words, as a branch beside the old one. */
export function edit(messageId: string, text: string): void {
    const message = current.value.messages[messageId];
    if (message && text.trim() !== '') ask(current.value, message.parent, text.trim());
}

function ask(conversation: tree.Conversation, parent: string | null, content: string): void {
    const question: tree.Message = {
        id: newId(),
        parent,
        role: 'user',
        content,
        reasoning: '',
        created: Date.now(),
    };
    answer(tree.add(conversation, question), question.id);
}

/** Another answer to the same question. */
export function regenerate(messageId: string): void {
    const message = current.value.messages[messageId];
    if (message?.parent) answer(current.value, message.parent);
}

function answer(conversation: tree.Conversation, parent: string): void {
    const message: tree.Message = {
        id: newId(),
        parent,
        role: 'assistant',
        content: '',
        reasoning: '',
        created: Date.now(),
    };
    const grown = tree.add(conversation, message);
    batch(() => {
        save(grown);
        currentId.value = grown.id;
    });
    void write(grown.id, message.id);
}

/** Goes on with an answer that was cut off. */
export function resume(messageId: string): void {
    void write(current.value.id, messageId);
}

export function choose(messageId: string, step: number): void {
    if (!writing.value[current.value.id]) save(tree.choose(current.value, messageId, step));
}

export function stop(conversationId: string): void {
    aborts.get(conversationId)?.abort();
}

/** One call a frame at most; a hidden tab has no frames. */
function nextFrame(): Promise<void> {
    return new Promise((resolve) => {
        if (document.hidden) setTimeout(resolve, 100);
        else requestAnimationFrame(() => resolve());
    });
}

const kSaveEveryMs = 3000; // of an answer that is being written: what a closed tab loses

async function write(conversationId: string, messageId: string): Promise<void> {
    const conversation = find(conversationId);
    const message = conversation?.messages[messageId];
    if (!conversation || !message || writing.value[conversationId]) return;
    const abort = new AbortController();
    aborts.set(conversationId, abort);
    writing.value = { ...writing.value, [conversationId]: messageId };
    const builder = new AnswerBuilder(performance.now(), message);
    let savedAt = performance.now();
    const update = (part: Partial<tree.Message>) => {
        const latest = find(conversationId);
        if (!latest) return;
        const grown = tree.change(latest, messageId, { ...builder.message(performance.now()), ...part });
        if (performance.now() - savedAt < kSaveEveryMs) return show(grown);
        savedAt = performance.now();
        save(grown);
    };
    const { error: _error, finish: _finish, ...clean } = message;
    show({ ...conversation, messages: { ...conversation.messages, [messageId]: clean } });
    let drawing = false;
    const draw = async () => {
        if (drawing) return;
        drawing = true;
        await nextFrame();
        drawing = false;
        if (!abort.signal.aborted && writing.value[conversationId] === messageId) update({});
    };
    let end: Partial<tree.Message> = {};
    try {
        for await (const chunk of api.chat(chatRequest(conversation, message, chosenModel()), abort.signal)) {
            builder.take(chunk, performance.now());
            void draw();
        }
    } catch (cause) {
        report(cause);
        end = abort.signal.aborted
            ? { finish: 'stopped' }
            : { finish: 'broken', error: cause instanceof Error ? cause.message : String(cause) };
    }
    aborts.delete(conversationId);
    const { [conversationId]: _, ...rest } = writing.value;
    batch(() => {
        update(end);
        writing.value = rest;
    });
    const finished = find(conversationId);
    if (finished) save({ ...finished, updated: Date.now() });
}

export function exportAll(): string {
    return exportText(conversations.value);
}
export function exportOne(id: string): string {
    return exportText(conversations.value.filter((conversation) => conversation.id === id));
}

/** How many came in. One that is here already is replaced if the file's is newer. */
export async function importAll(file: string): Promise<number> {
    const given = importText(file);
    let taken = 0;
    for (const conversation of given) {
        const own = find(conversation.id);
        if (own && own.updated >= conversation.updated) continue;
        save(conversation);
        taken += 1;
    }
    return taken;
}
