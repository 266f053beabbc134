// Makes the pictures of docs/images, from the mock server and from the planner.
//     HADAL=PROGRAM node tests/browser/shots.mjs [OUT]      OUT: ../docs/images
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { startHadal } from './plan.mjs';
import { ask, answered, openBrowser, openPage, startMock } from './browser.mjs';

const out = process.argv[2] ?? path.join(path.dirname(fileURLToPath(import.meta.url)), '../../../docs/images');
const browser = await openBrowser();
const mock = await startMock({ tokenMs: 26 });

const shot = (page, name) => page.screenshot({ path: path.join(out, `web_${name}.png`) });
const kDesktop = { viewport: { width: 1180, height: 760 } };

async function conversation(page) {
    await ask(page, 'Prove that there are infinitely many primes');
    await answered(page);
    await page.keyboard.press('Alt+KeyN');
    await ask(page, 'Compare three ways of caching in a table');
    await answered(page);
    await page.keyboard.press('Alt+KeyN');
    await page.click('text=Think');
    await ask(page, 'Write a Python function that merges overlapping intervals');
    await answered(page);
    await page.mouse.move(600, 20);
    await page.waitForTimeout(100);
}

const desktop = await openPage(browser, mock.address, kDesktop);
await conversation(desktop.page);
await shot(desktop.page, 'chat');

const dark = await openPage(browser, mock.address, { ...kDesktop, colorScheme: 'dark' });
await ask(dark.page, 'Prove that there are infinitely many primes');
await answered(dark.page);
await dark.page.keyboard.press('Alt+KeyO');
await dark.page.mouse.move(600, 20);
await shot(dark.page, 'dark');

const probabilities = await openPage(browser, mock.address, kDesktop);
await probabilities.page.click('text=Probabilities');
await ask(probabilities.page, 'Explain the difference between TCP and QUIC to a web developer');
await answered(probabilities.page);
await probabilities.page.click('[aria-label="Token probabilities"]');
await probabilities.page.locator('.scroller').evaluate((box) => box.scrollTo(0, 0));
await probabilities.page.hover('.token >> nth=27');
await shot(probabilities.page, 'probabilities');

const phone = await openPage(browser, mock.address, {
    viewport: { width: 390, height: 780 },
    isMobile: true,
    hasTouch: true,
    deviceScaleFactor: 1,
});
await ask(phone.page, 'Compare three ways of caching in a table');
await answered(phone.page);
await phone.page.locator('.scroller').evaluate((box) => box.scrollTo(0, 0));
await phone.page.waitForTimeout(100);
await shot(phone.page, 'phone');

const fill = await openPage(browser, mock.address, kDesktop);
await fill.page.keyboard.press('Alt+Digit2');
await fill.page.click('text=Fill in at the cursor');
await fill.page.waitForSelector('text=Accept');
await fill.page.mouse.move(600, 20);
await shot(fill.page, 'fill');

const engine = await openPage(browser, mock.address, { viewport: { width: 1180, height: 700 } });
await engine.page.keyboard.press('Alt+Digit3');
await engine.page.waitForTimeout(45_000);
await shot(engine.page, 'engine');

const planner = await startHadal('plan', '--serve', '--port', '0');
const plan = await openPage(browser, planner.address, { viewport: { width: 1180, height: 760 } });
await plan.page.click('text=Pin this');
await plan.page.focus('[id="network.scale_out_gb_per_s"]');
await plan.page.keyboard.press('ArrowLeft');
await plan.page.waitForSelector('.change:has-text("+61 %")');
await plan.page.locator('h1').click();
await plan.page.screenshot({ path: path.join(out, 'plan_page.png') });
await planner.stop();

await browser.close();
await mock.stop();
