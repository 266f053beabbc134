// Line icons on a grid of 20, drawn in the colour of the text around them.
const kPaths = {
    plus: 'M10 4v12M4 10h12',
    send: 'M10 16V4M5 9l5-5 5 5',
    stop: 'M6 6h8v8H6z',
    copy: 'M7 7h9v9H7zM13 7V4H4v9h3',
    check: 'M4 10.5l4 4 8-9',
    again: 'M15.5 8A6 6 0 1 0 16 11.5M16 4v4h-4',
    edit: 'M4 16l.8-3.4L13 4.4l2.6 2.6-8.2 8.2zM11.4 6l2.6 2.6',
    left: 'M12 5l-5 5 5 5',
    right: 'M8 5l5 5-5 5',
    menu: 'M3 6h14M3 10h14M3 14h14',
    sliders: 'M4 6h6M14 6h2M4 14h2M10 14h6M12 4v4M8 12v4',
    trash: 'M4 6h12M8 6V4h4v2M6 6l.7 10h6.6L14 6M8.5 9v4M11.5 9v4',
    sun: 'M10 7a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM10 2.5v1.5M10 16v1.5M2.5 10H4M16 10h1.5M4.7 4.7l1 1M14.3 14.3l1 1M4.7 15.3l1-1M14.3 5.7l1-1',
    moon: 'M16 12.2A6.6 6.6 0 0 1 7.8 4a6.6 6.6 0 1 0 8.2 8.2z',
    half: 'M10 3.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM10 3.5v13M12.5 4.2v11.6M14.8 6v8',
    help: 'M10 2.8a7.2 7.2 0 1 0 0 14.4 7.2 7.2 0 0 0 0-14.4zM7.9 8a2.1 2.1 0 1 1 3 1.9c-.6.3-.9.7-.9 1.4M10 13.6v.1',
    key: 'M7 10a3 3 0 1 0 0 .1M10 10h7M14 10v3M17 10v2',
    down: 'M10 4v12M5 11l5 5 5-5',
    out: 'M10 12V3M6.5 6.5L10 3l3.5 3.5M4 12v4h12v-4',
    in: 'M10 3v9M6.5 8.5L10 12l3.5-3.5M4 12v4h12v-4',
    close: 'M5 5l10 10M15 5L5 15',
    warning: 'M10 3.2L17.5 16h-15zM10 8.5v3.6M10 14v.1',
    call: 'M7.5 4C5 4 6.5 9 4 10c2.5 1 1 6 3.5 6M12.5 4c2.5 0 1 5 3.5 6-2.5 1-1 6-3.5 6',
    chance: 'M3 16V9M7.7 16V5M12.3 16v-4M17 16V8',
    thought: 'M6.5 12.8a3.6 3.6 0 0 1-.6-7A4.4 4.4 0 0 1 14.2 6a3.5 3.5 0 0 1-.6 6.8zM5.5 15.4v.1M3.6 17.3v.1',
} as const;

export type IconName = keyof typeof kPaths;

export function Icon({ name }: { name: IconName }) {
    return (
        <svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
            <path d={kPaths[name]} />
        </svg>
    );
}
