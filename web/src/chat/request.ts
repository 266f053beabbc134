// A conversation's options and messages as the server's request.
import type { ChatRequest, WireMessage, WireSampling } from '../core/wire';
import { toolsOf } from './calls';
import { ancestors, type Conversation, type Message, type Sampling } from './tree';

export function samplingOf(options: Sampling): WireSampling {
    return {
        temperature: options.temperature,
        top_p: options.topP,
        ...(options.maxTokens !== null ? { max_tokens: options.maxTokens } : {}),
        ...(options.seed !== null ? { seed: options.seed } : {}),
        ...(options.frequencyPenalty !== 0 ? { frequency_penalty: options.frequencyPenalty } : {}),
        ...(options.presencePenalty !== 0 ? { presence_penalty: options.presencePenalty } : {}),
        ...(options.stop.length > 0 ? { stop: options.stop } : {}),
    };
}

/** Thoughts of earlier turns are not sent: models are trained without them. */
function wireOf(message: Message): WireMessage {
    if (!message.calls) return { role: message.role, content: message.content };
    const tool_calls = message.calls.map(({ id, name, arguments: given }) => ({
        id,
        type: 'function' as const,
        function: { name, arguments: given },
    }));
    return { role: message.role, content: message.content || null, tool_calls };
}

/** The request whose answer is `message`; what it holds already is continued. */
export function chatRequest(conversation: Conversation, message: Message, model: string): ChatRequest {
    const { options } = conversation;
    const messages = ancestors(conversation, message.parent).map(wireOf);
    if (options.system.trim() !== '') messages.unshift({ role: 'system', content: options.system });
    if (message.content !== '' || message.reasoning !== '') {
        messages.push({
            ...wireOf(message),
            ...(message.reasoning !== '' ? { reasoning_content: message.reasoning } : {}),
            prefix: true,
        });
    }
    const thinking = options.thinking === 'on';
    const tools = toolsOf(options.tools ?? '') ?? []; // conversations of older pages have none
    return {
        model,
        messages,
        ...(tools.length > 0 ? { tools } : {}),
        ...samplingOf(options),
        ...(options.probabilities ? { logprobs: true, top_logprobs: 5 } : {}),
        ...(options.thinking !== 'model'
            ? { thinking: { type: thinking ? 'enabled' : 'disabled' }, chat_template_kwargs: { thinking } }
            : {}),
    };
}
