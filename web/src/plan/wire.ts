// What the planner's page asks and is answered (src/cli/plan_page.h).

export const kQuestions = ['train', 'memory', 'serve', 'failures'] as const;
export type Question = (typeof kQuestions)[number];

export interface Ask {
    question: Question;
    cluster?: string; // absent: the default, or what a scenario brings
    model?: string;
    scenarios: string[];
    settings: Record<string, string>;
}

export interface Figure {
    key: string;
    label: string;
    value: number | null;
    text: string;
    mark: 'input' | 'calibration' | 'prediction';
    note: string;
    published?: { value: number; text: string; source: string };
}
export type Cell = string | [text: string, value: number | null];
export interface Table {
    key: string;
    title: string;
    columns: string[];
    rows: Cell[][];
}
export interface Section {
    title: string;
    figures: Figure[];
    tables: Table[];
    notes: string[];
}
export interface Input {
    key: string;
    value: string;
    unit: string;
    help: string;
    minimum: number;
    maximum: number;
    choices: string[];
    kind: string;
    source: string;
}
export interface RankMemory {
    rank: number;
    weights: number;
    gradients: number;
    optimizer: number;
    activations: number;
    buffers: number;
    total: number;
    text: string;
}
export interface Memory {
    capacity: number;
    capacity_text: string;
    ranks: RankMemory[];
}
export type Shade = 'forward' | 'backward' | 'weight' | 'both';
export interface Timeline {
    schedule: string;
    micro_batches: number;
    of: number;
    makespan: number;
    rows: Partial<Record<Shade, number[]>>[];
}
export interface Answer {
    title: string;
    model: string;
    cluster: string;
    headline: string[];
    sections: Section[];
    inputs: Input[];
    memory?: Memory;
    timeline?: Timeline | null;
}
export interface Choices {
    models: string[];
    clusters: string[];
    scenarios: string[];
}
