// Which part of the page is shown. The address's fragment holds it, so that back and reload work.
import { signal } from '@preact/signals';
import { currentId, open, startNew } from '../chat/session';

export type View = 'chat' | 'fill' | 'engine';
export const kViews: { view: View; label: string }[] = [
    { view: 'chat', label: 'Chat' },
    { view: 'fill', label: 'Fill in' },
    { view: 'engine', label: 'Engine' },
];

export const view = signal<View>('chat');
export const sidebarOpen = signal(false); // on narrow screens
export const panelOpen = signal(false);
export const helpOpen = signal(false);

export const addressOf = (next: View): string => (next === 'chat' ? `#/chat/${currentId.value}` : `#/${next}`);

export function show(next: View): void {
    location.hash = addressOf(next);
}

function follow(): void {
    const [, name = '', id = ''] = location.hash.split('/');
    view.value = kViews.find((entry) => entry.view === name)?.view ?? 'chat';
    if (view.value !== 'chat' || id === currentId.value) return;
    if (id !== '') open(id);
    else startNew();
}

export function followAddress(): void {
    window.addEventListener('hashchange', follow);
    follow();
    currentId.subscribe(() => {
        if (view.value === 'chat') history.replaceState(null, '', addressOf('chat'));
    });
}
