// A server that speaks as `hadal serve` does, with invented answers: for developing the page without
// a model, and for its tests. Words in the question choose what happens: "refuse" is an error,
// "break" cuts the connection, "slow" takes its time.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { answerTo, kFill, kThoughts, tokensOf } from './answers.mjs';

const kPages = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../src/serve/page');

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The same numbers in every run. */
function random(seed) {
    let state = seed >>> 0;
    return () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state / 2 ** 32;
    };
}

function scoreOf(token, next) {
    const sure = next() ** 0.35;
    const others = [' the', ' a', ' which', ' one', '\n'].filter((other) => other !== token);
    let left = 1 - sure;
    const top = [{ token, logprob: Math.log(sure) }];
    for (const other of others.slice(0, 4)) {
        const share = left * (0.4 + 0.3 * next());
        left -= share;
        top.push({ token: other, logprob: Math.log(Math.max(share, 1e-6)) });
    }
    top.sort((a, b) => b.logprob - a.logprob);
    return { token, logprob: Math.log(sure), bytes: [...Buffer.from(token)], top_logprobs: top };
}

const kLayers = 12,
    kExperts = 64;

function liveOf(started, now) {
    const seconds = (now - started) / 1000;
    const wave = 1 + 0.35 * Math.sin(seconds / 3) + 0.12 * Math.sin(seconds * 1.7);
    const generated = Math.round(4_812_345 + 212 * seconds + 90 * Math.sin(seconds / 3));
    const drafts = Math.round(generated * 0.9);
    const next = random(7);
    const load = Array.from({ length: kLayers }, () =>
        Array.from({ length: kExperts }, () =>
            Math.round(900 * (0.35 + next() ** 2.4 * 2.6) + 40 * Math.sin(seconds + 9 * next())),
        ),
    );
    return {
        model: 'hadal-mini',
        uptime_seconds: 5025 + seconds,
        page_tokens: 64,
        max_sequences: 64,
        engine: {
            steps: Math.round(96_120 + 14 * seconds),
            step_tokens: Math.round(9_812_000 + 690 * seconds),
            prompt_tokens: Math.round(6_204_000 + 410 * seconds),
            reused_tokens: Math.round(3_511_000 + 240 * seconds),
            generated_tokens: generated,
            draft_tokens: drafts,
            accepted_tokens: Math.round(drafts * 0.81 + 22 * Math.sin(seconds / 5)),
            preemptions: 3,
            running: Math.round(17 * wave),
            waiting: Math.max(0, Math.round(4 * (wave - 1))),
            pages: 4096,
            free_pages: Math.round(1640 - 300 * wave),
            idle_pages: 912,
        },
        experts: { first_layer: 3, load },
    };
}

function json(response, status, value, headers = {}) {
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
    response.end(JSON.stringify(value));
}
const refuse = (response, status, message, param = null, headers = {}) =>
    json(response, status, { error: { message, type: 'invalid_request_error', param, code: status } }, headers);

async function bodyOf(request) {
    let text = '';
    for await (const piece of request) text += piece;
    return JSON.parse(text);
}

