// Fill in the middle: the model writes what stands between the text before the cursor and the text
// after it.
import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { AnswerBuilder } from '../chat/answer';
import { digits, duration, percent, rate } from '../core/format';
import { samplingOf } from '../chat/request';
import { preferences } from '../core/preferences';
import type { Stats } from '../chat/tree';
import { api, chosenModel, connection, report } from '../core/connection';
import { Code } from '../text/CodeBlock';
import { Icon } from '../ui/Icon';

const kExample = {
    before: 'def quicksort(values):\n    """Sorts a list of numbers."""\n    if len(values) < 2:\n        return values\n    pivot = values[len(values) // 2]\n',
    after: '    return quicksort(smaller) + equal + quicksort(larger)\n',
};
const kLanguages = ['python', 'cpp', 'javascript', 'typescript', 'rust', 'go', 'java', 'bash', 'sql', 'text'];

interface Filling {
    before: string;
    after: string;
    text: string;
    stats: Stats | null;
    running: boolean;
    error: string;
}

function Figures({ stats }: { stats: Stats }) {
    const speed = rate(stats.completionTokens, stats.firstTokenMs, stats.totalMs);
    const drafts = stats.acceptedDrafts + stats.rejectedDrafts;
    return (
        <p class="figures">
            <span>{stats.completionTokens} tokens</span>
            {Number.isFinite(speed) && <span>{digits(speed)} tokens/s</span>}
            <span>first after {duration(stats.firstTokenMs)}</span>
            {drafts > 0 && <span>{percent(stats.acceptedDrafts / drafts)} of drafts accepted</span>}
        </p>
    );
}

export function FillView() {
    const text = useSignal(kExample.before + kExample.after);
    const language = useSignal('python');
    const length = useSignal(128);
    const filling = useSignal<Filling | null>(null);
    const area = useRef<HTMLTextAreaElement>(null);
    const cursor = useRef(kExample.before.length);
    const abort = useRef<AbortController | null>(null);

    const fill = async () => {
        if (connection.value !== 'ready' || abort.current) return;
        const [before, after] = [text.value.slice(0, cursor.current), text.value.slice(cursor.current)];
        const own = new AbortController();
        abort.current = own;
        const builder = new AnswerBuilder(performance.now());
        const show = (part: Partial<Filling> = {}) => {
            const stats = builder.stats(performance.now());
            filling.value = { before, after, text: builder.content, stats, running: true, error: '', ...part };
        };
        show({ stats: null });
        let error = '';
        try {
            const sampling = { ...samplingOf({ ...preferences.value.options, stop: [] }), max_tokens: length.value };
            const request = { model: chosenModel(), prompt: before, suffix: after, ...sampling };
            for await (const chunk of api.fill(request, own.signal)) {
                builder.take(chunk, performance.now());
                show();
            }
        } catch (cause) {
            report(cause);
            if (!own.signal.aborted) error = cause instanceof Error ? cause.message : String(cause);
        }
        abort.current = null;
        show({ running: false, error });
    };
    const accept = () => {
        const done = filling.value;
        if (!done) return;
        text.value = done.before + done.text + done.after;
        cursor.current = done.before.length + done.text.length;
        filling.value = null;
        setTimeout(() => {
            area.current?.focus();
            area.current?.setSelectionRange(cursor.current, cursor.current);
        });
    };
    const discard = () => {
        abort.current?.abort();
        filling.value = null;
    };
    const remember = () => {
        cursor.current = area.current?.selectionStart ?? cursor.current;
    };
    const keys = (event: KeyboardEvent) => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            remember();
            void fill();
        }
    };
    const now = filling.value;
    return (
        <div class="page fill">
            <header class="page-head">
                <h1>Fill in the middle</h1>
                <p>Put the cursor where something is missing. The model sees what comes before and after it.</p>
            </header>
            <div class="toolbar">
                <label>
                    Language
                    <select value={language.value} onChange={(event) => (language.value = event.currentTarget.value)}>
                        {kLanguages.map((name) => (
                            <option key={name}>{name}</option>
                        ))}
                    </select>
                </label>
                <label>
                    Most tokens
                    <input
                        type="number"
                        min={1}
                        max={4096}
                        value={length.value}
                        onInput={(event) =>
                            (length.value = Math.max(1, Math.min(4096, event.currentTarget.valueAsNumber || 1)))
                        }
                    />
                </label>
                <span class="space" />
                {now?.running ? (
                    <button type="button" class="secondary" onClick={discard}>
                        <Icon name="stop" />
                        Stop
                    </button>
                ) : (
                    <button type="button" class="primary" disabled={connection.value !== 'ready'} onClick={fill}>
                        <Icon name="chance" />
                        Fill in at the cursor
                    </button>
                )}
            </div>
            <div class="panes">
                <section class="pane">
                    <h2>
                        <label for="code">Text</label>
                        <small>
                            <kbd>Ctrl</kbd> <kbd>Enter</kbd> fills in
                        </small>
                    </h2>
                    <textarea
                        id="code"
                        ref={area}
                        class="code"
                        spellcheck={false}
                        wrap="off"
                        value={text.value}
                        onInput={(event) => {
                            text.value = event.currentTarget.value;
                            remember();
                        }}
                        onSelect={remember}
                        onKeyDown={keys}
                    />
                </section>
                <section class="pane">
                    <h2>Filled in</h2>
                    {now ? (
                        <pre class="code" tabIndex={0} aria-label="Result" aria-busy={now.running}>
                            <Code code={now.before} language={language.value} />
                            <mark>
                                <Code code={now.text} language={language.value} />
                                {now.running && <span class="caret" />}
                            </mark>
                            <Code code={now.after} language={language.value} />
                        </pre>
                    ) : (
                        <p class="empty">What the model writes appears here, between your two parts.</p>
                    )}
                    {now && !now.running && (
                        <footer>
                            {now.error ? (
                                <p class="ending bad" role="alert">
                                    <Icon name="warning" />
                                    <span>{now.error}</span>
                                </p>
                            ) : (
                                now.stats && <Figures stats={now.stats} />
                            )}
                            <span class="row">
                                <button type="button" class="secondary" onClick={discard}>
                                    Discard
                                </button>
                                <button type="button" class="primary" disabled={now.text === ''} onClick={accept}>
                                    Accept
                                </button>
                            </span>
                        </footer>
                    )}
                </section>
            </div>
        </div>
    );
}
