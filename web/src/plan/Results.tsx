import { Icon } from '../ui/Icon';
import { difference, sentence } from './difference';
import { MemoryBars, Pipeline, SpeedCurve, StepBar } from './Pictures';
import { answer, ask, asking, error, figure, pin, pinned, set, unpin, unset } from './state';
import type { Answer, Cell, Figure, Section, Table } from './wire';

const textOf = (cell: Cell): string => (Array.isArray(cell) ? cell[0] : cell);

/** "1543 token/s" with its unit small; "24.2 %" and "$8.85 M" are read as one. */
function Big({ text }: { text: string }) {
    const [, number = text, unit = ''] = /^(.+?)\s+(\S+\/\S+)$/.exec(text) ?? [];
    return (
        <p class="big">
            {number}
            {unit && <small>{unit}</small>}
        </p>
    );
}

function Headline({ now }: { now: Answer }) {
    const before = pinned.value[ask.value.question];
    return (
        <div class="cards">
            {now.headline
                .flatMap((key) => figure(now, key) ?? [])
                .map(({ key, label, value, text }) => {
                    const old = before?.values[key];
                    return (
                        <section class="card" key={key}>
                            <h2>{label}</h2>
                            <Big text={text} />
                            {old !== undefined && value !== null && (
                                <p class="change">
                                    {difference(value, old)} <small>against the pinned</small>
                                </p>
                            )}
                        </section>
                    );
                })}
        </div>
    );
}

function FigureRow({ one, compared }: { one: Figure; compared: boolean }) {
    const off = one.published && one.value !== null ? 100 * (one.value / one.published.value - 1) : null;
    return (
        <tr>
            <th scope="row">{one.label}</th>
            <td class="to-right">{one.text}</td>
            {compared && (
                <td class="to-right">
                    {one.published?.text}
                    {off !== null && (
                        <small>
                            {' '}
                            {off < 0 ? '−' : '+'}
                            {Math.abs(off).toFixed(1)} %
                        </small>
                    )}
                </td>
            )}
            <td>
                <span class={`mark ${one.mark}`}>{one.mark}</span>
            </td>
            <td class="note">{[one.note, one.published?.source].filter(Boolean).join('; ')}</td>
        </tr>
    );
}

function Figures({ list, of }: { list: Figure[]; of: string }) {
    const compared = list.some(({ published }) => published);
    return (
        <div class="scroll" tabIndex={0} role="region" aria-label={`Figures: ${of}`}>
            <table>
                <thead>
                    <tr>
                        <th scope="col">figure</th>
                        <th scope="col" class="to-right">
                            here
                        </th>
                        {compared && (
                            <th scope="col" class="to-right">
                                published
                            </th>
                        )}
                        <th scope="col">kind</th>
                        <th scope="col">source</th>
                    </tr>
                </thead>
                <tbody>
                    {list.map((one) => (
                        <FigureRow key={one.key} one={one} compared={compared} />
                    ))}
                </tbody>
            </table>
        </div>
    );
}

function Rows({ table }: { table: Table }) {
    const side = (column: number) => (table.rows.some((row) => Array.isArray(row[column])) ? 'to-right' : undefined);
    return (
        <div class="scroll" tabIndex={0} role="region" aria-label={table.title || table.key}>
            {table.title && <h3>{table.title}</h3>}
            <table>
                <thead>
                    <tr>
                        {table.columns.map((name, index) => (
                            <th scope="col" key={name} class={side(index)}>
                                {name}
                            </th>
                        ))}
                    </tr>
                </thead>
                <tbody>
                    {table.rows.map((row, at) => (
                        <tr key={at}>
                            {row.map((cell, index) => (
                                <td key={index} class={side(index)}>
                                    {textOf(cell)}
                                </td>
                            ))}
                        </tr>
                    ))}
                </tbody>
            </table>
        </div>
    );
}

function Details({ section, open }: { section: Section; open: boolean }) {
    return (
        <details class="card section" open={open}>
            <summary>
                <h2>{sentence(section.title)}</h2>
            </summary>
            {section.figures.length > 0 && <Figures list={section.figures} of={sentence(section.title)} />}
            {section.tables.map((table) => (
                <Rows key={table.key} table={table} />
            ))}
            {section.notes.map((note) => (
                <p class="note" key={note}>
                    {note}
                </p>
            ))}
        </details>
    );
}

function AllInputs({ now }: { now: Answer }) {
    return (
        <details class="card section">
            <summary>
                <h2>All inputs, with their sources</h2>
            </summary>
            <div class="scroll" tabIndex={0} role="region" aria-label="inputs">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">input</th>
                            <th scope="col">value</th>
                            <th scope="col">unit</th>
                            <th scope="col">kind</th>
                            <th scope="col">source</th>
                        </tr>
                    </thead>
                    <tbody>
                        {now.inputs.map((input) => (
                            <tr
                                key={input.key}
                                class={ask.value.settings[input.key] !== undefined ? 'given' : undefined}
                            >
                                <th scope="row" title={input.help}>
                                    {input.key}
                                </th>
                                <td>
                                    <input
                                        type="text"
                                        aria-label={input.key}
                                        value={input.value}
                                        onChange={(event) =>
                                            event.currentTarget.value.trim() === ''
                                                ? unset(input.key)
                                                : set(input.key, event.currentTarget.value.trim())
                                        }
                                    />
                                </td>
                                <td>{input.unit}</td>
                                <td>{input.kind}</td>
                                <td class="note">{input.source}</td>
                            </tr>
                        ))}
                    </tbody>
                </table>
            </div>
        </details>
    );
}

export function Results() {
    const now = answer.value;
    const before = pinned.value[ask.value.question];
    const curve = now?.sections.flatMap(({ tables }) => tables).find(({ key }) => key === 'decode_batches');
    const chart = ask.value.question;
    return (
        <main id="main" class="results" tabIndex={-1} aria-busy={asking.value}>
            <header class="page-head">
                <h1>{now?.title ?? 'hadal plan'}</h1>
                <p class="row left">
                    <button type="button" class="secondary" disabled={!now} onClick={pin}>
                        <Icon name="check" />
                        Pin this, to compare
                    </button>
                    {before && (
                        <span class="pinned">
                            Pinned: {before.title}
                            <button type="button" class="link" onClick={unpin}>
                                forget
                            </button>
                        </span>
                    )}
                </p>
            </header>
            {error.value !== '' && (
                <p class="ending bad" role="alert">
                    <Icon name="warning" />
                    <span>{error.value}</span>
                </p>
            )}
            {now && (
                <div class={error.value === '' ? 'sheet' : 'sheet stale'}>
                    <Headline now={now} />
                    {chart === 'train' && <StepBar answer={now} />}
                    {chart === 'train' && now.timeline && <Pipeline timeline={now.timeline} />}
                    {(chart === 'train' || chart === 'memory') && now.memory && <MemoryBars memory={now.memory} />}
                    {chart === 'serve' && curve && <SpeedCurve table={curve} />}
                    {now.sections.map((section, index) => (
                        <Details
                            key={section.title}
                            section={section}
                            open={chart !== 'train' || index === now.sections.length - 2}
                        />
                    ))}
                    <AllInputs now={now} />
                </div>
            )}
        </main>
    );
}
