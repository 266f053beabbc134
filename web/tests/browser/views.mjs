// Fill in, the engine, the frame around them, and whether all of it is usable without a mouse, on a
// phone and by a screen reader.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { ask, answered, openPage } from './browser.mjs';

const kAxe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The policy forbids scripts in the page, not those of the debugger. */
export async function violations(page) {
    await page.evaluate(kAxe);
    const { violations: found } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    return found.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 120)).join(' | ')}`);
}

async function overflows(page) {
    return page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
}

export const tests = {
    async 'the gap at the cursor is filled, taken over or thrown away'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await page.click('text=Fill in');
        const code = 'def f():\n    return x\n';
        await page.fill('#code', code);
        await page.evaluate(() => document.querySelector('#code').setSelectionRange(9, 9));
        await page.press('#code', 'Control+Enter');
        await page.waitForSelector('text=Accept');
        const { prompt, suffix, max_tokens } = mock.state.requests.at(-1);
        assert.deepEqual([prompt, suffix, max_tokens], ['def f():\n', '    return x\n', 128]);
        const filled = await page.locator('.pane mark').textContent();
        assert.match(filled, /smaller/);
        await page.click('text=Accept');
        assert.equal(await page.inputValue('#code'), prompt + filled + suffix);
        await page.click('text=Fill in at the cursor');
        await page.click('text=Discard');
        assert.equal(await page.inputValue('#code'), prompt + filled + suffix);
        return problems;
    },

    async 'the engine is drawn and moves'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await page.click('text=Engine');
        await page.waitForSelector('.sparkline polyline', { timeout: 5000 });
        const cards = await page.locator('.card').allInnerTexts();
        assert.match(
            cards.join('\n'),
            /Generated[\s\S]*Batch[\s\S]*Cache[\s\S]*4096 pages[\s\S]*Drafts accepted[\s\S]*Load of the experts/,
        );
        const drawn = await page.evaluate(() => {
            const canvas = document.querySelector('canvas');
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return new Set(data.filter((_, index) => index % 4 === 3)).size;
        });
        assert.ok(drawn > 20, `${drawn} shades`);
        await page.hover('canvas');
        assert.match(await page.locator('.heat-foot').innerText(), /Layer \d+, expert \d+: [\d.]+ ×/);
        return problems;
    },

    async 'keys do what the sheet says'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await page.locator('.brand').click();
        await page.keyboard.press('?');
        await page.waitForSelector('dialog[open] >> text=Another answer');
        await page.keyboard.press('Escape');
        await page.waitForSelector('dialog', { state: 'detached' });
        await page.keyboard.press('Alt+Digit3');
        await page.waitForSelector('h1:text("Engine")');
        await page.keyboard.press('/');
        await page.waitForSelector('#composer:focus');
        await page.keyboard.type('what?/[');
        assert.equal(await page.inputValue('#composer'), 'what?/[');
        await page.keyboard.press('Alt+KeyT');
        assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'light');
        await page.keyboard.press('Alt+KeyT');
        await page.reload();
        assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
        return problems;
    },

    async 'the address names the view and the conversation'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await ask(page, 'Show me a table');
        await answered(page);
        const address = page.url();
        await page.click('text=Engine');
        await page.goBack();
        await page.waitForSelector('.prose table');
        assert.equal(page.url(), address);
        return problems;
    },

    async 'a phone sees all of it'({ browser, mock }) {
        const phone = { viewport: { width: 375, height: 720 }, hasTouch: true, isMobile: true };
        const { page, problems } = await openPage(browser, mock.address, phone);
        await ask(page, 'Compare three ways of caching in a table');
        await answered(page);
        assert.equal(await overflows(page), false);
        assert.equal(await page.isVisible('.sidebar'), false);
        await page.tap('[aria-label="Show conversations"]');
        await page.waitForSelector('.sidebar.open');
        await page.waitForTimeout(100);
        await page.tap('.sidebar.open .new');
        await page.waitForSelector('.welcome');
        for (const view of ['Fill in', 'Engine']) {
            await page.tap(`.tabs >> text=${view}`);
            await page.waitForTimeout(300);
            assert.equal(await overflows(page), false, view);
        }
        return problems;
    },

    async 'axe finds nothing wrong, in either theme'({ browser, mock }) {
        const all = [];
        for (const colorScheme of ['light', 'dark']) {
            const { page, problems } = await openPage(browser, mock.address, { colorScheme });
            const look = async (where) =>
                all.push(...(await violations(page)).map((text) => `${colorScheme}, ${where}: ${text}`));
            await page.waitForSelector('text=hadal-mini');
            await look('welcome');
            await page.click('text=Think');
            await page.click('text=Probabilities');
            await ask(page, 'Write a python function');
            await answered(page);
            await ask(page, 'Compare in a table');
            await answered(page);
            await page.click('.message.assistant:last-child [aria-label="Token probabilities"]');
            await page.hover('.message.assistant:last-child .token >> nth=3');
            await page.keyboard.press('Alt+KeyO');
            await page.waitForSelector('.panel');
            await look('chat');
            await ask(page, 'refuse this');
            await page.waitForSelector('.ending.bad');
            await look('error');
            await page.keyboard.press('Alt+Digit2');
            await page.click('text=Fill in at the cursor');
            await page.waitForSelector('text=Accept');
            await look('fill in');
            await page.keyboard.press('Alt+Digit3');
            await page.waitForSelector('canvas');
            await look('engine');
            await page.click('[aria-label="Keyboard"]');
            await look('help');
            all.push(...problems);
        }
        assert.deepEqual(all, []);
    },
};
