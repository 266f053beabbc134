// The chat page against `hadal serve` itself with a small random model: that the two understand each
// other. What it writes is nonsense.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ask, answered, openPage } from './browser.mjs';
import { startHadal } from './plan.mjs';

const kRoot = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../..');

function makeModel() {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'hadal-page-'));
    const [model, tokenizer] = [path.join(folder, 'tiny'), path.join(folder, 'tokenizer')];
    const hadal = (...words) => execFileSync(process.env.HADAL, words, { stdio: 'ignore' });
    const texts = readdirSync(path.join(kRoot, 'docs'))
        .filter((name) => name.endsWith('.md'))
        .map((name) => path.join(kRoot, 'docs', name));
    hadal('init', '--preset', 'tiny', '--out', model);
    hadal('tokenizer', 'train', ...texts, '--vocab-size', '512', '--out', tokenizer);
    for (const name of readdirSync(tokenizer)) copyFileSync(path.join(tokenizer, name), path.join(model, name));
    return { folder, model };
}

async function serving({ browser }, work) {
    const { folder, model } = makeModel();
    // Slowly, or an answer would be over before a reader can stop it.
    const server = await startHadal(
        'serve',
        model,
        '--port',
        '0',
        '--speculate',
        '1',
        '--access-log',
        'off',
        '--isa',
        'portable',
        '--threads',
        '1',
    );
    try {
        const { page, problems } = await openPage(browser, server.address);
        await page.waitForSelector('.welcome >> text=tiny');
        await page.keyboard.press('Alt+KeyO');
        await page.fill('.panel .pair input >> nth=0', '48');
        await page.locator('.slider input').first().fill('0'); // a random model ends early when it is sampled
        await page.keyboard.press('Alt+KeyO');
        await work(page, server);
        return problems;
    } finally {
        await server.stop();
        rmSync(folder, { recursive: true });
    }
}

const figures = (page) => page.locator('.message.assistant .figures').last().innerText();

export const tests = {
    'server: an answer with figures and probabilities, continued and asked for again': (given) =>
        serving(given, async (page) => {
            await page.click('text=Probabilities');
            await ask(page, 'Hello');
            await answered(page);
            assert.match(await figures(page), /48 tokens[\s\S]*drafts accepted/);
            await page.waitForSelector('text=reached its limit of tokens');
            await page.click('[aria-label="Token probabilities"]');
            const tokens = await page.locator('.token').count();
            assert.ok(tokens >= 40, `${tokens} tokens`);
            await page.click('text=Continue');
            await page.waitForFunction((before) => document.querySelectorAll('.token').length > before + 20, tokens);
            await answered(page);
            await page.click('[aria-label="Another answer"]');
            await page.waitForSelector('text=2 / 2');
            await answered(page);
        }),

    'server: a stopped answer ends there too': (given) =>
        serving(given, async (page, server) => {
            await page.keyboard.press('Alt+KeyO');
            await page.fill('.panel .pair input >> nth=0', '3000');
            await ask(page, 'Tell me everything');
            await page.waitForSelector('.answer .prose p');
            await page.keyboard.press('Escape');
            await page.waitForSelector('text=You stopped this answer.');
            await page.waitForTimeout(300);
            const live = await (await fetch(`${server.address}/v1/hadal/live`)).json();
            assert.equal(live.engine.running, 0);
            assert.equal(live.engine.free_pages + live.engine.idle_pages, live.engine.pages);
        }),

    'server: the engine is seen at work': (given) =>
        serving(given, async (page) => {
            await ask(page, 'Hello');
            await answered(page);
            await page.keyboard.press('Alt+Digit3');
            await page.waitForSelector('canvas');
            await page.waitForSelector('text=/The most uneven layer is/');
            const cards = (await page.locator('.card').allInnerTexts()).join('\n');
            assert.match(cards, /of \d+(\.\d)?k? pages/);
            assert.match(cards, /64 tokens a page/);
        }),

    'server: a gap is filled': (given) =>
        serving(given, async (page) => {
            await page.keyboard.press('Alt+Digit2');
            await page.fill('.toolbar input', '12');
            await page.click('text=Fill in at the cursor');
            await page.waitForSelector('text=Accept');
            assert.equal(await page.locator('.pane [role=alert]').count(), 0);
            assert.ok((await page.locator('.pane mark').textContent()).length > 0);
        }),

    'server: what it refuses is shown in its words': (given) =>
        serving(given, async (page) => {
            await page.keyboard.press('Alt+KeyO');
            await page.fill('.panel .pair input >> nth=0', '999999999');
            await ask(page, 'Hello '.repeat(9000));
            await page.waitForSelector('.ending.bad');
            assert.match(await page.locator('.ending.bad').innerText(), /token/);
        }),

    'server: with keys, nothing but the page comes without one': async ({ browser }) => {
        const { folder, model } = makeModel();
        const keys = path.join(folder, 'keys');
        writeFileSync(keys, 'a-key-for-this-test\n', { mode: 0o600 });
        const server = await startHadal('serve', model, '--port', '0', '--api-key-file', keys, '--access-log', 'off');
        try {
            const { page, problems } = await openPage(browser, server.address);
            await page.waitForSelector('text=This server wants an API key.');
            for (const address of ['/v1/models', '/v1/hadal/live']) {
                assert.equal((await fetch(server.address + address)).status, 401, address);
            }
            await page.fill('.notice input[type=password]', 'a-key-for-this-test');
            await page.click('text=Use this key');
            await page.waitForSelector('.welcome >> text=tiny');
            await page.keyboard.press('Alt+Digit3');
            await page.waitForSelector('.card');
            return problems;
        } finally {
            await server.stop();
            rmSync(folder, { recursive: true });
        }
    },
};
