// A component that is drawn again only when its properties say so.
import { Component, createElement, type ComponentType, type FunctionComponent } from 'preact';

export function memo<P extends object>(
    Inner: FunctionComponent<P>,
    same: (before: P, after: P) => boolean,
): ComponentType<P> {
    return class extends Component<P> {
        override shouldComponentUpdate(next: P): boolean {
            return !same(this.props as P, next);
        }
        override render() {
            return createElement(Inner, this.props as P);
        }
    };
}
