// Load of each expert of each layer: one row a layer. A canvas, because a large model has fifteen
// thousand cells; the table beside it says in words what the picture shows.
import { useSignal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { digits } from '../core/format';
import { preferences } from '../core/preferences';
import { imbalance } from './history';

interface Props {
    firstLayer: number;
    load: number[][];
}

const kFull = 3; // times the mean: the strongest colour

function draw(canvas: HTMLCanvasElement, load: number[][]): void {
    const experts = Math.max(1, ...load.map((row) => row.length));
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    const context = canvas.getContext('2d');
    if (!context) return;
    const style = getComputedStyle(canvas);
    context.fillStyle = style.color;
    const [width, height] = [canvas.width / experts, canvas.height / Math.max(1, load.length)];
    const gap = Math.min(width, height) >= 6 * ratio ? ratio : 0;
    load.forEach((row, y) => {
        const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
        row.forEach((value, x) => {
            context.globalAlpha = mean > 0 ? Math.min(1, value / mean / kFull) : 0;
            const [left, top] = [Math.round(x * width), Math.round(y * height)];
            context.fillRect(
                left,
                top,
                Math.round((x + 1) * width) - left - gap,
                Math.round((y + 1) * height) - top - gap,
            );
        });
    });
}

export function HeatMap({ firstLayer, load }: Props) {
    const place = useRef<HTMLCanvasElement>(null);
    const pointed = useSignal('');
    const theme = preferences.value.theme;
    useLayoutEffect(() => {
        const canvas = place.current;
        if (!canvas) return;
        const redraw = () => draw(canvas, load);
        redraw();
        const observer = new ResizeObserver(redraw);
        observer.observe(canvas);
        return () => observer.disconnect();
    }, [load, theme]);
    const point = (event: PointerEvent) => {
        const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
        const y = Math.floor(((event.clientY - box.top) / box.height) * load.length);
        const row = load[y] ?? [];
        const x = Math.floor(((event.clientX - box.left) / box.width) * row.length);
        const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
        pointed.value =
            row[x] === undefined
                ? ''
                : `Layer ${firstLayer + y}, expert ${x}: ${mean > 0 ? digits(row[x] / mean) : '0'} × the layer’s mean`;
    };
    const worst = load.map(imbalance);
    const most = Math.max(...worst.filter(Number.isFinite), 0);
    const at = worst.indexOf(most);
    const summary =
        most > 0
            ? `The most uneven layer is ${firstLayer + at}: its busiest expert has ${digits(most)} times the mean.`
            : 'No token has been routed yet.';
    const height = Math.max(120, Math.min(460, load.length * 14));
    return (
        <div class="heat">
            <div class="heat-rows" style={{ height: `${height}px` }}>
                <span class="axis" aria-hidden="true">
                    <span>layer {firstLayer}</span>
                    <span>{firstLayer + load.length - 1}</span>
                </span>
                <canvas
                    ref={place}
                    role="img"
                    aria-label={`Load of ${load[0]?.length ?? 0} experts in ${load.length} layers. ${summary}`}
                    onPointerMove={point}
                    onPointerLeave={() => (pointed.value = '')}
                />
            </div>
            <div class="heat-foot">
                <span aria-live="off">{pointed.value || summary}</span>
                <span class="scale" aria-hidden="true">
                    0<i />
                    {kFull} × mean
                </span>
            </div>
        </div>
    );
}
