import { render } from 'preact';
import '../styles/tokens.css';
import '../styles/base.css';

render(<p>Soon</p>, document.querySelector('#app') as HTMLElement);
