// The question that is shown, its answer, and an answer that was pinned to compare with.
import { effect, signal } from '@preact/signals';
import { fromHash, toHash } from './address';
import type { Answer, Ask, Choices, Figure, Question } from './wire';

export const ask = signal<Ask>(fromHash(location.hash));
export const answer = signal<Answer | null>(null);
export const error = signal('');
export const asking = signal(false);
export const choices = signal<Choices>({ models: [], clusters: [], scenarios: [] });
/** By question: what its figures were when it was pinned. */
export const pinned = signal<Partial<Record<Question, { title: string; values: Record<string, number> }>>>({});

export function change(part: Partial<Ask>): void {
    ask.value = { ...ask.value, ...part };
}
export function set(key: string, value: string): void {
    change({ settings: { ...ask.value.settings, [key]: value } });
}
export function unset(key: string): void {
    const { [key]: _, ...settings } = ask.value.settings;
    change({ settings });
}

export function figures(of: Answer): Figure[] {
    return of.sections.flatMap((section) => section.figures);
}
export function figure(of: Answer, key: string): Figure | undefined {
    return figures(of).find((one) => one.key === key);
}

export function pin(): void {
    const now = answer.value;
    if (!now) return;
    const values = Object.fromEntries(figures(now).flatMap(({ key, value }) => (value === null ? [] : [[key, value]])));
    pinned.value = { ...pinned.value, [ask.value.question]: { title: now.title, values } };
}
export function unpin(): void {
    const { [ask.value.question]: _, ...rest } = pinned.value;
    pinned.value = rest;
}

async function call<T>(path: string, init: RequestInit = {}): Promise<T> {
    const response = await fetch(path, init);
    const body = (await response.json().catch(() => null)) as (T & { error?: { message: string } }) | null;
    if (!response.ok || !body) throw new Error(body?.error?.message ?? `The planner answered ${response.status}.`);
    return body;
}

let abort = new AbortController();
let timer: ReturnType<typeof setTimeout>;

async function send(question: Ask): Promise<void> {
    abort.abort();
    abort = new AbortController();
    const { signal: own } = abort;
    asking.value = true;
    try {
        answer.value = await call<Answer>('/plan/ask', {
            method: 'POST',
            headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify(question),
            signal: own,
        });
        error.value = '';
    } catch (cause) {
        if (own.aborted) return;
        const lost = cause instanceof TypeError;
        error.value = lost
            ? 'The planner cannot be reached. Is hadal plan --serve still running?'
            : (cause as Error).message;
    }
    asking.value = false;
}

const kPauseMs = 40; // a slider that is dragged asks a few times a second, not for every pixel

export async function start(): Promise<void> {
    window.addEventListener('hashchange', () => {
        if (location.hash !== toHash(ask.value)) ask.value = fromHash(location.hash);
    });
    effect(() => {
        const question = ask.value;
        history.replaceState(null, '', toHash(question));
        clearTimeout(timer);
        timer = setTimeout(() => void send(question), kPauseMs);
    });
    try {
        choices.value = await call<Choices>('/plan/choices');
    } catch {
        // the question fails too, and says why
    }
}
