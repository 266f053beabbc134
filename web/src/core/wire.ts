// The parts of the server's JSON that the page reads and writes (docs/serving.md).

export interface WireMessage {
    role: 'system' | 'user' | 'assistant';
    content: string | null;
    tool_calls?: WireCall[];
    reasoning_content?: string;
    prefix?: boolean;
}

/** A call, or in a stream a part of one. */
export interface WireCall {
    index?: number;
    id?: string;
    type?: 'function';
    function?: { name?: string; arguments?: string };
}

export interface WireSampling {
    temperature?: number;
    top_p?: number;
    max_tokens?: number;
    seed?: number;
    stop?: string[];
    frequency_penalty?: number;
    presence_penalty?: number;
}

export interface ChatRequest extends WireSampling {
    model: string;
    messages: WireMessage[];
    tools?: object[];
    logprobs?: boolean;
    top_logprobs?: number;
    thinking?: { type: 'enabled' | 'disabled' };
    chat_template_kwargs?: { thinking: boolean };
}

export interface FillRequest extends WireSampling {
    model: string;
    prompt: string;
    suffix: string;
}

export interface WireToken {
    token: string;
    logprob: number;
    bytes?: number[] | null;
}
export interface WireLogprob extends WireToken {
    top_logprobs?: WireToken[];
}

export interface Usage {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_cache_hit_tokens?: number;
    prompt_tokens_details?: { cached_tokens?: number } | null;
    completion_tokens_details?: {
        reasoning_tokens?: number;
        accepted_prediction_tokens?: number;
        rejected_prediction_tokens?: number;
    } | null;
}

export interface Choice {
    delta?: { content?: string | null; reasoning_content?: string | null; tool_calls?: WireCall[] };
    text?: string;
    logprobs?: { content?: WireLogprob[] | null } | null;
    finish_reason?: string | null;
}

export interface Chunk {
    choices?: Choice[];
    usage?: Usage | null;
    error?: WireError;
}

export interface WireError {
    message?: string;
    type?: string;
    param?: string | null;
    code?: string | number | null;
}

export interface Model {
    id: string;
    max_model_len?: number;
}

/** GET /v1/hadal/live. A part that the server leaves out is not drawn. */
export interface Live {
    model?: string;
    uptime_seconds?: number;
    page_tokens?: number;
    max_sequences?: number;
    engine?: Partial<EngineStats>;
    experts?: { first_layer: number; load: number[][] };
}

export interface EngineStats {
    steps: number;
    step_tokens: number;
    prompt_tokens: number;
    reused_tokens: number;
    generated_tokens: number;
    draft_tokens: number;
    accepted_tokens: number;
    preemptions: number;
    running: number;
    waiting: number;
    pages: number;
    free_pages: number;
    idle_pages: number;
}
