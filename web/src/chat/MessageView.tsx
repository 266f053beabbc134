// One message: a question, or an answer with its thoughts, its figures and what can be done with it.
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { digits, duration, percent, rate } from '../core/format';
import { CodeBlock } from '../text/CodeBlock';
import { Markdown } from '../text/Markdown';
import { memo } from '../text/memo';
import { CopyButton } from '../ui/CopyButton';
import { Icon } from '../ui/Icon';
import { pretty } from './calls';
import { Probabilities } from './Probabilities';
import { choose, edit, regenerate, resume } from './session';
import type { Message, Stats } from './tree';

interface Props {
    message: Message;
    place: number; // among its siblings
    siblings: number;
    writing: boolean;
}

function Branches({ message, place, siblings }: Props) {
    if (siblings < 2) return null;
    return (
        <span class="branches" role="group" aria-label="Versions">
            <button
                type="button"
                class="quiet"
                aria-label="Previous version"
                disabled={place === 0}
                onClick={() => choose(message.id, -1)}
            >
                <Icon name="left" />
            </button>
            <span>
                {place + 1} / {siblings}
            </span>
            <button
                type="button"
                class="quiet"
                aria-label="Next version"
                disabled={place + 1 === siblings}
                onClick={() => choose(message.id, 1)}
            >
                <Icon name="right" />
            </button>
        </span>
    );
}

function Question(props: Props) {
    const { message } = props;
    const editing = useSignal<string | null>(null);
    const area = useRef<HTMLTextAreaElement>(null);
    useEffect(() => area.current?.focus(), [editing.value !== null]);
    if (editing.value !== null) {
        const submit = () => {
            edit(message.id, editing.value ?? '');
            editing.value = null;
        };
        return (
            <form
                class="question editing"
                onSubmit={(event) => {
                    event.preventDefault();
                    submit();
                }}
            >
                <textarea
                    aria-label="Edit the question"
                    rows={3}
                    value={editing.value}
                    ref={area}
                    onInput={(event) => (editing.value = event.currentTarget.value)}
                    onKeyDown={(event) => {
                        if (event.key === 'Escape') editing.value = null;
                        if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
                            event.preventDefault();
                            submit();
                        }
                    }}
                />
                <div class="row">
                    <button type="button" class="secondary" onClick={() => (editing.value = null)}>
                        Cancel
                    </button>
                    <button type="submit" class="primary">
                        Ask this instead
                    </button>
                </div>
            </form>
        );
    }
    return (
        <>
            <div class="question">{message.content}</div>
            <div class="actions">
                <Branches {...props} />
                <CopyButton text={message.content} label="Copy question" />
                <button
                    type="button"
                    class="quiet"
                    title="Edit"
                    aria-label="Edit question"
                    onClick={() => (editing.value = message.content)}
                >
                    <Icon name="edit" />
                </button>
            </div>
        </>
    );
}

function Thoughts({ message, writing }: Props) {
    if (message.reasoning === '') return null;
    const running = writing && message.content === '' && !message.calls;
    const ms = message.stats?.thinkingMs ?? 0;
    return (
        <details class="thoughts">
            <summary>
                <Icon name="thought" />
                <span class={running ? 'shimmer' : undefined}>
                    {running ? 'Thinking' : 'Thought'}
                    {ms > 0 && ` for ${duration(ms)}`}
                </span>
            </summary>
            <div class="thoughts-text">{message.reasoning}</div>
        </details>
    );
}

function Calls({ message, writing }: Props) {
    return (message.calls ?? []).map((call, index) => (
        <details class="thoughts call" key={index}>
            <summary>
                <Icon name="call" />
                <span class={writing ? 'shimmer' : undefined}>
                    Calls <code>{call.name}</code>
                </span>
            </summary>
            <CodeBlock code={pretty(call.arguments)} language="json" />
        </details>
    ));
}

