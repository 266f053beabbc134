import { Icon } from '../ui/Icon';
import { kGroups, nearestStop, type Control } from './controls';
import { answer, ask, change, choices, set, unset } from './state';
import type { Input } from './wire';

function Reset({ name, label }: { name: string; label: string }) {
    if (ask.value.settings[name] === undefined) return null;
    return (
        <button
            type="button"
            class="reset"
            title="Back to the preset"
            aria-label={`Set ${label} back`}
            onClick={() => unset(name)}
        >
            <Icon name="again" />
        </button>
    );
}

/** What was asked for shows at once, before the answer is here. */
const wanted = (input: Input): string => ask.value.settings[input.key] ?? input.value;

function Slider({ control, input }: { control: Control; input: Input }) {
    const values = control.values ?? [];
    const value = Number(wanted(input));
    const text = (control.show ?? String)(value);
    return (
        <div class="slider">
            <label for={control.key} title={`${input.help} (${control.key})`}>
                {control.label}
            </label>
            <span class="row">
                <Reset name={control.key} label={control.label} />
                <output for={control.key}>{text}</output>
            </span>
            <input
                id={control.key}
                type="range"
                min={0}
                max={values.length - 1}
                step={1}
                value={nearestStop(values, value)}
                aria-valuetext={text}
                onInput={(event) => set(control.key, String(values[event.currentTarget.valueAsNumber]))}
            />
        </div>
    );
}

function Choice({ control, input }: { control: Control; input: Input }) {
    return (
        <div class="field">
            <span class="row split">
                <label for={control.key}>{control.label}</label>
                <Reset name={control.key} label={control.label} />
            </span>
            <select
                id={control.key}
                value={wanted(input)}
                onChange={(event) => set(control.key, event.currentTarget.value)}
            >
                {input.choices.map((name) => (
                    <option key={name}>{name}</option>
                ))}
            </select>
        </div>
    );
}

function Preset({
    kind,
    label,
    names,
    shown,
}: {
    kind: 'cluster' | 'model';
    label: string;
    names: string[];
    shown: string;
}) {
    return (
        <label class="field">
            <span>{label}</span>
            <select value={shown} onChange={(event) => change({ [kind]: event.currentTarget.value })}>
                {(names.includes(shown) || shown === '' ? names : [shown, ...names]).map((name) => (
                    <option key={name}>{name}</option>
                ))}
            </select>
        </label>
    );
}

function Scenarios() {
    const chosen = ask.value.scenarios;
    const toggle = (name: string) =>
        change({ scenarios: chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name] });
    return (
        <details class="scenarios" open={chosen.length > 0}>
            <summary>What if{chosen.length > 0 && `: ${chosen.join(', ')}`}</summary>
            <div class="chips" role="group" aria-label="Scenarios">
                {choices.value.scenarios.map((name) => (
                    <button
                        type="button"
                        class="chip"
                        key={name}
                        aria-pressed={chosen.includes(name)}
                        onClick={() => toggle(name)}
                    >
                        {name}
                    </button>
                ))}
            </div>
        </details>
    );
}

export function Controls() {
    const now = answer.value;
    const inputs = new Map(now?.inputs.map((input) => [input.key, input]));
    const changed = Object.keys(ask.value.settings).length;
    return (
        <aside class="controls" aria-label="Inputs">
            <div class="pair">
                <Preset
                    kind="model"
                    label="Model"
                    names={choices.value.models}
                    shown={ask.value.model ?? now?.model ?? ''}
                />
                <Preset
                    kind="cluster"
                    label="Cluster"
                    names={choices.value.clusters}
                    shown={ask.value.cluster ?? now?.cluster ?? ''}
                />
            </div>
            <Scenarios />
            {kGroups[ask.value.question].map(({ title, controls }) => (
                <section key={title}>
                    <h2>{title}</h2>
                    {controls.map((control) => {
                        const input = inputs.get(control.key);
                        if (!input) return null;
                        return control.values ? (
                            <Slider key={control.key} control={control} input={input} />
                        ) : (
                            <Choice key={control.key} control={control} input={input} />
                        );
                    })}
                </section>
            ))}
            <button type="button" class="secondary" disabled={changed === 0} onClick={() => change({ settings: {} })}>
                {changed === 0 ? 'All as in the preset' : `Set ${changed} ${changed === 1 ? 'input' : 'inputs'} back`}
            </button>
        </aside>
    );
}
