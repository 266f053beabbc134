// The engine at work, asked once a second while one looks.
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { api, connection, report } from '../core/connection';
import { digits, duration, percent, short } from '../core/format';
import type { Live } from '../core/wire';
import { HeatMap } from './HeatMap';
import { append, kKept, rates, type Rates, type Sample } from './history';
import { Sparkline } from './Sparkline';

const kPeriodMs = 1000;

/** Asks again and again while the page is looked at. */
function useHistory() {
    const history = useSignal<Sample[]>([]);
    const error = useSignal('');
    useEffect(() => {
        const abort = new AbortController();
        let timer: ReturnType<typeof setTimeout>;
        const ask = async () => {
            if (!document.hidden) {
                try {
                    const live = await api.live(abort.signal);
                    history.value = append(history.value, { at: performance.now(), live });
                    error.value = '';
                } catch (cause) {
                    if (abort.signal.aborted) return;
                    report(cause);
                    error.value = cause instanceof Error ? cause.message : String(cause);
                }
            }
            timer = setTimeout(ask, kPeriodMs);
        };
        void ask();
        return () => {
            abort.abort();
            clearTimeout(timer);
        };
    }, []);
    return { history: history.value, error: error.value };
}

interface CardProps {
    title: string;
    value: string;
    unit?: string;
    children?: ComponentChildren;
}

function Card({ title, value, unit, children }: CardProps) {
    return (
        <section class="card">
            <h2>{title}</h2>
            <p class="big">
                {value}
                {unit && <small>{unit}</small>}
            </p>
            {children}
        </section>
    );
}

interface BarPart {
    label: string;
    value: number;
    kind: string;
}

function Bar({ parts, whole }: { parts: BarPart[]; whole: number }) {
    return (
        <>
            <div
                class="stacked"
                role="img"
                aria-label={parts.map(({ label, value }) => `${value} ${label}`).join(', ')}
            >
                {parts.map(({ label, value, kind }) => (
                    <span key={label} class={kind} style={{ width: `${whole > 0 ? (100 * value) / whole : 0}%` }} />
                ))}
            </div>
            <p class="legend" aria-hidden="true">
                {parts.map(({ label, value, kind }) => (
                    <span key={label}>
                        <i class={kind} />
                        {short(value)} {label}
                    </span>
                ))}
            </p>
        </>
    );
}

function Speed({ list }: { list: Rates[] }) {
    const last = list.at(-1);
    return (
        <Card title="Generated" value={last ? digits(last.generatedPerSecond) : '–'} unit="tokens/s">
            <Sparkline
                values={list.map((entry) => entry.generatedPerSecond)}
                kept={kKept}
                label="Generated tokens a second over two minutes"
            />
            <p class="legend">
                <span>{last ? digits(last.promptPerSecond) : '–'} prompt tokens/s</span>
            </p>
        </Card>
    );
}

function Batch({ live, list }: { live: Live; list: Rates[] }) {
    const engine = live.engine ?? {};
    const [running, waiting] = [engine.running ?? 0, engine.waiting ?? 0];
    return (
        <Card title="Batch" value={String(running)} unit={running === 1 ? 'sequence' : 'sequences'}>
            <Bar
                whole={Math.max(live.max_sequences ?? 0, running + waiting, 1)}
                parts={[
                    { label: 'running', value: running, kind: 'part-1' },
                    { label: 'waiting', value: waiting, kind: 'part-3' },
                ]}
            />
            <p class="legend">
                <span>{digits(list.at(-1)?.rowsPerStep ?? 0)} rows a step</span>
                <span>{short(engine.preemptions ?? 0)} preemptions</span>
            </p>
        </Card>
    );
}

function Cache({ live }: { live: Live }) {
    const {
        pages = 0,
        free_pages: free = 0,
        idle_pages: idle = 0,
        prompt_tokens: prompt = 0,
        reused_tokens: reused = 0,
    } = live.engine ?? {};
    const used = Math.max(0, pages - free - idle);
    return (
        <Card title="Cache" value={percent(pages > 0 ? used / pages : NaN)} unit={`of ${short(pages)} pages`}>
            <Bar
                whole={pages}
                parts={[
                    { label: 'in use', value: used, kind: 'part-1' },
                    { label: 'kept prefixes', value: idle, kind: 'part-2' },
                    { label: 'free', value: free, kind: 'part-0' },
                ]}
            />
            <p class="legend">
                <span>{percent(prompt > 0 ? reused / prompt : NaN)} of prompts found in it</span>
                {live.page_tokens !== undefined && <span>{live.page_tokens} tokens a page</span>}
            </p>
        </Card>
    );
}

function Drafts({ live, list }: { live: Live; list: Rates[] }) {
    const { draft_tokens: drafted = 0, accepted_tokens: accepted = 0 } = live.engine ?? {};
    const shares = list.map((entry) => entry.acceptance);
    const last = shares.findLast(Number.isFinite);
    return (
        <Card title="Drafts accepted" value={drafted === 0 ? 'off' : percent(last ?? accepted / drafted)}>
            <Sparkline values={shares} kept={kKept} label="Share of drafts accepted over two minutes" />
            <p class="legend">
                <span>
                    {drafted === 0
                        ? 'no token was drafted yet'
                        : `${percent(accepted / drafted)} of ${short(drafted)} since the start`}
                </span>
            </p>
        </Card>
    );
}

export function LiveView() {
    const { history, error } = useHistory();
    const live = history.at(-1)?.live;
    const list = rates(history);
    return (
        <div class="page live">
            <header class="page-head">
                <h1>Engine</h1>
                <p>
                    {live?.model ?? 'The model'}
                    {live?.uptime_seconds !== undefined && ` · up for ${duration(live.uptime_seconds * 1000)}`}
                    {live?.engine?.steps !== undefined && ` · ${short(live.engine.steps)} steps`}
                    {live?.engine?.generated_tokens !== undefined &&
                        ` · ${short(live.engine.generated_tokens)} tokens written`}
                </p>
            </header>
            {error !== '' && connection.value === 'ready' && (
                <p class="ending bad" role="alert">
                    {error}
                </p>
            )}
            {live && (
                <div class="cards">
                    <Speed list={list} />
                    <Batch live={live} list={list} />
                    <Cache live={live} />
                    <Drafts live={live} list={list} />
                </div>
            )}
            {live?.experts && live.experts.load.length > 0 && (
                <section class="card wide">
                    <h2>Load of the experts</h2>
                    <HeatMap firstLayer={live.experts.first_layer} load={live.experts.load} />
                </section>
            )}
        </div>
    );
}