async function chat(state, request, response) {
    const body = await bodyOf(request);
    state.requests.push(body);
    const last = body.messages.findLast((message) => message.role === 'user')?.content ?? '';
    if (last.includes('refuse'))
        return refuse(response, 400, 'max_tokens is 9000, but the model takes 4096', 'max_tokens');
    if (last.includes('busy')) return refuse(response, 429, 'too many requests', null, { 'Retry-After': '2' });
    const prefix = body.messages.at(-1).prefix ? body.messages.at(-1).content : '';
    const thinking = body.thinking?.type === 'enabled' && prefix === '';
    const text = answerTo(last).slice(prefix.length);
    const next = random(last.length + state.requests.length);
    const usage = { prompt_tokens: 40 + last.length, prompt_cache_hit_tokens: 32 };
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    const event = (choices, more = {}) =>
        response.write(
            `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'hadal-mini', choices, usage: null, ...more })}\n\n`,
        );
    response.write(': keep-alive\n\n');
    event([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }]);
    let count = 0;
    const say = async (field, tokens) => {
        for (const token of tokens) {
            if (response.destroyed) return;
            await pause(last.includes('slow') ? 60 : state.tokenMs);
            count += 1;
            if (last.includes('break') && prefix === '' && count > 20) return response.destroy();
            const logprobs = body.logprobs ? { content: [scoreOf(token, next)] } : null;
            event([{ index: 0, delta: { [field]: token }, logprobs, finish_reason: null }]);
        }
    };
    if (thinking) await say('reasoning_content', tokensOf(kThoughts));
    if (body.tools && last.includes('call')) {
        const name = body.tools[0].function.name;
        const part = (tool_calls) => event([{ index: 0, delta: { tool_calls: [tool_calls] }, finish_reason: null }]);
        part({ index: 0, id: 'call_1', type: 'function', function: { name, arguments: '' } });
        for (const text of ['{"city": ', '"Köln"', '}']) part({ index: 0, function: { arguments: text } });
        event([{ index: 0, delta: {}, finish_reason: 'tool_calls' }]);
        return response.end('data: [DONE]\n\n');
    }
    await say('content', tokensOf(text));
    if (response.destroyed) {
        state.cancelled += 1;
        return;
    }
    event([{ index: 0, delta: {}, finish_reason: 'stop' }]);
    const accepted = Math.round(count * 0.41);
    const details = { accepted_prediction_tokens: accepted, rejected_prediction_tokens: Math.round(accepted * 0.22) };
    event([], { usage: { ...usage, completion_tokens: count, completion_tokens_details: details } });
    response.end('data: [DONE]\n\n');
}

async function fill(state, request, response) {
    const body = await bodyOf(request);
    state.requests.push(body);
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    const tokens = tokensOf(kFill);
    for (const text of tokens) {
        if (response.destroyed) return;
        await pause(state.tokenMs);
        response.write(
            `data: ${JSON.stringify({ object: 'text_completion', choices: [{ index: 0, text, finish_reason: null }] })}\n\n`,
        );
    }
    const usage = { prompt_tokens: 60, completion_tokens: tokens.length };
    response.write(`data: ${JSON.stringify({ choices: [{ index: 0, text: '', finish_reason: 'stop' }], usage })}\n\n`);
    response.end('data: [DONE]\n\n');
}

async function page(response, name) {
    const [body, policy] = await Promise.all([
        readFile(path.join(kPages, `${name}.html`)),
        readFile(path.join(kPages, `${name}.csp`), 'utf8'),
    ]);
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': policy });
    response.end(body);
}

/** state: key ('' for none), tokenMs, requests (all bodies), cancelled (how many). */
export function createMock(options = {}) {
    const state = { key: '', tokenMs: 4, requests: [], cancelled: 0, ...options };
    const started = Date.now() - 60_000;
    const server = createServer(async (request, response) => {
        const address = new URL(request.url, 'http://mock').pathname;
        if (address === '/') return page(response, 'chat');
        if (!address.startsWith('/v1/')) return refuse(response, 404, `no such address: ${address}`);
        if (state.key !== '' && request.headers.authorization !== `Bearer ${state.key}`) {
            return refuse(response, 401, 'this key is not known here');
        }
        if (address === '/v1/models')
            return json(response, 200, {
                object: 'list',
                data: [{ id: 'hadal-mini', object: 'model', max_model_len: 4096 }],
            });
        if (address === '/v1/hadal/live') return json(response, 200, liveOf(started, Date.now()));
        if (address === '/v1/chat/completions') return chat(state, request, response);
        if (address === '/v1/completions') return fill(state, request, response);
        return refuse(response, 404, `no such address: ${address}`);
    });
    return { server, state };
}
