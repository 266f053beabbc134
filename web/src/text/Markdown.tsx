// A parsed answer on the page. Blocks that did not change since the last token are not drawn again.
import { memo } from './memo';
import { useMemo } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { CodeBlock } from './CodeBlock';
import { parse, type Block, type Phrase } from './markdown';
import { Math } from './Math';

function Phrases({ list }: { list: Phrase[] }) {
    return <>{list.map(phrase)}</>;
}

function phrase(one: Phrase): ComponentChildren {
    switch (one.type) {
        case 'text':
            return one.text;
        case 'code':
            return <code>{one.text}</code>;
        case 'math':
            return <Math tex={one.tex} display={one.display} />;
        case 'break':
            return <br />;
        case 'strong':
            return (
                <strong>
                    <Phrases list={one.children} />
                </strong>
            );
        case 'emphasis':
            return (
                <em>
                    <Phrases list={one.children} />
                </em>
            );
        case 'deleted':
            return (
                <del>
                    <Phrases list={one.children} />
                </del>
            );
        case 'link':
            return (
                <a href={one.href} target="_blank" rel="noopener noreferrer nofollow" title={one.href}>
                    <Phrases list={one.children} />
                </a>
            );
    }
}

/** A heading of an answer stands below the page's own. */
const Heading = ({ depth, children }: { depth: number; children: ComponentChildren }) => {
    const Tag = `h${globalThis.Math.min(6, depth + 2)}` as 'h3';
    return <Tag class={`depth-${depth}`}>{children}</Tag>;
};

const BlockView = memo(
    ({ block }: { block: Block }) => {
        switch (block.type) {
            case 'paragraph':
                return (
                    <p>
                        <Phrases list={block.children} />
                    </p>
                );
            case 'heading':
                return (
                    <Heading depth={block.depth}>
                        <Phrases list={block.children} />
                    </Heading>
                );
            case 'code':
                return <CodeBlock code={block.text} language={block.language} />;
            case 'math':
                return <Math tex={block.tex} display />;
            case 'quote':
                return (
                    <blockquote>
                        <Blocks list={block.children} />
                    </blockquote>
                );
            case 'rule':
                return <hr />;
            case 'list':
                return <List block={block} />;
            case 'table':
                return <Table block={block} />;
        }
    },
    (before, after) => before.block.raw === after.block.raw,
);

function List({ block }: { block: Extract<Block, { type: 'list' }> }) {
    const items = block.items.map((item, index) => (
        <li key={index} class={item.checked === null ? undefined : 'task'}>
            {item.checked !== null && (
                <span class="box" role="img" aria-label={item.checked ? 'done' : 'to do'}>
                    {item.checked ? '☑' : '☐'}
                </span>
            )}
            <Blocks list={item.children} />
        </li>
    ));
    return block.ordered ? <ol start={block.start}>{items}</ol> : <ul>{items}</ul>;
}

function Table({ block }: { block: Extract<Block, { type: 'table' }> }) {
    const cell = (index: number) => (block.align[index] ? `to-${block.align[index]}` : undefined);
    return (
        <div class="table" tabIndex={0} role="region" aria-label="table">
            <table>
                <thead>
                    <tr>
                        {block.header.map((text, index) => (
                            <th key={index} class={cell(index)}>
                                <Phrases list={text} />
                            </th>
                        ))}
                    </tr>
                </thead>
                <tbody>
                    {block.rows.map((row, at) => (
                        <tr key={at}>
                            {row.map((text, index) => (
                                <td key={index} class={cell(index)}>
                                    <Phrases list={text} />
                                </td>
                            ))}
                        </tr>
                    ))}
                </tbody>
            </table>
        </div>
    );
}

function Blocks({ list }: { list: Block[] }) {
    return (
        <>
            {list.map((block, index) => (
                <BlockView key={index} block={block} />
            ))}
        </>
    );
}

export function Markdown({ text }: { text: string }) {
    const list = useMemo(() => parse(text), [text]);
    return (
        <div class="prose">
            <Blocks list={list} />
        </div>
    );
}
