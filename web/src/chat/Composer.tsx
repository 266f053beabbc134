// Where a message is written. Enter sends, unless an input method is still composing.
import { useSignal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { chosenModel, connection } from '../core/connection';
import { Icon } from '../ui/Icon';
import { panelOpen } from '../ui/view';
import { current, send, setOptions, stop, writing } from './session';

export function Composer() {
    const text = useSignal('');
    const place = useRef<HTMLTextAreaElement>(null);
    const busy = writing.value[current.value.id] !== undefined;
    const ready = connection.value === 'ready';
    useLayoutEffect(() => {
        const area = place.current;
        if (!area) return;
        area.style.height = 'auto';
        area.style.height = `${Math.min(area.scrollHeight, window.innerHeight * 0.4)}px`;
    }, [text.value]);
    const submit = () => {
        if (busy || !ready || text.value.trim() === '') return;
        send(text.value);
        text.value = '';
    };
    const { probabilities, thinking } = current.value.options;
    return (
        <form
            class="composer"
            onSubmit={(event) => {
                event.preventDefault();
                submit();
            }}
        >
            <label class="offscreen" for="composer">
                Message
            </label>
            <textarea
                id="composer"
                ref={place}
                rows={1}
                autofocus
                value={text.value}
                placeholder={`Message ${chosenModel() || 'the model'}`}
                onInput={(event) => (text.value = event.currentTarget.value)}
                onKeyDown={(event) => {
                    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
                    event.preventDefault();
                    submit();
                }}
            />
            <div class="composer-tools">
                <button
                    type="button"
                    class="chip"
                    aria-pressed={thinking === 'on'}
                    onClick={() => setOptions({ thinking: thinking === 'on' ? 'off' : 'on' })}
                    title="Let the model think first"
                >
                    <Icon name="thought" />
                    Think
                </button>
                <button
                    type="button"
                    class="chip"
                    aria-pressed={probabilities}
                    onClick={() => setOptions({ probabilities: !probabilities })}
                    title="Show how likely each token was"
                >
                    <Icon name="chance" />
                    Probabilities
                </button>
                <button
                    type="button"
                    class="chip"
                    aria-expanded={panelOpen.value}
                    onClick={() => (panelOpen.value = !panelOpen.value)}
                    title="Options (Alt O)"
                >
                    <Icon name="sliders" />
                    Options
                </button>
                <span class="space" />
                {busy ? (
                    <button
                        type="button"
                        class="send"
                        title="Stop (Esc)"
                        aria-label="Stop"
                        onClick={() => stop(current.value.id)}
                    >
                        <Icon name="stop" />
                    </button>
                ) : (
                    <button
                        type="submit"
                        class="send"
                        title="Send (Enter)"
                        aria-label="Send"
                        disabled={!ready || text.value.trim() === ''}
                    >
                        <Icon name="send" />
                    </button>
                )}
            </div>
        </form>
    );
}
