import { describe, expect, it } from 'vitest';
import { kAnswers } from '../../mock/answers.mjs';
import { parse, safeAddress, type Block, type Phrase } from '../../src/text/markdown';

/** Every phrase of a text, flat. */
function phrases(blocks: Block[]): Phrase[] {
    const flat = (list: Phrase[]): Phrase[] =>
        list.flatMap((one) => ['children' in one ? one.children : []].flatMap((inner) => [one, ...flat(inner)]));
    return blocks.flatMap((block): Phrase[] => {
        if (block.type === 'list') return block.items.flatMap((item) => phrases(item.children));
        if (block.type === 'table') return [...block.header, ...block.rows.flat()].flatMap(flat);
        if (block.type === 'quote') return phrases(block.children);
        return 'children' in block ? flat(block.children) : [];
    });
}
const text = (markdown: string) =>
    phrases(parse(markdown))
        .map((one) => ('text' in one ? one.text : ''))
        .join('');
const links = (markdown: string) => phrases(parse(markdown)).flatMap((one) => (one.type === 'link' ? [one.href] : []));

describe('what a model writes', () => {
    it('is never HTML: tags stay text', () => {
        expect(text(kAnswers.hostile)).toContain('<img src=x onerror=');
        expect(text('a <b>bold</b> c')).toBe('a <b>bold</b> c');
        expect(text('<script>alert(1)</script>')).toBe('<script>alert(1)</script>');
        expect(text('<div>\n*x*\n</div>')).toContain('<div>');
    });
    it('links only to the web and to mail', () => {
        expect(links(kAnswers.hostile)).toEqual(['https://example.org/pixel.png', 'https://example.org/']);
        for (const bad of [
            'javascript:alert(1)',
            'JaVaScRiPt:alert(1)',
            ' java\nscript:alert(1)',
            'data:text/html,x',
            'vbscript:x',
            'file:///etc/passwd',
            '/v1/models',
            '//example.org',
            '',
        ]) {
            expect(safeAddress(bad), bad).toBeNull();
        }
        expect(links('<https://a.org> and www.b.org and [m](mailto:x@c.org)')).toEqual([
            'https://a.org/',
            'http://www.b.org/',
            'mailto:x@c.org',
        ]);
    });
    it('shows a picture as a link, so that nothing is fetched', () => {
        expect(phrases(parse('![a cat](https://x.org/c.png)'))[0]).toEqual({
            type: 'link',
            href: 'https://x.org/c.png',
            children: [{ type: 'text', text: 'a cat' }],
        });
    });
    it('may name characters by entity, outside code', () => {
        expect(text('1 &lt; 2 &amp; 3 &#960; &#x41; &nope; `&lt;`')).toBe('1 < 2 & 3 π A &nope; &lt;');
    });
    it('is the same tree for the finished part while the rest grows', () => {
        const whole = kAnswers.table;
        const cut = parse(whole.slice(0, whole.indexOf('1. **Cache')));
        expect(
            parse(whole)
                .slice(0, 2)
                .map(({ raw }) => raw.trimEnd()),
        ).toEqual(cut.slice(0, 2).map(({ raw }) => raw.trimEnd()));
    });
    it('never throws, wherever it is cut', () => {
        for (const answer of Object.values(kAnswers)) {
            for (let end = 0; end <= answer.length; end += 3) expect(() => parse(answer.slice(0, end))).not.toThrow();
        }
    });
});

describe('mathematics', () => {
    const inline = (markdown: string) =>
        phrases(parse(markdown)).flatMap((one) => (one.type === 'math' ? [one.tex] : []));
    it('is known by its four pairs of signs', () => {
        expect(inline('so $x_1$ and \\(y\\) hold')).toEqual(['x_1', 'y']);
        expect(parse('$$\na = b\n$$\n\n\\[c\\]').map((block) => (block.type === 'math' ? block.tex : ''))).toEqual([
            'a = b',
            'c',
        ]);
        expect(inline('thus $$a$$ in a line')).toEqual(['a']);
    });
    it('is not money, not code, not an escaped sign', () => {
        expect(inline('from $5 to $10, or $ x $, or `$y$`, or \\$z\\$')).toEqual([]);
        expect(text('it costs $5 and $10')).toBe('it costs $5 and $10');
    });
    it('keeps what Markdown would take for emphasis', () => {
        expect(inline('$a_i b_i$ and $x*y*z$')).toEqual(['a_i b_i', 'x*y*z']);
    });
});

describe('blocks', () => {
    it('hold lists with tasks, tables with alignment, code with its language', () => {
        const [list, table, code] = parse(
            '- [x] done\n- [ ] open\n\n| a | b |\n|:-|-:|\n| 1 | 2 |\n\n```cpp title=x\nint a;\n```',
        );
        expect(list).toMatchObject({ type: 'list', items: [{ checked: true }, { checked: false }] });
        expect(table).toMatchObject({ type: 'table', align: ['left', 'right'] });
        expect(code).toMatchObject({ type: 'code', language: 'cpp', text: 'int a;' });
    });
    it('hold code that is still being written', () => {
        expect(parse('```python\nx = 1')).toMatchObject([{ type: 'code', language: 'python', text: 'x = 1' }]);
    });
});
