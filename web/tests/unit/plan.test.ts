import { describe, expect, it } from 'vitest';
import { fromHash, toHash } from '../../src/plan/address';
import { kGroups, nearestStop } from '../../src/plan/controls';
import { difference, sentence } from '../../src/plan/difference';
import { boxes, idleShare, ticks } from '../../src/plan/geometry';
import type { Ask } from '../../src/plan/wire';

describe('a plan’s address', () => {
    it('holds the whole question', () => {
        const ask: Ask = {
            question: 'serve',
            cluster: 'h200',
            model: 'kimi-k2',
            scenarios: ['mtp-1', 'mxfp8'],
            settings: { 'decode.mtp': '2', 'gpu.name': 'H&M = 1' },
        };
        expect(fromHash(toHash(ask))).toEqual(ask);
    });
    it('is short for the default', () => {
        expect(toHash({ question: 'train', scenarios: [], settings: {} })).toBe('#train');
        expect(fromHash('')).toEqual({ question: 'train', scenarios: [], settings: {} });
        expect(fromHash('#nonsense?').question).toBe('train');
    });
});

describe('a slider', () => {
    it('stands at the stop nearest in ratio', () => {
        expect(nearestStop([64, 128, 256], 2048)).toBe(2);
        expect(nearestStop([64, 128, 256], 180)).toBe(0 + 1);
        expect(nearestStop([64, 128, 256], 182)).toBe(2);
        expect(nearestStop([-1, 0, 1, 2], -1)).toBe(0);
        expect(nearestStop([0, 0.5, 0.95], 0)).toBe(0);
    });
    it('has stops that rise, and one key a question', () => {
        for (const [question, groups] of Object.entries(kGroups)) {
            const controls = groups.flatMap((group) => group.controls);
            expect(new Set(controls.map(({ key }) => key)).size, question).toBe(controls.length);
            for (const { key, values } of controls) {
                if (values)
                    expect(
                        [...values].sort((a, b) => a - b),
                        key,
                    ).toEqual(values);
            }
        }
    });
});

describe('a comparison', () => {
    it.each([
        [16.1, 10, '+61 %'],
        [9.5, 10, '−5.0 %'],
        [42, 10, '×4.20'],
        [1, 10, '×0.10'],
        [3, 3, 'the same'],
        [1, 0, ''],
        [-1, 1, ''],
    ])('%d against %d is %s', (now, before, text) => {
        expect(difference(now, before)).toBe(text);
    });
    it('has titles in sentences', () => {
        expect(sentence('ONE MOE LAYER, ON A QUIET CLUSTER')).toBe('One MOE layer, on a quiet cluster');
        expect(sentence('BY COST OF A SNAPSHOT, 2048 GPUS')).toBe('By cost of a snapshot, 2048 GPUs');
        expect(sentence('DECODE · EP144')).toBe('Decode · EP144');
    });
});

describe('a picture', () => {
    it('of a row is one path of rectangles', () => {
        expect(boxes([0, 1, 2, 2.5], 10, 5, 3)).toBe('M0.00 5h10.00v3h-10.00zM20.00 5h5.00v3h-5.00z');
    });
    it('knows how long the ranks wait', () => {
        const timeline = {
            schedule: 'x',
            micro_batches: 1,
            of: 1,
            makespan: 4,
            rows: [{ forward: [0, 1, 3, 4] }, { both: [0, 4] }],
        };
        expect(idleShare(timeline)).toBe(0.25);
    });
    it('has an axis of round numbers', () => {
        expect(ticks(8.3, 8)).toEqual([0, 2, 4, 6, 8]);
        expect(ticks(0.3, 3)).toEqual([0, 0.1, 0.2, 0.3]);
        expect(ticks(2600, 5)).toEqual([0, 1000, 2000]);
        expect(ticks(0, 5)).toEqual([0]);
    });
});
