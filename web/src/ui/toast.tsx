// A word at the page's foot about what was done, for a while, and perhaps a way back.
import { signal } from '@preact/signals';

interface Toast {
    text: string;
    undo?: () => void;
}

const kShownMs = 7000;
const toast = signal<Toast | null>(null);
let timer: ReturnType<typeof setTimeout>;

export function say(text: string, undo?: () => void): void {
    clearTimeout(timer);
    toast.value = undo ? { text, undo } : { text };
    timer = setTimeout(() => (toast.value = null), kShownMs);
}

export function Toasts() {
    const now = toast.value;
    const back = () => {
        now?.undo?.();
        toast.value = null;
    };
    return (
        <div class="toasts" role="status">
            {now && (
                <p class="toast">
                    {now.text}
                    {now.undo && (
                        <button type="button" class="link" onClick={back}>
                            Undo
                        </button>
                    )}
                </p>
            )}
        </div>
    );
}
