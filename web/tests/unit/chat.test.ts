import { describe, expect, it } from 'vitest';
import { AnswerBuilder } from '../../src/chat/answer';
import { toolsOf } from '../../src/chat/calls';
import { percentOf, surpriseLevel, visible } from '../../src/chat/probability';
import { chatRequest } from '../../src/chat/request';
import * as tree from '../../src/chat/tree';
import { day, duration, rate, short } from '../../src/core/format';

const delta = (delta: object, more: object = {}) => ({ choices: [{ delta, ...more }] });

describe('an answer', () => {
    it('grows from its chunks', () => {
        const builder = new AnswerBuilder(1000);
        builder.take(delta({ role: 'assistant', content: '' }), 1050);
        builder.take(delta({ reasoning_content: 'Hm' }), 1100);
        expect(builder.thinking).toBe(true);
        builder.take(
            delta(
                { content: 'Yes' },
                {
                    logprobs: {
                        content: [
                            { token: 'Yes', logprob: -1, top_logprobs: [{ token: 'No', logprob: -2, bytes: [78] }] },
                        ],
                    },
                },
            ),
            1400,
        );
        builder.take(delta({}, { finish_reason: 'stop' }), 1500);
        builder.take(
            {
                choices: [],
                usage: {
                    prompt_tokens: 9,
                    completion_tokens: 5,
                    prompt_cache_hit_tokens: 4,
                    completion_tokens_details: { accepted_prediction_tokens: 2, rejected_prediction_tokens: 1 },
                },
            },
            1500,
        );
        expect(builder.message(1500)).toEqual({
            content: 'Yes',
            reasoning: 'Hm',
            finish: 'stop',
            scores: [{ token: 'Yes', logprob: -1, top: [{ token: 'No', logprob: -2 }] }],
            stats: {
                promptTokens: 9,
                cachedTokens: 4,
                completionTokens: 5,
                acceptedDrafts: 2,
                rejectedDrafts: 1,
                firstTokenMs: 100,
                totalMs: 500,
                thinkingMs: 300,
            },
        });
    });
    it('puts the parts of its calls together', () => {
        const builder = new AnswerBuilder(0);
        const parts = [
            { index: 0, id: 'c0', type: 'function', function: { name: 'weather', arguments: '' } },
            { index: 0, function: { arguments: '{"city": ' } },
            { index: 0, function: { arguments: '"Bonn"}' } },
            { index: 1, id: 'c1', type: 'function', function: { name: 'time', arguments: '{}' } },
        ];
        for (const part of parts) builder.take(delta({ tool_calls: [part] }), 1);
        const first = builder.message(1).calls;
        expect(first).toEqual([
            { id: 'c0', name: 'weather', arguments: '{"city": "Bonn"}' },
            { id: 'c1', name: 'time', arguments: '{}' },
        ]);
        builder.take(delta({ tool_calls: [{ index: 1, function: { arguments: ' ' } }] }), 2);
        expect(first?.[1]?.arguments).toBe('{}');
    });
    it('leaves what it gave before as it was', () => {
        const builder = new AnswerBuilder(0);
        const one = delta({ content: 'a' }, { logprobs: { content: [{ token: 'a', logprob: -1 }] } });
        builder.take(one, 1);
        const before = builder.message(1);
        builder.take(one, 2);
        expect([before.scores?.length, builder.message(2).scores?.length]).toEqual([1, 2]);
    });
    it('shows the bytes of a token that is a part of a letter', () => {
        const builder = new AnswerBuilder(0);
        const top_logprobs = [
            { token: '�', logprob: -1, bytes: [226, 150] },
            { token: '�', logprob: -9 },
        ];
        builder.take(
            delta({ content: '' }, { logprobs: { content: [{ token: '�', logprob: -2, bytes: [9], top_logprobs }] } }),
            1,
        );
        expect(builder.message(1).scores).toEqual([
            {
                token: '⟨09⟩',
                logprob: -2,
                top: [
                    { token: '⟨E2 96⟩', logprob: -1 },
                    { token: '�', logprob: -9 },
                ],
            },
        ]);
    });
    it('goes on from what it had', () => {
        const builder = new AnswerBuilder(0, { content: 'One, ', reasoning: '', scores: [] });
        builder.take(delta({ content: 'two' }), 5);
        expect(builder.content).toBe('One, two');
    });
    it('counts its pieces until the server counts tokens', () => {
        const builder = new AnswerBuilder(0);
        for (let index = 0; index < 3; ++index) builder.take(delta({ content: 'a' }), index);
        expect(builder.stats(3).completionTokens).toBe(3);
    });
});

