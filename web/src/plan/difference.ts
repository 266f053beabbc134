import { digits } from '../core/format';

/** Of a figure against the pinned one: "+61 %", "×4.20", "the same". */
export function difference(now: number, before: number): string {
    if (now === before) return 'the same';
    const ratio = now / before;
    if (!Number.isFinite(ratio) || ratio <= 0) return '';
    if (ratio >= 3 || ratio <= 1 / 3) return `×${digits(ratio)}`;
    const share = 100 * (ratio - 1);
    return `${share > 0 ? '+' : '−'}${Math.abs(share).toFixed(Math.abs(share) < 9.95 ? 1 : 0)} %`;
}

const kShort = /^(?:MTP|GPU|MOE|EP|TP|DP|IB)$/;

/** The planner writes its sections' titles in capitals. */
export function sentence(title: string): string {
    return title
        .replace(/\p{Lu}{2,}|\p{Lu}(?=\b)/gu, (word) =>
            word === 'GPUS' ? 'GPUs' : kShort.test(word) ? word : word.toLowerCase(),
        )
        .replace(/^./u, (first) => first.toUpperCase());
}
