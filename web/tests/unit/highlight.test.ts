import { describe, expect, it } from 'vitest';
import { highlight } from '../../src/text/highlight';

const kinds = (code: string, language: string) =>
    highlight(code, language)
        .filter(({ kind }) => kind !== 'plain')
        .map(({ kind, text }) => `${kind}:${text}`);

describe('highlighting', () => {
    it('keeps every letter', () => {
        const code = "def f(x):\n    return \"a\\\"b\" + '''c\nd'''  # e\n\tπ = 0x1F + 1e-9";
        for (const language of ['python', 'cpp', 'rust', 'sql', 'html', 'yaml', 'bash', 'unknown', '']) {
            expect(
                highlight(code, language)
                    .map(({ text }) => text)
                    .join(''),
            ).toBe(code);
        }
    });
    it('knows comments, strings, numbers, keywords and calls', () => {
        expect(kinds('for x in f(1.5):  # end', 'python')).toEqual([
            'keyword:for',
            'keyword:in',
            'call:f',
            'number:1.5',
            'comment:# end',
        ]);
        expect(kinds('const a = `x${1}`; // b', 'ts')).toEqual(['keyword:const', 'string:`x${1}`', 'comment:// b']);
        expect(kinds('SELECT * FROM t -- all', 'SQL')).toEqual(['keyword:SELECT', 'keyword:FROM', 'comment:-- all']);
    });
    it('sees no comment inside a string, and no string inside a comment', () => {
        expect(kinds('"# no" # "yes"', 'python')).toEqual(['string:"# no"', 'comment:# "yes"']);
        expect(kinds('"// no" /* "yes', 'c')).toEqual(['string:"// no"', 'comment:/* "yes']);
    });
    it('takes a quote that is still open to its line', () => {
        expect(kinds("it's = 1\nif x", 'python')).toEqual(["string:'s = 1", 'keyword:if']);
    });
    it('is linear in a long line of quotes', () => {
        expect(highlight('"\\'.repeat(20_000), 'c').length).toBeGreaterThan(0);
    });
});
