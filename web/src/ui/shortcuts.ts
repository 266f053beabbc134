// Keys that work everywhere on the page, and the sheet that lists them.
import { choose, current, regenerate, startNew, stop } from '../chat/session';
import { path } from '../chat/tree';
import { nextTheme } from './theme';
import { helpOpen, panelOpen, show, view } from './view';

export interface Shortcut {
    keys: string;
    does: string;
    /** None: the element that has the focus acts itself. */
    on?: (event: KeyboardEvent) => boolean;
    act?: () => void;
}

const alt = (code: string) => (event: KeyboardEvent) =>
    event.altKey && !event.ctrlKey && !event.metaKey && event.code === code;

function isTyping(event: KeyboardEvent): boolean {
    const element = event.target as HTMLElement | null;
    return !!element?.closest('input, textarea, select, [contenteditable]');
}
const plain = (key: string) => (event: KeyboardEvent) =>
    event.key === key && !event.altKey && !event.ctrlKey && !event.metaKey && !isTyping(event);

export function focusComposer(): void {
    document.querySelector<HTMLTextAreaElement>('#composer')?.focus();
}

const lastAnswer = () => path(current.value).findLast((message) => message.role === 'assistant');
const step = (by: number) => {
    const last = lastAnswer();
    if (view.value === 'chat' && last) choose(last.id, by);
};

export const kShortcuts: Shortcut[] = [
    { keys: 'Enter', does: 'Send' },
    { keys: 'Shift Enter', does: 'New line' },
    {
        keys: '/',
        does: 'Write a message',
        on: plain('/'),
        act: () => {
            show('chat');
            setTimeout(focusComposer);
        },
    },
    {
        keys: 'Esc',
        does: 'Stop the answer',
        on: (event) => event.key === 'Escape' && !document.querySelector('dialog[open]'),
        act: () => stop(current.value.id),
    },
    {
        keys: 'Alt N',
        does: 'New conversation',
        on: alt('KeyN'),
        act: () => {
            startNew();
            show('chat');
            setTimeout(focusComposer);
        },
    },
    {
        keys: 'Alt R',
        does: 'Another answer',
        on: alt('KeyR'),
        act: () => {
            const last = lastAnswer();
            if (last) regenerate(last.id);
        },
    },
    { keys: '[', does: 'Previous answer of several', on: plain('['), act: () => step(-1) },
    { keys: ']', does: 'Next answer of several', on: plain(']'), act: () => step(1) },
    { keys: 'Alt 1', does: 'Chat', on: alt('Digit1'), act: () => show('chat') },
    { keys: 'Alt 2', does: 'Fill in', on: alt('Digit2'), act: () => show('fill') },
    { keys: 'Alt 3', does: 'Engine', on: alt('Digit3'), act: () => show('engine') },
    {
        keys: 'Alt O',
        does: 'Options',
        on: alt('KeyO'),
        act: () => {
            panelOpen.value = !panelOpen.value;
        },
    },
    { keys: 'Alt T', does: 'Light, dark, or as the system', on: alt('KeyT'), act: nextTheme },
    {
        keys: '?',
        does: 'This sheet',
        on: plain('?'),
        act: () => {
            helpOpen.value = !helpOpen.value;
        },
    },
];

export function listenForShortcuts(): void {
    window.addEventListener('keydown', (event) => {
        const found = kShortcuts.find((shortcut) => shortcut.on?.(event));
        if (!found?.act) return;
        if (event.key !== 'Escape') event.preventDefault();
        found.act();
    });
}
