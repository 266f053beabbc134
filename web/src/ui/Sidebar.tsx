// The list of conversations, and what concerns all of them.
import { useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import * as session from '../chat/session';
import type { Conversation } from '../chat/tree';
import { day } from '../core/format';
import { preferences } from '../core/preferences';
import { Icon, type IconName } from './Icon';
import { focusComposer } from './shortcuts';
import { nextTheme } from './theme';
import { say } from './toast';
import { helpOpen, show, sidebarOpen } from './view';

export function download(text: string, name: string): void {
    const address = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
    const link = document.createElement('a');
    link.href = address;
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function groups(list: Conversation[]): [string, Conversation[]][] {
    const now = Date.now();
    const byDay = new Map<string, Conversation[]>();
    for (const conversation of list) {
        const name = day(conversation.updated, now);
        byDay.set(name, [...(byDay.get(name) ?? []), conversation]);
    }
    return [...byDay];
}

function Entry({ conversation }: { conversation: Conversation }) {
    const renaming = useSignal(false);
    const id = conversation.id;
    const title = conversation.title || 'Untitled';
    const finish = (value: string) => {
        renaming.value = false;
        session.rename(id, value);
    };
    if (renaming.value) {
        return (
            <li>
                <input
                    class="rename"
                    aria-label="Title"
                    value={conversation.title}
                    ref={(input) => input?.focus()}
                    onBlur={(event) => finish(event.currentTarget.value)}
                    onKeyDown={(event) => {
                        if (event.key === 'Enter') finish(event.currentTarget.value);
                        if (event.key === 'Escape') renaming.value = false;
                    }}
                />
            </li>
        );
    }
    const remove = () => {
        session.forget(id);
        say(`Deleted “${title}”.`, () => session.bringBack(conversation));
    };
    const choose = () => {
        session.open(id);
        show('chat');
        sidebarOpen.value = false;
    };
    return (
        <li class={session.currentId.value === id ? 'entry current' : 'entry'}>
            <button
                type="button"
                class="entry-open"
                onClick={choose}
                onDblClick={() => (renaming.value = true)}
                aria-current={session.currentId.value === id ? 'true' : undefined}
            >
                {session.writing.value[id] && <span class="pulse" aria-label="answering" role="img" />}
                <span class="entry-title">{title}</span>
            </button>
            <span class="entry-tools">
                <button
                    type="button"
                    class="quiet"
                    title="Rename"
                    aria-label={`Rename ${title}`}
                    onClick={() => (renaming.value = true)}
                >
                    <Icon name="edit" />
                </button>
                <button
                    type="button"
                    class="quiet"
                    title="Export"
                    aria-label={`Export ${title}`}
                    onClick={() => download(session.exportOne(id), 'hadal-conversation.json')}
                >
                    <Icon name="out" />
                </button>
                <button type="button" class="quiet" title="Delete" aria-label={`Delete ${title}`} onClick={remove}>
                    <Icon name="trash" />
                </button>
            </span>
        </li>
    );
}

const kThemeIcons: Record<string, IconName> = { system: 'half', light: 'sun', dark: 'moon' };

function Tools() {
    const picker = useRef<HTMLInputElement>(null);
    const take = async (file: File | undefined) => {
        if (!file) return;
        try {
            const taken = await session.importAll(await file.text());
            say(taken === 1 ? 'One conversation came in.' : `${taken} conversations came in.`);
        } catch (cause) {
            say(cause instanceof Error ? cause.message : String(cause));
        }
    };
    const theme = preferences.value.theme;
    return (
        <div class="sidebar-tools">
            <input
                ref={picker}
                type="file"
                accept="application/json,.json"
                hidden
                onChange={(event) => {
                    void take(event.currentTarget.files?.[0]);
                    event.currentTarget.value = '';
                }}
            />
            <button
                type="button"
                class="quiet"
                title="Import conversations"
                aria-label="Import conversations"
                onClick={() => picker.current?.click()}
            >
                <Icon name="in" />
            </button>
            <button
                type="button"
                class="quiet"
                title="Export all conversations"
                aria-label="Export all conversations"
                onClick={() => download(session.exportAll(), 'hadal-conversations.json')}
            >
                <Icon name="out" />
            </button>
            <span class="space" />
            <button
                type="button"
                class="quiet"
                title={`Theme: ${theme}`}
                aria-label={`Theme: ${theme}`}
                onClick={nextTheme}
            >
                <Icon name={kThemeIcons[theme] ?? 'half'} />
            </button>
            <button
                type="button"
                class="quiet"
                title="Keyboard (?)"
                aria-label="Keyboard"
                onClick={() => (helpOpen.value = true)}
            >
                <Icon name="help" />
            </button>
        </div>
    );
}

export function Sidebar() {
    const begin = () => {
        session.startNew();
        show('chat');
        sidebarOpen.value = false;
        setTimeout(focusComposer);
    };
    return (
        <aside class={sidebarOpen.value ? 'sidebar open' : 'sidebar'} aria-label="Conversations">
            <div class="brand">
                <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
                    <rect width="32" height="32" rx="9" />
                    <path d="M6 12q5-5 10 0t10 0M6 20q5-5 10 0t10 0" />
                </svg>
                <span>hadal</span>
                <button
                    type="button"
                    class="quiet narrow-only"
                    aria-label="Close the list"
                    onClick={() => (sidebarOpen.value = false)}
                >
                    <Icon name="close" />
                </button>
            </div>
            <button type="button" class="new" onClick={begin} title="New conversation (Alt N)">
                <Icon name="plus" />
                New conversation
            </button>
            <nav class="entries" aria-label="Earlier conversations">
                {groups(session.conversations.value).map(([name, list]) => (
                    <section key={name}>
                        <h2>{name}</h2>
                        <ul>
                            {list.map((conversation) => (
                                <Entry key={conversation.id} conversation={conversation} />
                            ))}
                        </ul>
                    </section>
                ))}
            </nav>
            {!session.lasting.value && (
                <p class="note">This window keeps nothing: conversations are gone when it closes.</p>
            )}
            <Tools />
        </aside>
    );
}
