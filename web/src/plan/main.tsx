import { render } from 'preact';
import { keepPreferences, preferences } from '../core/preferences';
import '../styles/tokens.css';
import '../styles/base.css';
import '../styles/frame.css';
import '../styles/views.css';
import '../styles/plan.css';
import { Icon } from '../ui/Icon';
import { nextTheme } from '../ui/theme';
import { Controls } from './Controls';
import { Results } from './Results';
import { ask, change, start } from './state';
import type { Question } from './wire';

const kTabs: [Question, string][] = [
    ['train', 'Training'],
    ['memory', 'Memory'],
    ['serve', 'Serving'],
    ['failures', 'Failures'],
];

function Page() {
    return (
        <div class="plan">
            <header class="top">
                <span class="brand">
                    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
                        <rect width="32" height="32" rx="9" />
                        <path d="M6 12q5-5 10 0t10 0M6 20q5-5 10 0t10 0" />
                    </svg>
                    <span>hadal plan</span>
                </span>
                <nav class="tabs" aria-label="Questions">
                    {kTabs.map(([question, label]) => (
                        <a
                            key={question}
                            href={`#${question}`}
                            aria-current={ask.value.question === question ? 'page' : undefined}
                            onClick={(event) => {
                                event.preventDefault();
                                change({ question });
                            }}
                        >
                            {label}
                        </a>
                    ))}
                </nav>
                <span class="space" />
                <button
                    type="button"
                    class="quiet"
                    title={`Theme: ${preferences.value.theme}`}
                    aria-label={`Theme: ${preferences.value.theme}`}
                    onClick={nextTheme}
                >
                    <Icon
                        name={
                            preferences.value.theme === 'dark'
                                ? 'moon'
                                : preferences.value.theme === 'light'
                                  ? 'sun'
                                  : 'half'
                        }
                    />
                </button>
            </header>
            <Controls />
            <Results />
        </div>
    );
}

keepPreferences();
void start();
render(<Page />, document.querySelector('#app') as HTMLElement);