function Figures({ stats }: { stats: Stats }) {
    const speed = rate(stats.completionTokens, stats.firstTokenMs, stats.totalMs);
    const drafts = stats.acceptedDrafts + stats.rejectedDrafts;
    const parts: [string, string][] = [];
    if (Number.isFinite(speed)) parts.push([`${digits(speed)} tokens/s`, 'after the first token']);
    parts.push([
        `${stats.completionTokens} tokens`,
        `${stats.promptTokens} in the prompt, ${stats.cachedTokens} of them from the cache`,
    ]);
    parts.push([`first after ${duration(stats.firstTokenMs)}`, `${duration(stats.totalMs)} in all`]);
    if (drafts > 0)
        parts.push([
            `${percent(stats.acceptedDrafts / drafts)} of drafts accepted`,
            `${stats.acceptedDrafts} of ${drafts} drafted tokens`,
        ]);
    if (stats.cachedTokens > 0)
        parts.push([
            `${percent(stats.cachedTokens / stats.promptTokens)} of the prompt cached`,
            `${stats.cachedTokens} of ${stats.promptTokens} tokens`,
        ]);
    return (
        <p class="figures">
            {parts.map(([text, title]) => (
                <span key={text} title={title}>
                    {text}
                </span>
            ))}
        </p>
    );
}

const kEndings: Record<string, string> = {
    length: 'The answer reached its limit of tokens.',
    stopped: 'You stopped this answer.',
    broken: 'This answer was cut off.',
};

function Ending({ message }: { message: Message }) {
    // Without an ending the tab was closed in the middle.
    const text = message.error ?? kEndings[message.finish ?? 'broken'];
    if (!text) return null;
    return (
        <p class={message.error ? 'ending bad' : 'ending'} role={message.error ? 'alert' : undefined}>
            {message.error && <Icon name="warning" />}
            <span>{text}</span>
            {message.content === '' && message.reasoning === '' ? (
                <button type="button" class="link" onClick={() => resume(message.id)}>
                    Try again
                </button>
            ) : (
                !message.calls && (
                    <button type="button" class="link" onClick={() => resume(message.id)}>
                        Continue
                    </button>
                )
            )}
        </p>
    );
}

function Answer(props: Props) {
    const { message, writing } = props;
    const showing = useSignal(false);
    const waiting = writing && message.content === '' && message.reasoning === '' && !message.calls;
    return (
        <>
            <Thoughts {...props} />
            {waiting && (
                <p class="waiting" role="status">
                    <span class="pulse" />
                    <span class="offscreen">Waiting for the first token</span>
                </p>
            )}
            {showing.value && message.scores ? (
                <Probabilities scores={message.scores} id={message.id} />
            ) : (
                <div class={writing ? 'answer writing' : 'answer'}>
                    <Markdown text={message.content} />
                </div>
            )}
            <Calls {...props} />
            {!writing && <Ending message={message} />}
            <div class="actions">
                {!writing && (
                    <>
                        <Branches {...props} />
                        <CopyButton text={message.content} label="Copy answer" />
                        <button
                            type="button"
                            class="quiet"
                            title="Another answer (Alt R)"
                            aria-label="Another answer"
                            onClick={() => regenerate(message.id)}
                        >
                            <Icon name="again" />
                        </button>
                    </>
                )}
                {message.scores && (
                    <button
                        type="button"
                        class="quiet"
                        title="Token probabilities"
                        aria-label="Token probabilities"
                        aria-pressed={showing.value}
                        onClick={() => (showing.value = !showing.value)}
                    >
                        <Icon name="chance" />
                    </button>
                )}
                {message.stats && message.stats.completionTokens > 0 && <Figures stats={message.stats} />}
            </div>
        </>
    );
}

export const MessageView = memo(
    (props: Props) => (
        <article
            class={`message ${props.message.role}`}
            aria-label={props.message.role === 'user' ? 'You' : 'Model'}
            aria-busy={props.writing}
        >
            {props.message.role === 'user' ? <Question {...props} /> : <Answer {...props} />}
        </article>
    ),
    (before, after) =>
        before.message === after.message &&
        before.place === after.place &&
        before.siblings === after.siblings &&
        before.writing === after.writing,
);
