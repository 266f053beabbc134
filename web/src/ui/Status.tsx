// What stands between the reader and an answer: a server that is away, or a key that is missing.
import { useSignal } from '@preact/signals';
import { connect, connection, nextAttempt, trouble } from '../core/connection';
import { apiKey, prefer, preferences } from '../core/preferences';
import { Icon } from './Icon';

export function KeyForm() {
    const text = useSignal(apiKey.value);
    const submit = (event: Event) => {
        event.preventDefault();
        apiKey.value = text.value.trim();
        void connect();
    };
    return (
        <form class="key-form" onSubmit={submit}>
            <label>
                <span>API key</span>
                <input
                    type="password"
                    autocomplete="off"
                    spellcheck={false}
                    value={text.value}
                    onInput={(event) => (text.value = event.currentTarget.value)}
                />
            </label>
            <label class="check">
                <input
                    type="checkbox"
                    checked={preferences.value.keepKey}
                    onChange={(event) => prefer({ keepKey: event.currentTarget.checked })}
                />
                <span>Keep it on this device</span>
            </label>
            <button type="submit" class="primary">
                Use this key
            </button>
        </form>
    );
}

export function Status() {
    if (connection.value === 'needs-key') {
        return (
            <section class="notice" role="alert">
                <Icon name="key" />
                <div>
                    <strong>This server wants an API key.</strong>
                    {trouble.value && <p>{trouble.value}</p>}
                    <KeyForm />
                </div>
            </section>
        );
    }
    if (connection.value === 'unreachable') {
        return (
            <section class="notice" role="status">
                <Icon name="warning" />
                <div>
                    <strong>{trouble.value || 'The server cannot be reached.'}</strong>{' '}
                    <span aria-live="off">Trying again in {nextAttempt.value} s.</span>{' '}
                    <button type="button" class="link" onClick={() => void connect()}>
                        Try now
                    </button>
                </div>
            </section>
        );
    }
    return null;
}
