// System prompt, sampling and key, beside the conversation that they belong to.
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { chosenModel, models } from '../core/connection';
import { prefer } from '../core/preferences';
import { Icon } from '../ui/Icon';
import { KeyForm } from '../ui/Status';
import { panelOpen } from '../ui/view';
import { toolsOf } from './calls';
import { current, setOptions } from './session';
import { kDefaults, type Options } from './tree';

type SliderKey = 'temperature' | 'topP' | 'frequencyPenalty' | 'presencePenalty';

interface SliderProps {
    name: SliderKey;
    label: string;
    minimum: number;
    maximum: number;
    help: string;
}

function Slider({ name, label, minimum, maximum, help }: SliderProps) {
    const value = current.value.options[name];
    return (
        <label class="slider">
            <span>{label}</span>
            <output>{value.toFixed(2)}</output>
            <input
                type="range"
                min={minimum}
                max={maximum}
                step={0.05}
                value={value}
                onInput={(event) => setOptions({ [name]: event.currentTarget.valueAsNumber } as Partial<Options>)}
            />
            <small>{help}</small>
        </label>
    );
}

interface WholeProps {
    name: 'maxTokens' | 'seed';
    label: string;
    placeholder: string;
    minimum: number;
}

function Whole({ name, label, placeholder, minimum }: WholeProps) {
    const value = current.value.options[name];
    const take = (input: HTMLInputElement) => {
        const number = input.valueAsNumber;
        setOptions({ [name]: Number.isInteger(number) && number >= minimum ? number : null } as Partial<Options>);
    };
    return (
        <label class="field">
            <span>{label}</span>
            <input
                type="number"
                inputMode="numeric"
                min={minimum}
                step={1}
                value={value ?? ''}
                placeholder={placeholder}
                onInput={(event) => take(event.currentTarget)}
            />
        </label>
    );
}

function Thinking() {
    const choices: [Options['thinking'], string][] = [
        ['model', 'As it is'],
        ['on', 'On'],
        ['off', 'Off'],
    ];
    return (
        <fieldset class="choice">
            <legend>Thinking</legend>
            {choices.map(([value, label]) => (
                <label key={value}>
                    <input
                        type="radio"
                        name="thinking"
                        checked={current.value.options.thinking === value}
                        onChange={() => setOptions({ thinking: value })}
                    />
                    <span>{label}</span>
                </label>
            ))}
        </fieldset>
    );
}

function Stops() {
    const shown = current.value.options.stop.join('\n');
    const text = useSignal(shown);
    return (
        <label class="field">
            <span>
                Stop at <small>one a line</small>
            </span>
            <textarea
                rows={2}
                spellcheck={false}
                value={text.value}
                onInput={(event) => {
                    text.value = event.currentTarget.value;
                    setOptions({ stop: text.value.split('\n').filter((line) => line !== '') });
                }}
            />
        </label>
    );
}

function Functions() {
    const shown = current.value.options.tools ?? '';
    const wrong = toolsOf(shown) === null;
    return (
        <label class="field">
            <span>
                Functions <small>JSON; the page shows calls and makes none</small>
            </span>
            <textarea
                rows={3}
                spellcheck={false}
                value={shown}
                placeholder='[{"name": "weather", "parameters": {…}}]'
                aria-invalid={wrong}
                onInput={(event) => setOptions({ tools: event.currentTarget.value })}
            />
            {wrong && <small role="status">This is no list of functions: none is offered.</small>}
        </label>
    );
}

export function OptionsPanel() {
    const options = current.value.options;
    const place = useRef<HTMLElement>(null);
    useEffect(() => place.current?.querySelector('textarea')?.focus({ preventScroll: true }), []);
    const { system } = options;
    return (
        <aside
            class="panel"
            aria-label="Options"
            ref={place}
            onKeyDown={(event) => event.key === 'Escape' && (panelOpen.value = false)}
        >
            <header>
                <h2>Options</h2>
                <button
                    type="button"
                    class="quiet"
                    aria-label="Close options"
                    onClick={() => (panelOpen.value = false)}
                >
                    <Icon name="close" />
                </button>
            </header>
            {models.value.length > 1 && (
                <label class="field">
                    <span>Model</span>
                    <select value={chosenModel()} onChange={(event) => prefer({ model: event.currentTarget.value })}>
                        {models.value.map(({ id }) => (
                            <option key={id} value={id}>
                                {id}
                            </option>
                        ))}
                    </select>
                </label>
            )}
            <label class="field">
                <span>System prompt</span>
                <textarea
                    rows={4}
                    value={system}
                    placeholder="Who the model is, and how it should answer"
                    onInput={(event) => setOptions({ system: event.currentTarget.value })}
                />
            </label>
            <Thinking />
            <Slider
                name="temperature"
                label="Temperature"
                minimum={0}
                maximum={2}
                help="0 always takes the likeliest token"
            />
            <Slider
                name="topP"
                label="Top p"
                minimum={0.05}
                maximum={1}
                help="Only the likeliest tokens that sum to this"
            />
            <Slider
                name="frequencyPenalty"
                label="Frequency penalty"
                minimum={-2}
                maximum={2}
                help="Against repeating tokens, by their count"
            />
            <Slider
                name="presencePenalty"
                label="Presence penalty"
                minimum={-2}
                maximum={2}
                help="Against repeating tokens at all"
            />
            <div class="pair">
                <Whole name="maxTokens" label="Most tokens" placeholder="to the end" minimum={1} />
                <Whole name="seed" label="Seed" placeholder="random" minimum={0} />
            </div>
            <Stops />
            <Functions />
            <label class="check">
                <input
                    type="checkbox"
                    checked={options.probabilities}
                    onChange={(event) => setOptions({ probabilities: event.currentTarget.checked })}
                />
                <span>Ask for token probabilities</span>
            </label>
            <button type="button" class="secondary" onClick={() => setOptions({ ...kDefaults, system })}>
                Back to the defaults
            </button>
            <details>
                <summary>Server key</summary>
                <KeyForm />
            </details>
        </aside>
    );
}
