// A formula as MathML, which browsers lay out themselves. Temml builds elements, not HTML text, and
// is told to trust nothing: no links, no classes, no unending macros.
import temml from 'temml/temml.js';
import { useLayoutEffect, useRef } from 'preact/hooks';

export function Math({ tex, display }: { tex: string; display: boolean }) {
    const place = useRef<HTMLSpanElement>(null);
    useLayoutEffect(() => {
        const element = place.current;
        if (!element) return;
        try {
            element.replaceChildren();
            temml.render(tex, element, {
                displayMode: display,
                throwOnError: true,
                trust: false,
                maxSize: [20, 20],
                maxExpand: 200,
            });
        } catch {
            element.textContent = tex; // not TeX after all, or not yet
        }
    }, [tex, display]);
    return <span ref={place} class={display ? 'math-display' : 'math'} />;
}
