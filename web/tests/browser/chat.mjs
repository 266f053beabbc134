// The chat in a browser, against the mock server.
import assert from 'node:assert/strict';
import { ask, answered, openPage, startMock } from './browser.mjs';

const lastAnswer = (page) => page.locator('.message.assistant').last();
const count = (page, selector) => page.locator(selector).count();

export const tests = {
    async 'an answer streams in, with its figures'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await ask(page, 'Compare three ways of caching in a table');
        await answered(page);
        assert.equal(await count(page, '.prose table tbody tr'), 3);
        assert.match(await page.locator('.figures').innerText(), /tokens\/s[\s\S]*82 % of drafts accepted/);
        assert.equal(await page.inputValue('#composer'), '');
        return problems;
    },

    async 'formulas become MathML and code gets its colours'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await ask(page, 'Write a python function');
        await answered(page);
        assert.ok((await count(page, '.code-keyword')) > 5);
        assert.equal(await count(page, 'math'), 1);
        await ask(page, 'Prove that there are infinitely many primes');
        await answered(page);
        assert.ok((await count(page, 'math[display="block"]')) >= 3);
        assert.equal(await count(page, 'math merror'), 0);
        return problems;
    },

    async 'nothing that a model writes is run or fetched'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await ask(page, 'hostile');
        await answered(page);
        assert.equal(await page.title(), 'hadal');
        for (const element of ['img', 'script', 'iframe', 'a[href^="javascript"]', 'math [href]']) {
            assert.equal(await lastAnswer(page).locator(element).count(), 0, element);
        }
        assert.match(await lastAnswer(page).innerText(), /<script>/);
        return problems;
    },

    async 'the policy refuses a script of others'({ browser, mock }) {
        const { page } = await openPage(browser, mock.address);
        const ran = await page.evaluate(() => {
            const script = document.createElement('script');
            script.textContent = 'window.owned = true';
            document.body.append(script);
            const image = document.createElement('img');
            image.setAttribute('onerror', 'window.owned = true');
            image.src = 'data:,';
            document.body.append(image);
            return new Promise((resolve) => setTimeout(() => resolve(window.owned === true), 200));
        });
        assert.equal(ran, false);
    },

    async 'a key is asked for, sent, and kept only where that is wanted'({ browser }) {
        const mock = await startMock({ key: 'open-sesame' });
        const { page, context, problems } = await openPage(browser, mock.address);
        await page.waitForSelector('text=This server wants an API key.');
        await page.fill('.notice input[type=password]', 'wrong');
        await page.click('text=Use this key');
        await page.waitForSelector('text=this key is not known here');
        await page.fill('.notice input[type=password]', 'open-sesame');
        await page.click('text=Use this key');
        await page.waitForSelector('.notice', { state: 'detached' });
        await ask(page, 'Hello');
        await answered(page);
        assert.equal(await page.evaluate(() => JSON.stringify(localStorage).includes('open-sesame')), false);
        const second = await context.newPage();
        await second.goto(`${mock.address}/`);
        await second.waitForSelector('text=This server wants an API key.');
        await mock.stop();
        return problems;
    },

    async 'stopping cancels the request and keeps what was written'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        const before = mock.state.cancelled;
        await ask(page, 'slow please');
        await page.waitForSelector('.answer .prose p');
        await page.keyboard.press('Escape');
        await page.waitForSelector('text=You stopped this answer.');
        await page.waitForTimeout(200);
        assert.equal(mock.state.cancelled, before + 1);
        assert.ok((await lastAnswer(page).locator('.prose').innerText()).length > 0);
        return problems;
    },

    async 'another answer and another question are branches, and survive a reload'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await ask(page, 'Hello');
        await answered(page);
        await page.click('[aria-label="Another answer"]');
        await page.waitForSelector('text=2 / 2');
        await answered(page);
        await page.hover('.message.user');
        await page.click('[aria-label="Edit question"]');
        await page.fill('[aria-label="Edit the question"]', 'Show me a table');
        await page.click('text=Ask this instead');
        await page.waitForSelector('.prose table');
        await answered(page);
        assert.equal(await count(page, '.message'), 2);
        await page.reload();
        await page.waitForSelector('.prose table');
        await page.hover('.message.user');
        await page.click('.message.user [aria-label="Previous version"]');
        await page.waitForSelector('.question:text-is("Hello")');
        assert.equal(await lastAnswer(page).locator('.branches').innerText(), '2 / 2');
        await page.locator('main').click({ position: { x: 5, y: 5 } });
        await page.keyboard.press('[');
        await page.waitForSelector('text=1 / 2');
        return problems;
    },

    async 'a call of a function is shown folded, with its name and arguments'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await page.keyboard.press('Alt+KeyO');
        const functions = page.getByLabel('Functions');
        await functions.fill('{"name": "wea');
        await page.waitForSelector('text=This is no list of functions');
        await functions.fill('{"name": "weather"}');
        await page.keyboard.press('Escape');
        await ask(page, 'call it');
        await answered(page);
        assert.equal(mock.state.requests.at(-1).tools[0].function.name, 'weather');
        assert.equal(await page.locator('.call pre').isVisible(), false);
        await page.click('text=Calls weather');
        assert.equal(await page.locator('.call pre').innerText(), '{\n  "city": "Köln"\n}');
        assert.equal(await count(page, '.ending'), 0);
        return problems;
    },

    async 'a connection that breaks is told, and the answer is continued'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await ask(page, 'break it');
        await page.waitForSelector('text=The connection to the server broke off.');
        const part = await lastAnswer(page).locator('.prose').innerText();
        await page.waitForFunction(() => !document.querySelector('.notice'), null, { timeout: 5000 });
        await page.click('text=Continue');
        await answered(page);
        const whole = await lastAnswer(page).locator('.prose').innerText();
        assert.ok(whole.startsWith(part) && whole.endsWith('one file.'), whole);
        assert.equal(mock.state.requests.at(-1).messages.at(-1).prefix, true);
        return problems;
    },

    async 'a refused request shows the server’s own words'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await ask(page, 'refuse this');
        await page.waitForSelector('text=max_tokens is 9000, but the model takes 4096');
        await page.waitForSelector('text=Try again');
        return problems;
    },

    async 'a server that goes away and comes back is noticed'({ browser }) {
        const mock = await startMock();
        const { page } = await openPage(browser, mock.address);
        const port = Number(new URL(mock.address).port);
        await mock.stop();
        await ask(page, 'Hello');
        await page.waitForSelector('.notice:has-text("The server cannot be reached.")');
        const { createMock } = await import('../../mock/server.mjs');
        const { server } = createMock();
        await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
        await page.click('text=Try now');
        await page.waitForSelector('.notice', { state: 'detached' });
        await page.click('text=Try again');
        await answered(page);
        server.closeAllConnections();
        server.close();
    },

    async 'a tab that is closed in the middle keeps what was written'({ browser, mock }) {
        const { page, context, problems } = await openPage(browser, mock.address);
        await ask(page, 'slow please');
        await page.waitForSelector('.answer .prose p');
        await page.waitForTimeout(3300);
        await page.close();
        const again = await context.newPage();
        await again.goto(`${mock.address}/`);
        await again.click('.entry-open');
        await again.waitForSelector('text=This answer was cut off.');
        await again.click('text=Continue');
        await answered(again);
        assert.ok((await lastAnswer(again).innerText()).includes('one file.'));
        return problems;
    },

    async 'thoughts are folded away'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await page.click('text=Think');
        await ask(page, 'Hello');
        await answered(page);
        assert.equal(mock.state.requests.at(-1).thinking.type, 'enabled');
        assert.equal(await page.isVisible('.thoughts-text'), false);
        await page.click('.thoughts summary');
        assert.match(await page.innerText('.thoughts-text'), /handshake/);
        return problems;
    },

    async 'probabilities open under the pointer and with the arrow keys'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await page.click('text=Probabilities');
        await ask(page, 'Hello');
        await answered(page);
        assert.equal(mock.state.requests.at(-1).top_logprobs, 5);
        await page.click('[aria-label="Token probabilities"]');
        await page.hover('.token >> nth=3');
        const shares = await page.locator('.alternatives .share').allInnerTexts();
        assert.ok(shares.length >= 5 && shares.every((share) => share.includes('%')));
        await page.mouse.move(5, 400);
        await page.focus('.tokens');
        await page.keyboard.press('ArrowRight');
        assert.equal(await page.locator('.token[aria-selected="true"]').getAttribute('data-index'), '1');
        return problems;
    },

    async 'options go into the request and stay'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await page.keyboard.press('Alt+KeyO');
        await page.fill('.panel textarea >> nth=0', 'Answer in French');
        await page.fill('.panel input[type=number] >> nth=0', '77');
        await page.locator('.slider input').first().fill('0');
        await ask(page, 'Hello');
        await answered(page);
        const request = mock.state.requests.at(-1);
        assert.deepEqual(request.messages[0], { role: 'system', content: 'Answer in French' });
        assert.equal(request.max_tokens, 77);
        assert.equal(request.temperature, 0);
        await page.reload();
        await page.keyboard.press('Alt+KeyN');
        await page.keyboard.press('Alt+KeyO');
        assert.equal(await page.inputValue('.panel textarea >> nth=0'), 'Answer in French');
        return problems;
    },

    async 'conversations go out as a file and come in again'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await ask(page, 'Show me a table');
        await answered(page);
        const [download] = await Promise.all([
            page.waitForEvent('download'),
            page.click('[aria-label="Export all conversations"]'),
        ]);
        const file = await download.path();
        const other = await openPage(browser, mock.address);
        await other.page.setInputFiles('input[type=file]', file);
        await other.page.click('.entry-open');
        await other.page.waitForSelector('.prose table');
        await other.page.setInputFiles('input[type=file]', {
            name: 'x.json',
            mimeType: 'application/json',
            buffer: Buffer.from('{"format":1}'),
        });
        await other.page.waitForSelector('.toast:has-text("not an export of conversations")');
        const remove = async () => {
            await page.hover('.entry');
            await page.click('[aria-label^="Delete"]');
            await page.waitForSelector('.entry', { state: 'detached' });
        };
        await remove();
        await page.click('text=Undo');
        await page.waitForSelector('.prose table');
        await remove();
        await page.reload();
        await page.waitForSelector('.welcome');
        return [...problems, ...other.problems];
    },

    async 'a question waits for its input method'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await page.fill('#composer', 'にほん');
        await page.locator('#composer').dispatchEvent('keydown', { key: 'Enter', isComposing: true });
        assert.equal(await count(page, '.message'), 0);
        await page.press('#composer', 'Shift+Enter');
        assert.equal(await count(page, '.message'), 0);
        return problems;
    },

    async 'two conversations are answered at one time'({ browser, mock }) {
        const { page, problems } = await openPage(browser, mock.address);
        await ask(page, 'slow one');
        await page.waitForSelector('.answer .prose p');
        await page.keyboard.press('Alt+KeyN');
        await ask(page, 'Show me a table');
        await answered(page);
        assert.equal(await count(page, '.entry .pulse'), 1);
        await page.click('.entry-open:has-text("slow one")');
        await page.keyboard.press('Escape');
        await page.waitForSelector('text=You stopped this answer.');
        return problems;
    },
};
