import { useSignal } from '@preact/signals';
import { Icon } from './Icon';

/** Over plain HTTP from another machine there is no clipboard interface; a selection still copies. */
async function copy(text: string): Promise<void> {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'offscreen';
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
}

export function CopyButton({ text, label }: { text: string; label: string }) {
    const done = useSignal(false);
    const act = async () => {
        await copy(text);
        done.value = true;
        setTimeout(() => (done.value = false), 1500);
    };
    return (
        <button type="button" class="quiet" title={label} aria-label={done.value ? 'Copied' : label} onClick={act}>
            <Icon name={done.value ? 'check' : 'copy'} />
        </button>
    );
}
