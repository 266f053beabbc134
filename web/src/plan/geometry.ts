// Shapes of the pictures, without the drawing.
import type { Timeline } from './wire';

/** Rectangles of one row as one path: a timeline has thousands. `spans` is begin, end, begin, … */
export function boxes(spans: number[], scale: number, top: number, height: number): string {
    let path = '';
    for (let index = 0; index + 1 < spans.length; index += 2) {
        const left = (spans[index] as number) * scale;
        const width = Math.max(0.3, (spans[index + 1] as number) * scale - left);
        path += `M${left.toFixed(2)} ${top}h${width.toFixed(2)}v${height}h-${width.toFixed(2)}z`;
    }
    return path;
}

/** Share of the ranks' time in which they wait. */
export function idleShare(timeline: Timeline): number {
    const busy = timeline.rows
        .flatMap((row) => Object.values(row))
        .reduce((sum, spans) => {
            for (let index = 0; index + 1 < spans.length; index += 2)
                sum += (spans[index + 1] as number) - (spans[index] as number);
            return sum;
        }, 0);
    return timeline.makespan > 0 ? 1 - busy / (timeline.makespan * timeline.rows.length) : 0;
}

/** Round marks of an axis from 0 to `top`, about `count` of them. */
export function ticks(top: number, count: number): number[] {
    if (!(top > 0)) return [0];
    const rough = top / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
    return Array.from({ length: Math.floor(top / step + 1e-9) + 1 }, (_, index) =>
        Number((index * step).toPrecision(12)),
    );
}
