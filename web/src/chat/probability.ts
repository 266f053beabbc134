// How likely a token was, as colour and as text.

export const kLevels = 7;

/** 0 for a token that was near certain, up to kLevels for one of less than 1 in 128. */
export function surpriseLevel(logprob: number): number {
    const bits = -logprob / Math.LN2;
    return Math.max(0, Math.min(kLevels, Math.round(bits)));
}

export function percentOf(logprob: number): string {
    const share = 100 * Math.exp(logprob);
    if (share >= 99.95) return '100 %';
    if (share >= 9.995) return `${share.toFixed(1)} %`;
    return share >= 0.01 ? `${share.toFixed(2)} %` : '< 0.01 %';
}

/** Spaces and line ends that one can see. */
export function visible(token: string): string {
    return token === '' ? '∅' : token.replaceAll(' ', '·').replaceAll('\n', '↵').replaceAll('\t', '⇥');
}
