// Numbers and times as people read them.

const kPrefixes: [number, string][] = [
    [1e12, 'T'],
    [1e9, 'B'],
    [1e6, 'M'],
    [1e3, 'k'],
];

/** 950, 4096, 12.3k, 45.6M */
export function short(value: number): string {
    if (!Number.isFinite(value)) return '–';
    const size = Math.abs(value);
    if (size < 9999.5 && Number.isInteger(value)) return String(value);
    for (const [scale, prefix] of kPrefixes) {
        if (size >= scale * 0.9995) return `${digits(value / scale)}${prefix}`;
    }
    return digits(value);
}

/** Three digits that count. */
export function digits(value: number): string {
    const size = Math.abs(value);
    return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

export function percent(share: number): string {
    return Number.isFinite(share) ? `${Math.round(share * 100)} %` : '–';
}

/** "0.31 s", "12.4 s", "3 min 05 s", "2 h 07 min" */
export function duration(ms: number): string {
    const seconds = ms / 1000;
    if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.95 ? 2 : 1)} s`;
    const two = (number: number) => String(Math.floor(number) % 60).padStart(2, '0');
    const whole = Math.round(seconds);
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole)} s`;
    return `${Math.floor(whole / 3600)} h ${two(whole / 60)} min`;
}

/** Tokens a second after the first; NaN where one cannot say. */
export function rate(tokens: number, firstTokenMs: number, totalMs: number): number {
    const seconds = (totalMs - firstTokenMs) / 1000;
    return tokens > 1 && seconds > 0 ? (tokens - 1) / seconds : NaN;
}

/** "today", "yesterday", or the date. */
export function day(time: number, now: number): string {
    const start = new Date(now).setHours(0, 0, 0, 0);
    if (time >= start) return 'Today';
    if (time >= start - 86_400_000) return 'Yesterday';
    if (time >= start - 6 * 86_400_000) return 'This week';
    return new Date(time).toLocaleDateString('en-GB', { month: 'long', year: 'numeric' });
}