describe('a request', () => {
    const question: tree.Message = { id: 'q', parent: null, role: 'user', content: 'Why?', reasoning: '', created: 1 };
    const answer: tree.Message = { id: 'a', parent: 'q', role: 'assistant', content: '', reasoning: '', created: 2 };
    const conversation = (options: Partial<tree.Options>, message = answer) =>
        tree.add(tree.add(tree.newConversation('c', 0, { ...tree.kDefaults, ...options }), question), message);

    it('holds only what was set', () => {
        expect(chatRequest(conversation({}), answer, 'm')).toEqual({
            model: 'm',
            messages: [{ role: 'user', content: 'Why?' }],
            temperature: 0.7,
            top_p: 0.95,
        });
    });
    it('holds all that was set', () => {
        const request = chatRequest(
            conversation({
                system: 'Brief',
                maxTokens: 5,
                seed: 0,
                stop: ['x'],
                frequencyPenalty: 1,
                presencePenalty: -1,
                thinking: 'off',
                probabilities: true,
            }),
            answer,
            'm',
        );
        expect(request).toMatchObject({
            messages: [{ role: 'system', content: 'Brief' }, { role: 'user' }],
            max_tokens: 5,
            seed: 0,
            stop: ['x'],
            frequency_penalty: 1,
            presence_penalty: -1,
            logprobs: true,
            top_logprobs: 5,
            thinking: { type: 'disabled' },
            chat_template_kwargs: { thinking: false },
        });
    });
    it('continues an answer that was cut off, thoughts included', () => {
        const cut = { ...answer, content: 'Beca', reasoning: 'Hm' };
        expect(chatRequest(conversation({}, cut), cut, 'm').messages.at(-1)).toEqual({
            role: 'assistant',
            content: 'Beca',
            reasoning_content: 'Hm',
            prefix: true,
        });
    });
    it('offers the functions of the options, and tells of the calls of earlier turns', () => {
        const called = { ...answer, calls: [{ id: 'c0', name: 'f', arguments: '{}' }] };
        const next: tree.Message = { ...question, id: 'q2', parent: 'a', created: 3 };
        const last: tree.Message = { ...answer, id: 'a2', parent: 'q2', created: 4 };
        const grown = tree.add(tree.add(conversation({ tools: '{"name": "f"}' }, called), next), last);
        const request = chatRequest(grown, last, 'm');
        expect(request.tools).toEqual([{ type: 'function', function: { name: 'f' } }]);
        expect(request.messages[1]).toEqual({
            role: 'assistant',
            content: null,
            tool_calls: [{ id: 'c0', type: 'function', function: { name: 'f', arguments: '{}' } }],
        });
        const tool = { type: 'function', function: { name: 'g' } };
        expect(toolsOf(JSON.stringify([tool, { name: 'h' }]))).toEqual([
            tool,
            { type: 'function', function: { name: 'h' } },
        ]);
        expect(['', ' ', '[', '3', '[null]', '[{}]'].map(toolsOf)).toEqual([[], [], null, null, null, null]);
    });
    it('leaves the thoughts of earlier turns out', () => {
        const thought = { ...answer, content: 'So', reasoning: 'Hm' };
        const next: tree.Message = { ...question, id: 'q2', parent: 'a', created: 3 };
        const last: tree.Message = { ...answer, id: 'a2', parent: 'q2', created: 4 };
        const grown = tree.add(tree.add(conversation({}, thought), next), last);
        expect(chatRequest(grown, last, 'm').messages[1]).toEqual({ role: 'assistant', content: 'So' });
    });
});

describe('numbers', () => {
    it('are short', () => {
        expect([0, 950, 4096, 12_345, 1_234_567, 4.5, NaN].map(short)).toEqual([
            '0',
            '950',
            '4096',
            '12.3k',
            '1.23M',
            '4.50',
            '–',
        ]);
    });
    it('of time are read at a glance', () => {
        expect([310, 12_400, 59_960, 185_000, 7_620_000].map(duration)).toEqual([
            '0.31 s',
            '12.4 s',
            '1 min 00 s',
            '3 min 05 s',
            '2 h 07 min',
        ]);
    });
    it('of speed leave the first token out', () => {
        expect(rate(11, 1000, 2000)).toBe(10);
        expect(rate(1, 0, 10)).toBeNaN();
    });
    it('of days follow the calendar', () => {
        const noon = new Date(2026, 5, 15, 12).getTime();
        const names = [0, 13, 24 * 3, 24 * 60].map((hours) => day(noon - hours * 3_600_000, noon));
        expect(names).toEqual(['Today', 'Yesterday', 'This week', 'April 2026']);
    });
    it('of probability', () => {
        expect([0, Math.log(0.5), Math.log(1e-3), Math.log(1e-9)].map(percentOf)).toEqual([
            '100 %',
            '50.0 %',
            '0.10 %',
            '< 0.01 %',
        ]);
        expect([0, Math.log(0.5), Math.log(1 / 128), -9999].map(surpriseLevel)).toEqual([0, 1, 7, 7]);
        expect(visible(' a\n')).toBe('·a↵');
    });
});
