// Colours for code, from what most languages share: comments, strings, numbers, keywords, calls. A
// grammar per language would be right more often and a hundred times larger.

export type Kind = 'comment' | 'string' | 'number' | 'keyword' | 'call' | 'plain';
export interface Span {
    kind: Kind;
    text: string;
}

interface Language {
    names: string;
    comments: RegExp;
    strings: RegExp;
    keywords: Set<string>;
    ignoreCase?: boolean;
}

const kC = /\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/;
const kHash = /#[^\n]*/;
// A last backslash belongs to the string too: nothing is tried twice.
const kQuotes = /"(?:\\.?|[^"\\\n])*(?:"|$|(?=\n))|'(?:\\.?|[^'\\\n])*(?:'|$|(?=\n))/;
const kBackticks = new RegExp(`${kQuotes.source}|\`(?:\\\\[\\s\\S]|[^\`\\\\])*(?:\`|$)`);
const kTriple = new RegExp(`[rbfRBF]{0,2}(?:"""[\\s\\S]*?(?:"""|$)|'''[\\s\\S]*?(?:'''|$)|${kQuotes.source})`);

const words = (list: string): Set<string> => new Set(list.split(' '));

const kLanguages: Language[] = [
    {
        names: 'python py python3',
        comments: kHash,
        strings: kTriple,
        keywords: words(
            'and as assert async await break case class continue def del elif else except False finally for from global if import in is lambda match None nonlocal not or pass raise return self True try while with yield',
        ),
    },
    {
        names: 'javascript js jsx typescript ts tsx mjs',
        comments: kC,
        strings: kBackticks,
        keywords: words(
            'abstract any as async await boolean break case catch class const continue declare default delete do else enum export extends false finally for from function get if implements import in instanceof interface keyof let new null number of private protected public readonly return set static string super switch this throw true try type typeof undefined unknown var void while yield',
        ),
    },
    {
        names: 'c cpp c++ cc h hpp cuda cu objc',
        comments: kC,
        strings: kQuotes,
        keywords: words(
            'alignas auto bool break case catch char class concept const constexpr consteval continue co_await co_return co_yield decltype default delete do double else enum explicit extern false final float for friend if inline int int8_t int16_t int32_t int64_t long mutable namespace new noexcept nullptr operator override private protected public requires return short signed size_t sizeof static static_assert std struct switch template this thread_local throw true try typedef typename uint8_t uint16_t uint32_t uint64_t union unsigned using virtual void volatile while',
        ),
    },
    {
        names: 'java kotlin kt scala csharp cs swift dart php groovy',
        comments: kC,
        strings: kQuotes,
        keywords: words(
            'abstract as assert async await base bool boolean break byte case catch char class const continue data decimal def default delegate do double echo else enum extends extension false final finally float for foreach fn fun func function get guard if implements import in init instanceof int interface internal is lateinit let long match namespace new nil null object open operator out override package private protected protocol public readonly record ref return sealed self set short static string String struct super suspend switch synchronized this throw throws trait true try typealias using val var virtual void volatile when where while yield',
        ),
    },
    {
        names: 'go golang',
        comments: kC,
        strings: kBackticks,
        keywords: words(
            'any bool break byte case chan const continue default defer else error fallthrough false float32 float64 for func go goto if import int int32 int64 interface iota map nil package range return rune select string struct switch true type uint8 uint32 uint64 var',
        ),
    },
    {
        names: 'rust rs zig',
        comments: kC,
        strings: /b?r?"(?:\\[\s\S]|[^"\\])*(?:"|$)|'(?:\\.|[^'\\\n])'/,
        keywords: words(
            'as async await bool break char const continue crate dyn else enum extern f32 f64 false fn for i8 i16 i32 i64 if impl in isize let loop match mod move mut Option pub ref Result return Self self Some None Ok Err static str String struct super trait true type u8 u16 u32 u64 unsafe use usize Vec where while',
        ),
    },
    {
        names: 'bash sh shell zsh console',
        comments: /(?<![\w$])#[^\n]*/,
        strings: /"(?:\\[\s\S]|[^"\\])*(?:"|$)|'[^']*(?:'|$)/,
        keywords: words(
            'case cd do done echo elif else esac exit export fi for function if in local printf read return set shift source sudo then trap unset until while',
        ),
    },
    {
        names: 'sql postgres mysql sqlite',
        comments: /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/,
        strings: kQuotes,
        keywords: words(
            'add all alter and as asc between by case cast constraint create cross default delete desc distinct drop else end exists foreign from full group having if in index inner insert into is join key left like limit not null offset on or order outer over partition primary references returning right select set table then union unique update using values view when where with',
        ),
        ignoreCase: true,
    },
    {
        names: 'ruby rb perl pl r julia jl elixir lua haskell hs',
        comments: /#[^\n]*|--[^\n]*/,
        strings: kQuotes,
        keywords: words(
            'and begin case class data def defmodule do else elseif elsif end ensure export false fn for function if import in instance let local module my mutable next nil not of or our require rescue return self step struct sub then true type unless until use using when where while yield TRUE FALSE NULL',
        ),
    },
    {
        names: 'json jsonc json5 toml ini yaml yml dockerfile makefile make cmake',
        comments: /(?<!\S)#[^\n]*|(?<!:)\/\/[^\n]*/,
        strings: kQuotes,
        keywords: words('true false null yes no on off FROM RUN COPY CMD ENTRYPOINT ENV WORKDIR EXPOSE ARG USER'),
    },
    {
        names: 'html xml svg vue css scss less',
        comments: /<!--[\s\S]*?(?:-->|$)|\/\*[\s\S]*?(?:\*\/|$)/,
        strings: kQuotes,
        keywords: words(
            'a article aside body button div footer form h1 h2 h3 head header html img input li link main meta nav ol p script section span style svg table td th title tr ul',
        ),
    },
];

