// Whether the server answers, and which models it has. While it does not, it is asked again, ever
// more slowly, and at once when the network or the tab comes back.
import { signal } from '@preact/signals';
import { Api, ApiError } from './api';
import { apiKey, preferences } from './preferences';
import type { Model } from './wire';

export const api = new Api(() => apiKey.value);

export type Connection = 'asking' | 'ready' | 'unreachable' | 'needs-key';
export const connection = signal<Connection>('asking');
export const trouble = signal('');
export const models = signal<Model[]>([]);
/** Seconds until the next attempt. */
export const nextAttempt = signal(0);

const kSlowest = 15;
let wait = 1;
let timer: ReturnType<typeof setTimeout> | undefined;

export function chosenModel(): string {
    const wanted = preferences.value.model;
    const ids = models.value.map((model) => model.id);
    return ids.includes(wanted) ? wanted : (ids[0] ?? '');
}

export async function connect(): Promise<void> {
    clearTimeout(timer);
    try {
        models.value = await api.models();
        connection.value = 'ready';
        trouble.value = '';
        wait = 1;
    } catch (cause) {
        report(cause);
    }
}

/** What a failed call says about the connection. */
export function report(cause: unknown): void {
    if (!(cause instanceof ApiError)) return;
    if (cause.needsKey) {
        connection.value = 'needs-key';
        trouble.value = apiKey.value === '' ? '' : cause.message;
    } else if (cause.unreachable || cause.status === 503) {
        connection.value = 'unreachable';
        trouble.value = cause.message;
        countDown(wait);
        wait = Math.min(kSlowest, wait * 2);
    }
}

function countDown(seconds: number): void {
    clearTimeout(timer);
    nextAttempt.value = seconds;
    timer = setTimeout(() => (seconds <= 1 ? void connect() : countDown(seconds - 1)), 1000);
}

export function watchConnection(): void {
    const again = () => {
        if (connection.value === 'unreachable' && !document.hidden) void connect();
    };
    window.addEventListener('online', again);
    document.addEventListener('visibilitychange', again);
    void connect();
}
