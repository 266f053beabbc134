// What the browser tests share: a Chromium, a mock server, and pages that fail a test when the page
// logs an error or asks anybody else.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { createMock } from '../../mock/server.mjs';

const kPlaces = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export async function openBrowser() {
    const executablePath = kPlaces.find((place) => place && existsSync(place));
    if (!executablePath) throw new Error('no Chromium found (install chromium, or set CHROMIUM to its path)');
    return chromium.launch({
        executablePath,
        args: [
            '--no-sandbox',
            '--disable-gpu',
            '--disable-quic',
            '--no-first-run',
            '--disable-background-networking',
            '--disable-component-update',
            '--disable-sync',
            '--force-color-profile=srgb',
        ],
    });
}

export async function startMock(options = {}) {
    const { server, state } = createMock(options);
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = `http://127.0.0.1:${server.address().port}`;
    const stop = () =>
        new Promise((resolve) => {
            server.close(resolve);
            server.closeAllConnections();
        });
    return { address, state, stop };
}

/** problems: what the page said on its console and whom it asked besides its own server. */
export async function openPage(browser, address, options = {}) {
    const context = await browser.newContext({
        viewport: { width: 1280, height: 820 },
        colorScheme: 'light',
        reducedMotion: 'reduce',
        ...options,
    });
    const page = await context.newPage();
    const problems = [];
    page.on('console', (message) => {
        const expected = /Failed to load resource/.test(message.text()); // a refused request is the test's own
        if (message.type() === 'error' && !expected) problems.push(message.text());
    });
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('request', (request) => {
        const url = request.url();
        if (!url.startsWith(address) && !/^(data|blob):/.test(url)) problems.push(`asked ${url}`);
    });
    await page.goto(`${address}/`);
    return { page, context, problems };
}

export async function ask(page, question) {
    await page.fill('#composer', question);
    await page.press('#composer', 'Enter');
}

/** Until the last answer is finished. */
export async function answered(page) {
    await page.waitForSelector('.message.assistant:last-child [aria-label="Another answer"]');
}
