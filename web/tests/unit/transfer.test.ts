import { describe, expect, it } from 'vitest';
import { exportText, importText } from '../../src/chat/transfer';
import * as tree from '../../src/chat/tree';

function conversation(): tree.Conversation {
    let made = tree.newConversation('c1', 5, { ...tree.kDefaults, system: 'Be brief', seed: 7, stop: ['END'] });
    made = tree.add(made, {
        id: 'q',
        parent: null,
        role: 'user',
        content: 'Hello </script> 🌊',
        reasoning: '',
        created: 6,
    });
    return tree.add(made, {
        id: 'a',
        parent: 'q',
        role: 'assistant',
        content: 'Hi',
        reasoning: 'A greeting',
        created: 7,
        finish: 'stop',
        calls: [{ id: 'c0', name: 'f', arguments: '{"a": 1}' }],
        scores: [
            {
                token: 'Hi',
                logprob: -0.5,
                top: [
                    { token: 'Hi', logprob: -0.5 },
                    { token: 'Yo', logprob: -1 },
                ],
            },
        ],
        stats: {
            promptTokens: 4,
            cachedTokens: 0,
            completionTokens: 1,
            acceptedDrafts: 0,
            rejectedDrafts: 0,
            firstTokenMs: 3,
            totalMs: 4,
            thinkingMs: 1,
        },
    });
}

const broken = (edit: (file: any) => void): string => {
    const file = JSON.parse(exportText([conversation()]));
    edit(file);
    return JSON.stringify(file);
};

describe('an export', () => {
    it('comes back as it went out', () => {
        const [back] = importText(exportText([conversation()]));
        expect(JSON.parse(JSON.stringify(back), (_key, value) => value)).toEqual(
            JSON.parse(JSON.stringify(conversation()).replaceAll(/,"top":\[\]/g, ''), (key, value) =>
                key === 'top' ? value.map((entry: object) => ({ ...entry, top: [] })) : value,
            ),
        );
    });
    it.each([
        ['not JSON', 'hello', 'not JSON'],
        ['a list', '[]', 'the file is not an object'],
        ['another program’s', '{"format":"x"}', '"format"'],
        ['of a later version', broken((file) => (file.version = 9)), 'version 9'],
        ['without a list', broken((file) => (file.conversations = {})), '"conversations"'],
        [
            'with a number for text',
            broken((file) => (file.conversations[0].messages.a.content = 3)),
            'message a.content',
        ],
        ['with another role', broken((file) => (file.conversations[0].messages.a.role = 'system')), 'message a.role'],
        [
            'with a parent that is not there',
            broken((file) => (file.conversations[0].messages.a.parent = 'z')),
            'message a.parent',
        ],
        [
            'with a time that is none',
            broken((file) => (file.conversations[0].created = 'now')),
            'conversation 1.created',
        ],
    ])('%s is refused by name', (_name, text, part) => {
        expect(() => importText(text)).toThrow(part);
    });
    it('with options of other types gets the defaults', () => {
        const text = broken(
            (file) =>
                (file.conversations[0].options = {
                    temperature: 'hot',
                    stop: [1],
                    thinking: 'maybe',
                    topP: 0.5,
                    seed: null,
                }),
        );
        expect(importText(text)[0]?.options).toEqual({ ...tree.kDefaults, topP: 0.5 });
    });
    it('with a circle of parents does not hang', () => {
        const text = broken((file) => (file.conversations[0].messages.q.parent = 'a'));
        const [back] = importText(text);
        expect(tree.path(back as tree.Conversation)).toEqual([]);
        expect(tree.ancestors(back as tree.Conversation, 'a').length).toBe(2);
    });
});
