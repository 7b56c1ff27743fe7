// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Headers that the APIs of this family know, after the official SDKs (openai-python `_base_client.py` and
//! `_client.py`, openai-node `client.ts`), the Codex CLI, Azure OpenAI and OpenRouter. Of what an agent sends
//! nothing else reaches a provider: gateways of this family choose model, provider and host by headers of
//! their own (`x-portkey-config`, `helicone-target-url`), and rules know none of that.

const NAMES: [&str; 29] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "api-key",
    "authorization",
    "chatgpt-account-id",
    "content-encoding",
    "content-length",
    "content-type",
    "conversation_id",
    "expect",
    "host",
    "http-referer",
    "idempotency-key",
    "originator",
    "session-id",
    "session_id",
    "thread-id",
    "traceparent",
    "tracestate",
    "user-agent",
    "version",
    "x-api-key",
    "x-client-request-id",
    "x-ms-client-request-id",
    "x-ms-useragent",
    "x-openai-subagent",
    "x-request-id",
    "x-title",
];
const BEGINNINGS: [&str; 3] = ["openai-", "x-codex-", "x-stainless-"];

/// Whether the APIs of the family know this header, in lower case.
pub(super) fn knows_header(name: &str) -> bool {
    NAMES.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::headers::is_override;

    #[test]
    fn what_the_sdks_send_is_known_and_what_gateways_choose_by_is_not() {
        for name in ["authorization", "openai-project", "x-stainless-retry-count", "user-agent"] {
            assert!(knows_header(name), "{name}");
        }
        for name in [
            "cookie",
            "helicone-target-url",
            "x-portkey-config",
            "x-original-uri",
            "x-forwarded-for",
            "x-litellm-api-base",
            "openai",
        ] {
            assert!(!knows_header(name), "{name}");
        }
        assert!(!NAMES.iter().any(|name| is_override(name)));
    }
}
