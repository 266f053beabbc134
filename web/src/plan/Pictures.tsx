// The step, the pipeline, the memory of every rank, and what speed costs a service.
import { digits, percent } from '../core/format';
import { boxes, idleShare, ticks } from './geometry';
import { figure } from './state';
import type { Answer, Memory, Shade, Table, Timeline } from './wire';

interface Part {
    name: string;
    kind: string;
    value: number;
    text: string;
}

function Legend({ parts }: { parts: { name: string; kind: string; text?: string }[] }) {
    return (
        <p class="legend">
            {parts.map(({ name, kind, text }) => (
                <span key={name}>
                    <i class={kind} />
                    {name}
                    {text && <b>{text}</b>}
                </span>
            ))}
        </p>
    );
}

const kStep: [string, string, string][] = [
    ['paired_seconds', 'forward and backward, paired', 'both'],
    ['forward_seconds', 'forward alone', 'forward'],
    ['backward_seconds', 'backward alone', 'backward'],
    ['weight_seconds', 'weight gradients', 'weight'],
    ['bubble_seconds', 'waiting', 'idle'],
    ['optimizer_seconds', 'optimizer', 'optimizer'],
];

export function StepBar({ answer }: { answer: Answer }) {
    const parts = kStep.flatMap(([key, name, kind]): Part[] => {
        const found = figure(answer, key);
        return found?.value ? [{ name, kind, value: found.value, text: found.text }] : [];
    });
    const whole = parts.reduce((sum, part) => sum + part.value, 0);
    return (
        <section class="card">
            <h2>One step</h2>
            <div
                class="stacked tall"
                role="img"
                aria-label={parts.map(({ name, text }) => `${name} ${text}`).join(', ')}
            >
                {parts.map(({ name, kind, value, text }) => (
                    <span
                        key={name}
                        class={kind}
                        style={{ width: `${(100 * value) / whole}%` }}
                        title={`${name}: ${text}`}
                    />
                ))}
            </div>
            <Legend parts={parts} />
        </section>
    );
}

const kShades: [Shade, string][] = [
    ['both', 'forward and backward, paired'],
    ['forward', 'forward'],
    ['backward', 'backward'],
    ['weight', 'weight gradients'],
];

export function Pipeline({ timeline }: { timeline: Timeline }) {
    const [width, row] = [1000, timeline.rows.length > 24 ? 7 : 13];
    const height = timeline.rows.length * row;
    const scale = width / timeline.makespan;
    const used = kShades.filter(([shade]) => timeline.rows.some((spans) => spans[shade]?.length));
    const idle = percent(idleShare(timeline));
    return (
        <section class="card">
            <h2>
                The pipeline, {timeline.schedule}: {timeline.micro_batches} of {timeline.of} micro-batches
            </h2>
            <svg
                class="timeline"
                viewBox={`0 0 ${width} ${height + 18}`}
                role="img"
                aria-label={`Timeline of ${timeline.rows.length} ranks over ${digits(timeline.makespan)} seconds, of which they wait ${idle}`}
            >
                <rect class="idle" width={width} height={height} />
                {timeline.rows.map((spans, rank) =>
                    used.map(
                        ([shade]) =>
                            spans[shade] && (
                                <path
                                    key={`${rank}${shade}`}
                                    class={shade}
                                    d={boxes(spans[shade], scale, rank * row + 0.5, row - 1)}
                                />
                            ),
                    ),
                )}
                {ticks(timeline.makespan, 8).map((second) => (
                    <text key={second} x={Math.min(second * scale, width - 30)} y={height + 13}>
                        {second} s
                    </text>
                ))}
            </svg>
            <Legend
                parts={[
                    ...used.map(([kind, name]) => ({ kind, name })),
                    { kind: 'idle', name: `waiting, ${idle} of what is shown` },
                ]}
            />
        </section>
    );
}

const kMemory: ['weights' | 'gradients' | 'optimizer' | 'activations' | 'buffers', string, string][] = [
    ['weights', 'weights', 'both'],
    ['gradients', 'gradients', 'backward'],
    ['optimizer', 'optimizer', 'optimizer'],
    ['activations', 'activations', 'forward'],
    ['buffers', 'buffers and reserve', 'weight'],
];

