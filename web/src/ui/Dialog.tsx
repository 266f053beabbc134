// A modal sheet on the browser's own dialog element, which traps the focus and closes on Escape.
import { useEffect, useRef } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { Icon } from './Icon';

interface Props {
    title: string;
    onClose: () => void;
    children: ComponentChildren;
}

export function Dialog({ title, onClose, children }: Props) {
    const place = useRef<HTMLDialogElement>(null);
    useEffect(() => place.current?.showModal(), []);
    return (
        <dialog
            ref={place}
            class="dialog"
            aria-labelledby="dialog-title"
            onClose={onClose}
            onClick={(event) => event.target === place.current && place.current?.close()}
        >
            <div class="dialog-body">
                <header>
                    <h2 id="dialog-title">{title}</h2>
                    <button type="button" class="quiet" aria-label="Close" onClick={() => place.current?.close()}>
                        <Icon name="close" />
                    </button>
                </header>
                {children}
            </div>
        </dialog>
    );
}
