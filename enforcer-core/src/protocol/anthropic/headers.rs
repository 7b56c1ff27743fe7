// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Headers and query names that the API knows, after the official SDKs (anthropic-sdk-python
//! `_base_client.py` and `_client.py`, anthropic-sdk-typescript `client.ts`) and Claude Code.

const NAMES: [&str; 18] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-api-key",
    "x-app",
    "x-claude-code-session-id",
    "x-client-request-id",
    "x-request-id",
];
const BEGINNINGS: [&str; 2] = ["anthropic-", "x-stainless-"];

/// Whether the API knows this header, in lower case.
pub(super) fn knows_header(name: &str) -> bool {
    NAMES.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// Whether everything in this query is known: the SDK marks requests of its beta with `beta=true`.
pub(super) fn knows_query(query: &str) -> bool {
    matches!(query, "" | "beta=true")
}
