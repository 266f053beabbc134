// A question in the page's address, so that a plan can be sent to somebody.
import { kQuestions, type Ask } from './wire';

export function toHash(ask: Ask): string {
    const parts = new URLSearchParams();
    if (ask.cluster) parts.set('cluster', ask.cluster);
    if (ask.model) parts.set('model', ask.model);
    for (const name of ask.scenarios) parts.append('scenario', name);
    for (const [key, value] of Object.entries(ask.settings)) parts.set(key, value);
    const text = parts.toString();
    return `#${ask.question}${text === '' ? '' : `?${text}`}`;
}

export function fromHash(hash: string): Ask {
    const [name = '', text = ''] = hash.replace(/^#/, '').split('?', 2);
    const ask: Ask = {
        question: kQuestions.find((question) => question === name) ?? 'train',
        scenarios: [],
        settings: {},
    };
    for (const [key, value] of new URLSearchParams(text)) {
        if (key === 'cluster') ask.cluster = value;
        else if (key === 'model') ask.model = value;
        else if (key === 'scenario') ask.scenarios.push(value);
        else ask.settings[key] = value;
    }
    return ask;
}
