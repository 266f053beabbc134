// The engine's totals, read once a second, as rates over time.
import type { Live } from '../core/wire';

export interface Sample {
    at: number; // ms
    live: Live;
}

export interface Rates {
    generatedPerSecond: number;
    promptPerSecond: number;
    rowsPerStep: number;
    acceptance: number; // of drafts in this interval; NaN where none were made
}

export const kKept = 120;

/** A server that was started anew begins at zero: what was seen before means nothing. */
export function append(history: Sample[], sample: Sample): Sample[] {
    const last = history.at(-1);
    const restarted = last && (sample.live.engine?.steps ?? 0) < (last.live.engine?.steps ?? 0);
    return restarted ? [sample] : [...history.slice(1 - kKept), sample];
}

export function ratesBetween(before: Sample, after: Sample): Rates {
    const seconds = (after.at - before.at) / 1000;
    const grown = (
        key: 'generated_tokens' | 'prompt_tokens' | 'step_tokens' | 'steps' | 'draft_tokens' | 'accepted_tokens',
    ) => (after.live.engine?.[key] ?? 0) - (before.live.engine?.[key] ?? 0);
    return {
        generatedPerSecond: seconds > 0 ? grown('generated_tokens') / seconds : 0,
        promptPerSecond: seconds > 0 ? grown('prompt_tokens') / seconds : 0,
        rowsPerStep: grown('steps') > 0 ? grown('step_tokens') / grown('steps') : 0,
        acceptance: grown('draft_tokens') > 0 ? grown('accepted_tokens') / grown('draft_tokens') : NaN,
    };
}

export function rates(history: Sample[]): Rates[] {
    return history.slice(1).map((sample, index) => ratesBetween(history[index] as Sample, sample));
}

/** The heaviest expert's load over the mean; 1 is perfectly even, NaN where nothing was routed. */
export function imbalance(loads: number[]): number {
    const sum = loads.reduce((total, load) => total + load, 0);
    return sum > 0 ? (Math.max(...loads) * loads.length) / sum : NaN;
}
