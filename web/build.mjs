// Builds each page into one HTML file with its script and style inside, and beside it the value of
// the Content-Security-Policy header that permits exactly these.
//     node build.mjs [OUT]      OUT: ../src/serve/page
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = path.dirname(fileURLToPath(import.meta.url));
const out = path.resolve(process.argv[2] ?? path.join(root, '../src/serve/page'));

const sha256 = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Everything is refused but this page's own script and style, and requests to its own server. */
const policy = (script, style) =>
    [
        `default-src 'none'`,
        `script-src ${sha256(script)}`,
        `style-src ${sha256(style)}`,
        `connect-src 'self'`,
        `img-src data:`,
        `base-uri 'none'`,
        `form-action 'none'`,
        `frame-ancestors 'none'`,
    ].join('; ');

/** An element's text must not end the element. */
const inline = (text, element) => {
    const end = `</${element}`;
    return text.trim().replaceAll(end, end.replace('/', element === 'script' ? '\\u002f' : '\\2f '));
};

/** Characters that turn the direction of text stand in literals only; compilers refuse them. */
const escapeTurns = (script) =>
    script.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16)}`);

async function page(name) {
    const result = await build({
        root,
        configFile: false,
        logLevel: 'warn',
        build: {
            write: false,
            target: 'es2022',
            modulePreload: false,
            cssCodeSplit: false,
            assetsInlineLimit: 1 << 20,
            rollupOptions: { input: path.join(root, `${name}.html`) },
        },
    });
    const { output } = result;
    const only = (files, kind) => {
        if (files.length !== 1) throw new Error(`${name}: ${files.length} files of ${kind}, not one`);
        return files[0];
    };
    const { code } = only(
        output.filter((file) => file.type === 'chunk'),
        'script',
    );
    const script = escapeTurns(inline(code, 'script'));
    const assets = output.filter((file) => file.type === 'asset');
    const style = inline(
        String(
            only(
                assets.filter((file) => file.fileName.endsWith('.css')),
                'style',
            ).source,
        ),
        'style',
    );
    const frame = String(
        only(
            assets.filter((file) => file.fileName.endsWith('.html')),
            'HTML',
        ).source,
    );
    const html = frame
        .replace(/\s*<link rel="stylesheet"[^>]*>/, '')
        .replace(/\s*<script type="module"[^>]*><\/script>/, '')
        .replace(/^ +/gm, '')
        .replace('</head>', () => `<style>${style}</style>\n</head>`)
        .replace('</body>', () => `<script type="module">${script}</script>\n</body>`);
    await writeFile(path.join(out, `${name}.html`), html);
    await writeFile(path.join(out, `${name}.csp`), policy(script, style));
    console.log(`${name}.html ${(html.length / 1024).toFixed(0)} KiB`);
}

await mkdir(out, { recursive: true });
for (const name of ['chat', 'plan']) await page(name);
