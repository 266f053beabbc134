interface Props {
    values: number[];
    label: string;
    kept: number; // places on the axis, the newest at the right
}

export function Sparkline({ values, label, kept }: Props) {
    const top = Math.max(1e-9, ...values.filter(Number.isFinite));
    const points = values
        .map(
            (value, index) =>
                [
                    100 - ((values.length - 1 - index) * 100) / (kept - 1),
                    30 - (28 * (Number.isFinite(value) ? value : 0)) / top,
                ] as const,
        )
        .map(([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`);
    const first = points[0]?.split(',')[0] ?? '100';
    return (
        <svg class="sparkline" viewBox="0 0 100 32" preserveAspectRatio="none" role="img" aria-label={label}>
            {points.length > 1 && (
                <>
                    <polygon points={`${first},31 ${points.join(' ')} 100,31`} />
                    <polyline points={points.join(' ')} />
                </>
            )}
        </svg>
    );
}
