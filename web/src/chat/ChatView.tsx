// The conversation and the composer. It stays at the end while an answer grows, unless the reader
// has scrolled away.
import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { chosenModel, connection } from '../core/connection';
import { Icon } from '../ui/Icon';
import { Composer } from './Composer';
import { MessageView } from './MessageView';
import { current, send, writing } from './session';
import { children, path } from './tree';

/** What the button says, and what is asked where that differs. */
const kIdeas: [string, string?][] = [
    ['Explain the difference between TCP and QUIC to a web developer'],
    ['Write a Python function that merges overlapping intervals'],
    [
        'Prove that there are infinitely many primes',
        'Prove that there are infinitely many primes, with formulas in LaTeX',
    ],
    ['Compare three ways of caching in a table'],
];

function Welcome() {
    return (
        <section class="welcome">
            <h1>What shall we look at?</h1>
            <p>
                {chosenModel() ? (
                    <>
                        You are talking to <strong>{chosenModel()}</strong>. Conversations stay in this browser.
                    </>
                ) : (
                    'Conversations stay in this browser.'
                )}
            </p>
            <ul>
                {kIdeas.map(([idea, question]) => (
                    <li key={idea}>
                        <button
                            type="button"
                            disabled={connection.value !== 'ready'}
                            onClick={() => send(question ?? idea)}
                        >
                            {idea}
                        </button>
                    </li>
                ))}
            </ul>
        </section>
    );
}

const kNear = 60; // pixels from the end that still count as the end

export function ChatView() {
    const conversation = current.value;
    const shown = path(conversation);
    const scroller = useRef<HTMLDivElement>(null);
    const following = useSignal(true);
    const toEnd = () => {
        const box = scroller.current;
        if (box) box.scrollTop = box.scrollHeight;
    };
    const scrolled = () => {
        const box = scroller.current;
        if (box) following.value = box.scrollHeight - box.scrollTop - box.clientHeight < kNear;
    };
    useEffect(() => {
        following.value = true;
        toEnd();
    }, [conversation.id, shown.length]);
    useLayoutEffect(() => {
        if (following.value) toEnd();
    }, [conversation]);
    return (
        <div class="chat">
            {shown.length > 0 && <h1 class="offscreen">{conversation.title}</h1>}
            <div class="scroller" ref={scroller} onScroll={scrolled} tabIndex={-1}>
                <div class="column" role="log" aria-live="off" aria-label="Conversation">
                    {shown.length === 0 && <Welcome />}
                    {shown.map((message) => {
                        const siblings = children(conversation, message.parent);
                        return (
                            <MessageView
                                key={message.id}
                                message={message}
                                place={siblings.indexOf(message)}
                                siblings={siblings.length}
                                writing={writing.value[conversation.id] === message.id}
                            />
                        );
                    })}
                </div>
            </div>
            <p class="offscreen" role="status">
                {writing.value[conversation.id] !== undefined
                    ? 'The model is answering.'
                    : shown.at(-1)?.finish
                      ? 'The answer is finished.'
                      : ''}
            </p>
            <div class="dock">
                {!following.value && shown.length > 0 && (
                    <button type="button" class="to-end" aria-label="To the end" onClick={toEnd}>
                        <Icon name="down" />
                    </button>
                )}
                <Composer key={conversation.id} />
            </div>
        </div>
    );
}
