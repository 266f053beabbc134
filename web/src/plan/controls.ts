// The sliders: which inputs they move, and over which values. Everything else is in the list of all
// inputs.
import { short } from '../core/format';
import type { Question } from './wire';

export interface Control {
    key: string;
    label: string;
    values?: number[]; // a slider's stops; none: the input's own choices
    show?: (value: number) => string;
}
export interface Group {
    title: string;
    controls: Control[];
}

const doublings = (from: number, count: number): number[] =>
    Array.from({ length: count }, (_, index) => from * 2 ** index);
const between = (from: number, to: number, step: number): number[] =>
    Array.from({ length: Math.round((to - from) / step) + 1 }, (_, index) => Number((from + index * step).toFixed(6)));

const dollars = (value: number) => `$${value.toFixed(2)}`;
const share = (value: number) => `${Math.round(100 * value)} %`;
const drafts = (value: number) => (value < 0 ? 'the model’s' : String(value));

const kPrice: Control = {
    key: 'cost.gpu_hour_dollars',
    label: 'Price of a GPU-hour',
    values: between(0.5, 8, 0.25),
    show: dollars,
};
const kNetwork: Control = {
    key: 'network.scale_out_gb_per_s',
    label: 'Network between nodes, GB/s a GPU',
    values: doublings(6.25, 8),
};
const kGpus: Control = { key: 'layout.gpus', label: 'GPUs', values: doublings(64, 12), show: short };

const kLayout: Group[] = [
    {
        title: 'Cluster',
        controls: [
            kGpus,
            kNetwork,
            { key: 'gpu.memory_gb', label: 'Memory of a GPU, GB', values: [40, 64, 80, 96, 128, 141, 180, 192, 288] },
        ],
    },
    {
        title: 'Layout',
        controls: [
            { key: 'layout.pp', label: 'Pipeline ranks', values: doublings(1, 6) },
            { key: 'layout.ep', label: 'Expert parallelism', values: doublings(1, 9) },
            { key: 'layout.tp', label: 'Tensor parallelism', values: doublings(1, 4) },
            { key: 'layout.zero', label: 'ZeRO stage', values: [0, 1, 2, 3] },
            { key: 'layout.batch', label: 'Sequences a step', values: doublings(480, 9), show: short },
            { key: 'layout.schedule', label: 'Schedule' },
            { key: 'layout.precision', label: 'Precision' },
            { key: 'layout.recompute', label: 'Recompute' },
            { key: 'layout.mtp', label: 'MTP depth', values: [-1, 0, 1, 2, 3, 4], show: drafts },
        ],
    },
];

export const kGroups: Record<Question, Group[]> = {
    train: [
        ...kLayout,
        {
            title: 'Run',
            controls: [
                {
                    key: 'run.tokens',
                    label: 'Tokens',
                    values: [0.5e12, 1e12, 2e12, 5e12, 10e12, 14.8e12, 20e12, 30e12, 50e12, 100e12],
                    show: short,
                },
                kPrice,
            ],
        },
    ],
    memory: kLayout,
    serve: [
        {
            title: 'Cluster',
            controls: [
                kNetwork,
                kPrice,
                {
                    key: 'demand.users',
                    label: 'Users at one time',
                    values: [100, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1e6],
                    show: short,
                },
            ],
        },
        {
            title: 'Prefill',
            controls: [
                { key: 'prefill.gpus', label: 'GPUs of a unit', values: doublings(8, 6) },
                { key: 'prefill.prompt', label: 'Tokens of a prompt', values: doublings(512, 9), show: short },
                { key: 'prefill.cache_hits', label: 'Found in the cache', values: between(0, 0.95, 0.05), show: share },
                { key: 'prefill.load', label: 'Load', values: between(0.1, 0.95, 0.05), show: share },
            ],
        },
        {
            title: 'Decode',
            controls: [
                { key: 'decode.gpus', label: 'GPUs of a unit', values: [8, 16, 32, 64, 128, 144, 256, 320] },
                {
                    key: 'decode.context',
                    label: 'Tokens in the cache of a request',
                    values: doublings(1024, 8),
                    show: short,
                },
                {
                    key: 'decode.tokens_per_s_per_user',
                    label: 'Tokens/s for a user',
                    values: [5, 10, 15, 20, 25, 30, 40, 50, 60],
                },
                { key: 'decode.mtp', label: 'Drafted tokens', values: [0, 1, 2, 3, 4] },
                { key: 'decode.acceptance', label: 'Accepted', values: between(0.5, 0.95, 0.05), show: share },
                { key: 'decode.redundant', label: 'Redundant experts', values: [0, 16, 32, 64, 128] },
            ],
        },
    ],
    failures: [
        {
            title: 'Cluster',
            controls: [
                { ...kGpus, values: doublings(512, 9) },
                {
                    key: 'failures.gpu_hours_between',
                    label: 'GPU-hours between failures',
                    values: [5000, 10_000, 20_000, 50_677, 100_000, 200_000, 500_000],
                    show: short,
                },
            ],
        },
        {
            title: 'Snapshots',
            controls: [
                {
                    key: 'failures.snapshot_s',
                    label: 'Seconds a snapshot',
                    values: [0.5, 1, 2, 5, 10, 30, 60, 120, 300],
                },
                { key: 'failures.restart_s', label: 'Seconds a restart', values: [30, 60, 120, 300, 600, 1200, 3600] },
            ],
        },
    ],
};

/** The stop that is nearest in ratio, or in distance where that says nothing. */
export function nearestStop(values: number[], value: number): number {
    const distance = (stop: number) =>
        stop > 0 && value > 0 ? Math.abs(Math.log(stop / value)) : Math.abs(stop - value) + 1e-9;
    return values.reduce((best, stop, index) => (distance(stop) < distance(values[best] as number) ? index : best), 0);
}