const kPlain: Language = { names: '', comments: /(?!)/, strings: kQuotes, keywords: new Set() };

const kByName = new Map(kLanguages.flatMap((entry) => entry.names.split(' ').map((name) => [name, entry])));

const kNumber = /\b(?:0[xXbBoO][\da-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)\w*/;
const kWord = /[A-Za-z_$][\w$]*/;

function scannerOf(language: Language): RegExp {
    const part = (name: string, pattern: RegExp) => `(?<${name}>${pattern.source})`;
    return new RegExp(
        [
            part('comment', language.comments),
            part('string', language.strings),
            part('number', kNumber),
            part('word', kWord),
        ].join('|'),
        'g',
    );
}

export function highlight(code: string, name: string): Span[] {
    const wanted = name.trim().toLowerCase();
    if (wanted === '' || wanted === 'text' || wanted === 'txt') return [{ kind: 'plain', text: code }];
    const language = kByName.get(wanted) ?? kPlain;
    const spans: Span[] = [];
    const push = (kind: Kind, text: string) => {
        const last = spans.at(-1);
        if (text === '') return;
        if (last?.kind === kind) last.text += text;
        else spans.push({ kind, text });
    };
    let at = 0;
    for (const match of code.matchAll(scannerOf(language))) {
        push('plain', code.slice(at, match.index));
        at = match.index + match[0].length;
        push(kindOf(match, code[at] ?? '', language), match[0]);
    }
    push('plain', code.slice(at));
    return spans;
}

function kindOf(match: RegExpMatchArray, next: string, language: Language): Kind {
    const groups = match.groups ?? {};
    if (groups.comment !== undefined) return 'comment';
    if (groups.string !== undefined) return 'string';
    if (groups.number !== undefined) return 'number';
    const word = language.ignoreCase ? match[0].toLowerCase() : match[0];
    if (language.keywords.has(word)) return 'keyword';
    return next === '(' ? 'call' : 'plain';
}
