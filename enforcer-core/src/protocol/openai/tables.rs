// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which strings of chat completions are no text: the words that SDKs dispatch on (roles, types), ids, and
//! payloads.

mod typed;

use crate::protocol::body::Tables;

pub(super) use typed::TYPED;

/// Chat completions and completions.
pub(super) static CHAT: Tables = Tables {
    word_places: &[
        // Requests.
        "service_tier",
        "reasoning_effort",
        "verbosity",
        "modalities/*",
        "messages/*/role",
        "messages/*/tool_calls/*/type",
        "messages/*/content/*/type",
        "messages/*/content/*/image_url/detail",
        "messages/*/content/*/input_audio/format",
        "tools/*/type",
        "tool_choice",
        "tool_choice/type",
        "function_call",
        "response_format/type",
        // Answers.
        "object",
        "choices/*/finish_reason",
        "choices/*/message/role",
        "choices/*/message/annotations/*/type",
        "choices/*/message/tool_calls/*/type",
        "choices/*/message/reasoning_details/*/type",
        "choices/*/delta/role",
        "choices/*/delta/annotations/*/type",
        "choices/*/delta/tool_calls/*/type",
        "choices/*/delta/reasoning_details/*/type",
        "error/type",
        "error/code",
        "error/param",
    ],
    words: &[
        // Roles.
        "assistant",
        "developer",
        "function",
        "system",
        "tool",
        "user",
        // Types.
        "allowed_tools",
        "audio",
        "chat.completion",
        "chat.completion.chunk",
        "text_completion",
        "custom",
        "file",
        "image_url",
        "input_audio",
        "json_object",
        "json_schema",
        "reasoning.encrypted",
        "reasoning.summary",
        "reasoning.text",
        "refusal",
        "text",
        "url_citation",
        // Reasons.
        "content_filter",
        "function_call",
        "length",
        "stop",
        "tool_calls",
        // Choices and degrees.
        "auto",
        "default",
        "flex",
        "high",
        "low",
        "max",
        "medium",
        "minimal",
        "none",
        "original",
        "priority",
        "required",
        "scale",
        "xhigh",
        // Sounds.
        "aac",
        "flac",
        "mp3",
        "opus",
        "pcm16",
        "wav",
        // Errors.
        "context_length_exceeded",
        "insufficient_quota",
        "invalid_api_key",
        "invalid_request_error",
        "messages",
        "model",
        "model_not_found",
        "rate_limit_exceeded",
        "rate_limit_error",
        "server_error",
        "tools",
    ],
    name_places: &[
        // Requests.
        "model",
        "messages/*/tool_call_id",
        "messages/*/audio/id",
        "messages/*/function_call/name",
        "messages/*/tool_calls/*/id",
        "messages/*/tool_calls/*/function/name",
        "messages/*/tool_calls/*/custom/name",
        "messages/*/content/*/file/file_id",
        "tools/*/function/name",
        "tools/*/custom/name",
        "functions/*/name",
        "tool_choice/function/name",
        "tool_choice/custom/name",
        "function_call/name",
        "response_format/json_schema/name",
        // Answers.
        "id",
        "system_fingerprint",
        "choices/*/message/audio/id",
        "choices/*/message/function_call/name",
        "choices/*/message/tool_calls/*/id",
        "choices/*/message/tool_calls/*/function/name",
        "choices/*/message/tool_calls/*/custom/name",
        "choices/*/delta/audio/id",
        "choices/*/delta/function_call/name",
        "choices/*/delta/tool_calls/*/id",
        "choices/*/delta/tool_calls/*/function/name",
        "choices/*/delta/tool_calls/*/custom/name",
    ],
    payload_places: &[
        "messages/*/content/*/image_url/url",
        "messages/*/content/*/input_audio/data",
        "messages/*/content/*/file/file_data",
        "choices/*/message/audio/data",
        "choices/*/delta/audio/data",
    ],
    number_places: &[
        "created",
        "max_tokens",
        "max_completion_tokens",
        "choices/*/index",
        "choices/*/message/tool_calls/*/index",
        "choices/*/delta/tool_calls/*/index",
        "usage/**",
    ],
    token_lists: &["choices/*/logprobs"],
};

/// Where payloads stand in a content part: in which member, and where in that.
pub(super) const PART_PAYLOADS: [(&str, &str); 3] =
    [("image_url", "url"), ("input_audio", "data"), ("file", "file_data")];
