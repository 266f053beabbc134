// What the page remembers beside conversations: theme, key, the last options. The key stays in this
// tab unless the reader asks to keep it.
import { effect, signal } from '@preact/signals';
import { kDefaults, type Options } from '../chat/tree';

export type Theme = 'system' | 'light' | 'dark';

interface Preferences {
    theme: Theme;
    keepKey: boolean;
    options: Options;
    model: string;
}

const kPlace = 'hadal.preferences';
const kKeyPlace = 'hadal.key';

/** Storage that may be switched off. */
function stored(storage: () => Storage, place: string): string | null {
    try {
        return storage().getItem(place);
    } catch {
        return null;
    }
}
function store(storage: () => Storage, place: string, value: string | null): void {
    try {
        if (value === null) storage().removeItem(place);
        else storage().setItem(place, value);
    } catch {
        // nothing is kept, and nothing breaks
    }
}

function read(): Preferences {
    const fresh: Preferences = { theme: 'system', keepKey: false, options: kDefaults, model: '' };
    try {
        const given = JSON.parse(stored(() => localStorage, kPlace) ?? '{}') as Partial<Preferences>;
        return { ...fresh, ...given, options: { ...kDefaults, ...given.options } };
    } catch {
        return fresh;
    }
}

export const preferences = signal<Preferences>(read());
export const apiKey = signal(stored(() => localStorage, kKeyPlace) ?? stored(() => sessionStorage, kKeyPlace) ?? '');

export function prefer(part: Partial<Preferences>): void {
    preferences.value = { ...preferences.value, ...part };
}

/** Keeps the signals above in storage and the theme on the page. */
export function keepPreferences(): void {
    effect(() => store(() => localStorage, kPlace, JSON.stringify(preferences.value)));
    effect(() => {
        const key = apiKey.value === '' ? null : apiKey.value;
        store(() => sessionStorage, kKeyPlace, key);
        store(() => localStorage, kKeyPlace, preferences.value.keepKey ? key : null);
    });
    effect(() => {
        document.documentElement.dataset.theme = preferences.value.theme;
    });
}
