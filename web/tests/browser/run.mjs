// Runs the browser tests, each in pages of its own.
//     [HADAL=PROGRAM] node tests/browser/run.mjs [PART OF A NAME]
// Without HADAL, those that need the program itself are left out.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { openBrowser, startMock } from './browser.mjs';
import { tests as chat } from './chat.mjs';
import { tests as plan } from './plan.mjs';
import { tests as server } from './server.mjs';
import { tests as views } from './views.mjs';

const kShots = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../shots');

/** What the pages show when a test has failed, for the reader. */
async function picture(number) {
    for (const page of browser.contexts().flatMap((context) => context.pages())) {
        await page.screenshot({ path: path.join(kShots, `failed-${number}.png`) }).catch(() => undefined);
    }
}

const wanted = process.argv[2] ?? '';
const browser = await openBrowser();
let passed = 0;
const failed = [];
for (const [name, test] of Object.entries({
    ...chat,
    ...views,
    ...(process.env.HADAL ? { ...plan, ...server } : {}),
})) {
    if (!name.includes(wanted)) continue;
    const mock = await startMock();
    try {
        const problems = (await test({ browser, mock })) ?? [];
        if (problems.length > 0) throw new Error(`the page complained: ${problems.join('; ')}`);
        passed += 1;
        console.log(`ok      ${name}`);
    } catch (cause) {
        failed.push(name);
        console.log(`FAILED  ${name}\n${cause instanceof Error ? cause.stack : cause}`);
        await picture(failed.length);
    }
    await Promise.all(browser.contexts().map((context) => context.close()));
    await mock.stop();
}
await browser.close();
console.log(`${passed} passed, ${failed.length} failed`);
process.exit(failed.length === 0 && passed > 0 ? 0 : 1);
