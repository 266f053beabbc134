import { Dialog } from './Dialog';
import { kShortcuts } from './shortcuts';
import { helpOpen } from './view';

export function Help() {
    return (
        <Dialog title="Keyboard" onClose={() => (helpOpen.value = false)}>
            <dl class="shortcuts">
                {kShortcuts.map(({ keys, does }) => (
                    <div key={keys}>
                        <dt>
                            {keys.split(' ').map((key) => (
                                <kbd key={key}>{key}</kbd>
                            ))}
                        </dt>
                        <dd>{does}</dd>
                    </div>
                ))}
            </dl>
        </Dialog>
    );
}
