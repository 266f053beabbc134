import { ChatView } from './chat/ChatView';
import { OptionsPanel } from './chat/OptionsPanel';
import { current } from './chat/session';
import { FillView } from './fill/FillView';
import { LiveView } from './live/LiveView';
import { Help } from './ui/Help';
import { Icon } from './ui/Icon';
import { Sidebar } from './ui/Sidebar';
import { Status } from './ui/Status';
import { Toasts } from './ui/toast';
import { addressOf, helpOpen, kViews, panelOpen, sidebarOpen, view } from './ui/view';

function TopBar() {
    return (
        <header class="top">
            <button
                type="button"
                class="quiet narrow-only"
                aria-label="Show conversations"
                aria-expanded={sidebarOpen.value}
                onClick={() => (sidebarOpen.value = true)}
            >
                <Icon name="menu" />
            </button>
            <nav class="tabs" aria-label="Views">
                {kViews.map(({ view: name, label }, index) => (
                    <a
                        key={name}
                        href={addressOf(name)}
                        aria-current={view.value === name ? 'page' : undefined}
                        title={`${label} (Alt ${index + 1})`}
                    >
                        {label}
                    </a>
                ))}
            </nav>
            <span class="space" />
            {view.value === 'chat' && <p class="top-title">{current.value.title}</p>}
        </header>
    );
}

export function App() {
    return (
        <div class="app">
            <a
                class="skip"
                href="#main"
                onClick={(event) => {
                    event.preventDefault();
                    document.querySelector<HTMLElement>('#main')?.focus();
                }}
            >
                To the content
            </a>
            <Sidebar />
            {sidebarOpen.value && <div class="veil" onClick={() => (sidebarOpen.value = false)} />}
            <div class="stage">
                <TopBar />
                <Status />
                <main id="main" tabIndex={-1}>
                    {view.value === 'chat' && <ChatView />}
                    {view.value === 'fill' && <FillView />}
                    {view.value === 'engine' && <LiveView />}
                </main>
            </div>
            {panelOpen.value && view.value === 'chat' && <OptionsPanel key={current.value.id} />}
            {helpOpen.value && <Help />}
            <Toasts />
        </div>
    );
}