export function MemoryBars({ memory }: { memory: Memory }) {
    const [width, height] = [1000, 220];
    const top = 1.06 * Math.max(memory.capacity, ...memory.ranks.map(({ total }) => total));
    const step = width / memory.ranks.length;
    const bar = Math.min(60, step * 0.72);
    const y = (bytes: number) => height - (bytes / top) * height;
    const worst = memory.ranks.reduce((a, b) => (b.total > a.total ? b : a));
    const fits = worst.total <= memory.capacity;
    return (
        <section class="card">
            <h2>Memory of a GPU, by pipeline rank</h2>
            <svg
                class="memory"
                viewBox={`0 0 ${width} ${height + 18}`}
                role="img"
                aria-label={`The fullest rank is ${worst.rank} with ${worst.text} of ${memory.capacity_text}`}
            >
                {memory.ranks.map((rank, index) => {
                    let below = 0;
                    const left = index * step + (step - bar) / 2;
                    return (
                        <g key={rank.rank}>
                            <title>{`rank ${rank.rank}: ${rank.text}`}</title>
                            {kMemory.map(([key, , kind]) => {
                                const from = below;
                                below += rank[key];
                                return (
                                    <rect
                                        key={key}
                                        class={kind}
                                        x={left}
                                        y={y(below)}
                                        width={bar}
                                        height={Math.max(0, y(from) - y(below))}
                                    />
                                );
                            })}
                            {(memory.ranks.length <= 32 || index % 8 === 0) && (
                                <text x={left + bar / 2} y={height + 13} text-anchor="middle">
                                    {rank.rank}
                                </text>
                            )}
                        </g>
                    );
                })}
                <line
                    class={fits ? 'limit' : 'limit bad'}
                    x1={0}
                    x2={width}
                    y1={y(memory.capacity)}
                    y2={y(memory.capacity)}
                />
            </svg>
            <Legend parts={kMemory.map(([, name, kind]) => ({ name, kind }))} />
            <p class={fits ? 'verdict' : 'verdict bad'}>
                {fits ? 'It fits' : 'It does not fit'}: the fullest is rank {worst.rank} with {worst.text}; a GPU has{' '}
                {memory.capacity_text}.
            </p>
        </section>
    );
}

const valueOf = (table: Table, row: number, column: string): number => {
    const cell = table.rows[row]?.[table.columns.indexOf(column)];
    return Array.isArray(cell) ? (cell[1] ?? NaN) : Number(cell);
};

/** What a GPU yields against what a user sees, for batches of every size. */
export function SpeedCurve({ table }: { table: Table }) {
    const points = table.rows
        .map((_, row) => ({
            batch: valueOf(table, row, 'requests a GPU'),
            user: valueOf(table, row, 'a user'),
            gpu: valueOf(table, row, 'a GPU'),
        }))
        .filter(({ user, gpu }) => user > 0 && gpu > 0);
    if (points.length < 2) return null;
    const [width, height, left] = [1000, 260, 60];
    const [most, best] = [
        1.08 * Math.max(...points.map(({ user }) => user)),
        1.12 * Math.max(...points.map(({ gpu }) => gpu)),
    ];
    const x = (user: number) => left + (user / most) * (width - left);
    const y = (gpu: number) => height - (gpu / best) * height;
    // The largest batches crowd: a name only where there is room for it.
    const named = points.filter(({ user, gpu }, index) => {
        const next = points[index + 1];
        return !next || Math.hypot(x(next.user) - x(user), y(next.gpu) - y(gpu)) > 24;
    });
    const line = points.map(({ user, gpu }) => `${x(user).toFixed(1)},${y(gpu).toFixed(1)}`).join(' ');
    return (
        <section class="card">
            <h2>What a GPU yields (up) against what a user sees (right), tokens/s, by requests a GPU</h2>
            <svg
                class="curve"
                viewBox={`0 -4 ${width} ${height + 26}`}
                role="img"
                aria-label={points
                    .map(
                        ({ batch, user, gpu }) =>
                            `${batch} requests: ${digits(user)} for a user, ${digits(gpu)} of a GPU`,
                    )
                    .join('; ')}
            >
                {ticks(best, 5).map((mark) => (
                    <g key={mark}>
                        <line class="grid" x1={left} x2={width} y1={y(mark)} y2={y(mark)} />
                        <text x={left - 8} y={y(mark) + 4} text-anchor="end">
                            {mark}
                        </text>
                    </g>
                ))}
                {ticks(most, 8).map((mark) => (
                    <text key={mark} x={x(mark)} y={height + 18} text-anchor="middle">
                        {mark}
                    </text>
                ))}
                <polyline points={line} />
                {points.map(({ batch, user, gpu }) => (
                    <circle key={batch} cx={x(user)} cy={y(gpu)} r={4} />
                ))}
                {named.map(({ batch, user, gpu }) => (
                    <text key={batch} class="label" x={x(user) + 9} y={y(gpu) - 7}>
                        {batch}
                    </text>
                ))}
            </svg>
        </section>
    );
}
