import { prefer, preferences, type Theme } from '../core/preferences';

export function nextTheme(): void {
    const order: Theme[] = ['system', 'light', 'dark'];
    const at = order.indexOf(preferences.value.theme);
    prefer({ theme: order[(at + 1) % order.length] ?? 'system' });
}
