import { useMemo } from 'preact/hooks';
import { CopyButton } from '../ui/CopyButton';
import { highlight } from './highlight';

export function Code({ code, language }: { code: string; language: string }) {
    const spans = useMemo(() => highlight(code, language), [code, language]);
    return (
        <code>
            {spans.map(({ kind, text }) => (kind === 'plain' ? text : <span class={`code-${kind}`}>{text}</span>))}
        </code>
    );
}

export function CodeBlock({ code, language }: { code: string; language: string }) {
    return (
        <figure class="code-block">
            <figcaption>
                <span>{language || 'text'}</span>
                <CopyButton text={code} label="Copy code" />
            </figcaption>
            <pre tabIndex={0}>
                <Code code={code} language={language} />
            </pre>
        </figure>
    );
}
