import { describe, expect, it } from 'vitest';
import * as tree from '../../src/chat/tree';

let clock = 0;
const message = (id: string, parent: string | null, role: 'user' | 'assistant'): tree.Message => ({
    id,
    parent,
    role,
    content: `text of ${id}`,
    reasoning: '',
    created: ++clock,
});

/** q1 → a1 → q2 → a2, with a second answer to q1 and another wording of q2. */
function branched(): tree.Conversation {
    let conversation = tree.newConversation('c', 0, tree.kDefaults);
    for (const one of [
        message('q1', null, 'user'),
        message('a1', 'q1', 'assistant'),
        message('q2', 'a1', 'user'),
        message('a2', 'q2', 'assistant'),
        message('q2b', 'a1', 'user'),
        message('a2b', 'q2b', 'assistant'),
        message('a1b', 'q1', 'assistant'),
    ])
        conversation = tree.add(conversation, one);
    return conversation;
}
const shown = (conversation: tree.Conversation) => tree.path(conversation).map(({ id }) => id);

describe('a conversation', () => {
    it('shows what came last', () => {
        expect(shown(branched())).toEqual(['q1', 'a1b']);
    });
    it('remembers the choice in a branch that was left', () => {
        let conversation = tree.choose(branched(), 'a1b', -1);
        expect(shown(conversation)).toEqual(['q1', 'a1', 'q2b', 'a2b']);
        conversation = tree.choose(conversation, 'q2b', -1);
        conversation = tree.choose(tree.choose(conversation, 'a1', 1), 'a1b', -1);
        expect(shown(conversation)).toEqual(['q1', 'a1', 'q2', 'a2']);
    });
    it('does not go beyond the first and the last version', () => {
        const conversation = branched();
        expect(tree.choose(conversation, 'a1b', 1)).toBe(conversation);
        expect(tree.choose(conversation, 'q1', -1)).toBe(conversation);
        expect(tree.choose(conversation, 'nobody', 1)).toBe(conversation);
    });
    it('leaves the old one as it was', () => {
        const conversation = branched();
        const before = JSON.stringify(conversation);
        tree.add(conversation, message('q3', 'a1b', 'user'));
        tree.change(conversation, 'a1', { content: 'other' });
        tree.remove(conversation, 'a1');
        expect(JSON.stringify(conversation)).toBe(before);
    });
    it('loses a message with all below it, and nothing else', () => {
        const conversation = tree.remove(branched(), 'a1');
        expect(Object.keys(conversation.messages).sort()).toEqual(['a1b', 'q1']);
        expect(shown(conversation)).toEqual(['q1', 'a1b']);
        expect(shown(tree.remove(branched(), 'a1b'))).toEqual(['q1', 'a1', 'q2b', 'a2b']);
    });
    it('asks with the line of its own branch', () => {
        expect(tree.ancestors(branched(), 'a2').map(({ id }) => id)).toEqual(['q1', 'a1', 'q2', 'a2']);
    });
    it('refuses a message without its parent', () => {
        expect(() => tree.add(branched(), message('x', 'nobody', 'user'))).toThrow('no parent');
    });
    it('is called by its first question', () => {
        expect(branched().title).toBe('text of q1');
        expect(tree.titleOf('\n\n## Why is the sky blue?\nTell me')).toBe('Why is the sky blue?');
        expect([...tree.titleOf('🌊'.repeat(80))].length).toBe(48);
    });
});
