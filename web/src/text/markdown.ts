// Markdown to a tree of blocks and phrases. HTML in the text stays text: nothing of what a model
// writes is ever parsed as HTML, so nothing has to be cleaned. Addresses are kept only where they
// are safe to follow; pictures become links, because this page loads nothing from elsewhere.
import { Marked, type Token, type Tokens } from 'marked';

export type Phrase =
    | { type: 'text'; text: string }
    | { type: 'code'; text: string }
    | { type: 'math'; tex: string; display: boolean }
    | { type: 'break' }
    | { type: 'strong' | 'emphasis' | 'deleted'; children: Phrase[] }
    | { type: 'link'; href: string; children: Phrase[] };

export type Block =
    | { type: 'paragraph'; children: Phrase[]; raw: string }
    | { type: 'heading'; depth: number; children: Phrase[]; raw: string }
    | { type: 'code'; language: string; text: string; raw: string }
    | { type: 'math'; tex: string; raw: string }
    | { type: 'quote'; children: Block[]; raw: string }
    | { type: 'list'; ordered: boolean; start: number; items: ListItem[]; raw: string }
    | { type: 'table'; align: (string | null)[]; header: Phrase[][]; rows: Phrase[][][]; raw: string }
    | { type: 'rule'; raw: string };

export interface ListItem {
    checked: boolean | null; // null: not a task
    children: Block[];
}

interface MathToken extends Tokens.Generic {
    tex: string;
    display: boolean;
}

const kDisplay = /^(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])/;
// A dollar sign is money unless the formula begins and ends against it and no digit follows.
const kInline = /^(?:\\\(([\s\S]+?)\\\)|\$(?![\s$])((?:\\.|[^$\\\n`])*?(?:\\.|[^$\\\s`]))\$(?![\d$]))/;

function mathToken(type: string, display: boolean, match: RegExpExecArray | null): MathToken | undefined {
    return match ? { type, raw: match[0], tex: (match[1] ?? match[2] ?? '').trim(), display } : undefined;
}

const marked = new Marked({ gfm: true, breaks: false }).use({
    extensions: [
        {
            name: 'mathBlock',
            level: 'block',
            start: (source) => source.search(/\$\$|\\\[/),
            tokenizer: (source) => {
                const match = kDisplay.exec(source);
                return match && /^[ \t]*(?:\n|$)/.test(source.slice(match[0].length))
                    ? mathToken('mathBlock', true, match)
                    : undefined;
            },
        },
        {
            name: 'mathInline',
            level: 'inline',
            start: (source) => source.search(/\$|\\[([]/),
            tokenizer: (source) =>
                mathToken('mathInline', true, kDisplay.exec(source)) ??
                mathToken('mathInline', false, kInline.exec(source)),
        },
    ],
});

const kEntities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0' };

function decode(text: string): string {
    return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]+));/gi, (whole, decimal, hex, name) => {
        if (name) return kEntities[(name as string).toLowerCase()] ?? whole;
        const code = decimal ? Number(decimal) : parseInt(hex as string, 16);
        return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    });
}

/** The address if a reader may follow it, else nothing. */
export function safeAddress(href: string): string | null {
    try {
        const url = new URL(href);
        return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : null;
    } catch {
        return null; // relative ones would point into this server
    }
}

export function parse(markdown: string): Block[] {
    return blocks(marked.lexer(markdown));
}

/** Of tokens that hold others. */
const inside = (token: Token): Token[] | undefined => ('tokens' in token ? token.tokens : undefined);

function blocks(tokens: Token[]): Block[] {
    return tokens.flatMap((token) => block(token) ?? []);
}

function block(token: Token): Block | null {
    const raw = token.raw;
    switch (token.type) {
        case 'space':
        case 'def':
            return null;
        case 'heading':
            return { type: 'heading', depth: token.depth as number, children: phrases(token.tokens), raw };
        case 'code':
            return {
                type: 'code',
                language: ((token.lang as string) ?? '').split(/\s/)[0] ?? '',
                text: token.text as string,
                raw,
            };
        case 'mathBlock':
            return { type: 'math', tex: (token as MathToken).tex, raw };
        case 'blockquote':
            return { type: 'quote', children: blocks(token.tokens ?? []), raw };
        case 'hr':
            return { type: 'rule', raw };
        case 'list':
            return list(token as Tokens.List);
        case 'table':
            return table(token as Tokens.Table);
        case 'html': // shown as it was written
            return { type: 'paragraph', children: [{ type: 'text', text: raw.trimEnd() }], raw };
        default:
            return {
                type: 'paragraph',
                children: inside(token) ? phrases(inside(token)) : [{ type: 'text', text: decode(raw) }],
                raw,
            };
    }
}

function list(token: Tokens.List): Block {
    const items = token.items.map((item) => ({
        checked: item.task ? item.checked === true : null,
        // The box of a task is drawn from `checked`.
        children: blocks(item.tokens.filter((inner) => inner.type !== 'checkbox')),
    }));
    return { type: 'list', ordered: token.ordered, start: Number(token.start) || 1, items, raw: token.raw };
}

function table(token: Tokens.Table): Block {
    return {
        type: 'table',
        align: token.align,
        header: token.header.map((cell) => phrases(cell.tokens)),
        rows: token.rows.map((row) => row.map((cell) => phrases(cell.tokens))),
        raw: token.raw,
    };
}

function phrases(tokens: Token[] | undefined): Phrase[] {
    return (tokens ?? []).flatMap(phrase);
}

function phrase(token: Token): Phrase[] {
    switch (token.type) {
        case 'strong':
            return [{ type: 'strong', children: phrases(token.tokens) }];
        case 'em':
            return [{ type: 'emphasis', children: phrases(token.tokens) }];
        case 'del':
            return [{ type: 'deleted', children: phrases(token.tokens) }];
        case 'codespan':
            return [{ type: 'code', text: token.text as string }];
        case 'br':
            return [{ type: 'break' }];
        case 'mathInline':
            return [{ type: 'math', tex: (token as MathToken).tex, display: (token as MathToken).display }];
        case 'checkbox':
            return [];
        case 'link':
            return link(token.href as string, phrases(token.tokens));
        case 'image':
            return link(token.href as string, [{ type: 'text', text: (token.text as string) || 'picture' }]);
        case 'escape':
            return [{ type: 'text', text: token.text as string }];
        case 'html':
            return [{ type: 'text', text: token.raw }];
        default:
            return inside(token) ? phrases(inside(token)) : [{ type: 'text', text: decode(token.raw) }];
    }
}

function link(href: string, children: Phrase[]): Phrase[] {
    const safe = safeAddress(href);
    return safe === null ? children : [{ type: 'link', href: safe, children }];
}
