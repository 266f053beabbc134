// The planner's page in a browser, against `hadal plan --serve` itself (HADAL names the program).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { openPage } from './browser.mjs';
import { violations } from './views.mjs';

export async function startHadal(...words) {
    const child = spawn(process.env.HADAL, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    const address = await new Promise((resolve, reject) => {
        let text = '';
        child.stdout.on('data', (piece) => {
            text += piece;
            const found = /http:\/\/[\d.]+:\d+/.exec(text);
            if (found) resolve(found[0]);
        });
        child.on('exit', (status) => reject(new Error(`hadal ${words.join(' ')} ended with ${status}`)));
    });
    const stop = () =>
        new Promise((resolve) => {
            child.on('exit', resolve);
            child.kill('SIGTERM');
        });
    return { address, stop };
}

async function planner({ browser }, work, options = {}) {
    const server = await startHadal('plan', '--serve', '--port', '0');
    try {
        const { page, problems } = await openPage(browser, server.address, options);
        await page.waitForSelector('.results .card .big');
        await work(page, server);
        return problems;
    } finally {
        await server.stop();
    }
}

const headline = (page, label) => page.locator('.results .cards .card', { hasText: label }).first().innerText();

export const tests = {
    'plan: the published run, drawn': (given) =>
        planner(given, async (page) => {
            assert.match(await headline(page, 'step'), /19\.91\s*s/);
            assert.match(await headline(page, 'cost'), /\$5\.575/);
            assert.equal(await page.locator('.timeline path').count(), 16 * 4);
            assert.equal(await page.locator('.memory g').count(), 16);
            await page.waitForSelector('text=It fits');
        }),

    'plan: a slider, compared with what was pinned': (given) =>
        planner(given, async (page) => {
            await page.click('text=Pin this');
            await page.focus('[id="network.scale_out_gb_per_s"]');
            await page.keyboard.press('ArrowLeft');
            await page.waitForSelector('.change:has-text("+61 %")');
            assert.match(page.url(), /network\.scale_out_gb_per_s=25/);
            await page.reload();
            await page.waitForSelector('.results .card:has-text("32.13")');
            await page.click('[aria-label^="Set Network"]');
            await page.waitForSelector('.results .card:has-text("19.91")');
        }),

    'plan: what cannot be says why, and the last answer stays': (given) =>
        planner(given, async (page) => {
            await page.focus('[id="layout.pp"]');
            await page.keyboard.press('Home');
            await page.waitForSelector('[role=alert]:has-text("not a multiple")');
            await page.waitForSelector('.sheet.stale .big');
            await page.click('text=Set 1 input back');
            await page.waitForSelector('[role=alert]', { state: 'detached' });
        }),

    'plan: memory, serving, failures, other models and scenarios': (given) =>
        planner(given, async (page) => {
            await page.click('text=Memory');
            await page.waitForSelector('h1:has-text("Memory of training")');
            await page.click('text=Serving');
            await page.waitForSelector('.curve polyline');
            await page.click('text=Failures');
            await page.waitForSelector('text=By size of the cluster');
            await page.click('text=Training');
            await page.selectOption('.controls select >> nth=0', 'kimi-k2');
            await page.waitForSelector('h1:has-text("kimi-k2")');
            await page.click('text=What if');
            await page.click('.chip:text-is("mtp-2")');
            await page.waitForFunction(
                () => document.querySelector('[id="layout.mtp"]').getAttribute('aria-valuetext') === '2',
            );
        }),

    'plan: every input can be typed': (given) =>
        planner(given, async (page) => {
            await page.click('text=All inputs');
            await page.fill('[aria-label="cost.pue"]', '1.5');
            await page.press('[aria-label="cost.pue"]', 'Enter');
            await page.waitForSelector('tr.given:has-text("this page")');
        }),

    'plan: axe finds nothing wrong, in either theme, and a phone sees all of it': async (given) => {
        const all = [];
        for (const colorScheme of ['light', 'dark']) {
            all.push(
                ...(await planner(
                    given,
                    async (page) => {
                        for (const tab of ['Training', 'Memory', 'Serving', 'Failures']) {
                            await page.click(`.tabs >> text=${tab}`);
                            await page.waitForTimeout(300);
                            all.push(...(await violations(page)).map((text) => `${colorScheme}, ${tab}: ${text}`));
                        }
                    },
                    { colorScheme },
                )),
            );
        }
        all.push(
            ...(await planner(
                given,
                async (page) => {
                    for (const tab of ['Training', 'Serving']) {
                        await page.tap(`.tabs >> text=${tab}`);
                        await page.waitForTimeout(300);
                        if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth))
                            all.push(`${tab}: wider than the phone`);
                    }
                },
                { viewport: { width: 375, height: 720 }, isMobile: true, hasTouch: true },
            )),
        );
        assert.deepEqual(all, []);
    },
};
