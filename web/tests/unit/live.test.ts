import { describe, expect, it } from 'vitest';
import { append, imbalance, kKept, rates, type Sample } from '../../src/live/history';

const sample = (at: number, generated: number, steps: number, drafted = 0, accepted = 0): Sample => ({
    at,
    live: {
        engine: {
            generated_tokens: generated,
            steps,
            draft_tokens: drafted,
            accepted_tokens: accepted,
            step_tokens: 4 * steps,
            prompt_tokens: 0,
        },
    },
});

describe('the engine over time', () => {
    it('is what grew between two looks', () => {
        const [first, second] = rates([
            sample(0, 100, 10),
            sample(2000, 300, 20, 40, 30),
            sample(3000, 300, 20, 40, 30),
        ]);
        expect(first).toEqual({ generatedPerSecond: 100, promptPerSecond: 0, rowsPerStep: 4, acceptance: 0.75 });
        expect(second).toEqual({ generatedPerSecond: 0, promptPerSecond: 0, rowsPerStep: 0, acceptance: NaN });
    });
    it('begins anew with a new server', () => {
        const history = append(append([], sample(0, 100, 10)), sample(1000, 5, 1));
        expect(history.length).toBe(1);
    });
    it('is kept for two minutes', () => {
        let history: Sample[] = [];
        for (let second = 0; second < 500; ++second) history = append(history, sample(second * 1000, second, second));
        expect(history.length).toBe(kKept);
        expect(history.at(-1)?.at).toBe(499_000);
    });
    it('tells how uneven a layer is', () => {
        expect(imbalance([1, 1, 1, 5])).toBe(2.5);
        expect(imbalance([0, 0])).toBeNaN();
    });
});
