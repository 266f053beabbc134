// An answer token by token. Colour tells surprise; under the pointer, the focus or a finger, the
// tokens that might have stood there.
import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { percentOf, surpriseLevel, visible } from './probability';
import type { TokenScore } from './tree';

interface Place {
    index: number;
    left: number;
    top: number;
}

function Alternatives({ score }: { score: TokenScore }) {
    const known = score.top.some(({ token }) => token === score.token);
    const list = known ? score.top : [...score.top, score];
    return (
        <ol>
            {list.map(({ token, logprob }, index) => (
                <li key={index} class={token === score.token ? 'taken' : undefined}>
                    <code>{visible(token)}</code>
                    <span class="bar" aria-hidden="true">
                        <span style={{ width: `${100 * Math.exp(logprob)}%` }} />
                    </span>
                    <span class="share">{percentOf(logprob)}</span>
                </li>
            ))}
        </ol>
    );
}

export function Probabilities({ scores, id }: { scores: TokenScore[]; id: string }) {
    const at = useSignal<Place | null>(null);
    const frame = useRef<HTMLDivElement>(null);
    const name = (index: number) => `token-${id}-${index}`;
    const move = (index: number) => {
        const box = frame.current;
        const token = document.getElementById(name(index));
        if (!box || !token) return;
        const [outer, inner] = [box.getBoundingClientRect(), token.getBoundingClientRect()];
        at.value = {
            index,
            left: Math.max(0, Math.min(inner.left - outer.left, outer.width - 264)),
            top: inner.bottom - outer.top + 6,
        };
    };
    const follow = (event: Event) => {
        const index = (event.target as HTMLElement).dataset?.index;
        if (index !== undefined) move(Number(index));
    };
    const keys = (event: KeyboardEvent) => {
        const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
        if (event.key === 'Escape') at.value = null;
        if (step === undefined) return;
        event.preventDefault();
        move(Math.max(0, Math.min(scores.length - 1, (at.value?.index ?? -1) + step)));
    };
    const shown = at.value ? scores[at.value.index] : undefined;
    return (
        <div class="probabilities" ref={frame} onPointerLeave={() => (at.value = null)}>
            <div
                class="tokens"
                role="listbox"
                aria-label="Tokens, with the arrow keys"
                aria-orientation="horizontal"
                tabIndex={0}
                aria-activedescendant={at.value ? name(at.value.index) : undefined}
                onPointerOver={follow}
                onClick={follow}
                onKeyDown={keys}
                onFocus={() => !at.value && move(0)}
                onBlur={() => (at.value = null)}
            >
                {scores.map((score, index) => (
                    <span
                        key={index}
                        id={name(index)}
                        data-index={index}
                        role="option"
                        aria-selected={at.value?.index === index}
                        aria-label={`${visible(score.token)} ${percentOf(score.logprob)}`}
                        class={`token surprise-${surpriseLevel(score.logprob)}`}
                    >
                        {score.token}
                    </span>
                ))}
            </div>
            {shown && at.value && (
                <div
                    class="alternatives"
                    role="status"
                    style={{ left: `${at.value.left}px`, top: `${at.value.top}px` }}
                >
                    <Alternatives score={shown} />
                </div>
            )}
        </div>
    );
}
