// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Headers of a request by what they do to it: which ones end at the next hop, which make a server serve
//! something else than what was judged, which a server may take for another one, and which only describe the
//! client.
//!
//! Names are in lower case. Errs to dropping: a header that no API needs is not worth a second reading.

/// What belongs to one hop only (RFC 9110 section 7.6.1, RFC 9112 section 9.6).
pub const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that are meant for every recipient. RFC 9110 section 7.6.1 does not let a connection option name
/// them; an option that does would take away what was judged.
const END_TO_END: [&str; 17] = [
    "api-key",
    "authorization",
    "cache-control",
    "cookie",
    "date",
    "digest",
    "expect",
    "from",
    "host",
    "idempotency-key",
    "origin",
    "prefer",
    "range",
    "referer",
    "sec-fetch-mode",
    "user-agent",
    "x-api-key",
];
const END_TO_END_BEGINNINGS: [&str; 3] = ["accept", "content-", "if-"];

/// Names with other characters than letters, digits and hyphens that clients of model providers do send, and
/// that no server takes for what was judged. The Codex CLI names its conversation by them.
const KNOWN_UNUSUAL: [&str; 2] = ["conversation_id", "session_id"];

/// Whether a connection option of this name is ignored.
#[must_use]
pub fn is_end_to_end(name: &str) -> bool {
    END_TO_END.contains(&name) || begins(name, &END_TO_END_BEGINNINGS)
}

/// What a server that folds names (CGI, WSGI and their heirs make `HTTP_X_Y` of `x-y`, `x_y` and even `x.y`)
/// would take this one for, in words; none of a name that everybody reads the same way.
///
/// SECURITY: such a name passes each comparison with the names that are judged or dropped here.
#[must_use]
pub fn mistakable_for(name: &str) -> Option<&'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.bytes().all(is_plain) || KNOWN_UNUSUAL.contains(&name) {
        return None;
    }
    let folded: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Some(match folded.as_str() {
        "content-length" => "the framing of the body",
        name if HOP_BY_HOP.contains(&name) => "the framing of the body",
        "host" => "another host, path or method",
        name if is_override(name) => "another host, path or method",
        "authorization" | "api-key" | "x-api-key" | "cookie" => "a credential",
        name if name.starts_with("content-") => "the kind of the body",
        _ => "some other header",
    })
}

/// Whether servers, or what stands before them, serve another host, path or method by this header than those
/// that were judged. No client of a provider has a reason to send it.
#[must_use]
pub fn is_override(name: &str) -> bool {
    OVERRIDES.contains(&name)
        || begins(name, &OVERRIDE_BEGINNINGS)
        || name.split('-').any(|word| word == "override")
        || is_qualified_target(name)
}

/// `x-original-url`, `x-forwarded-uri`, `proxy-host`, `x-http-method`: words that say which one, and then what.
fn is_qualified_target(name: &str) -> bool {
    let (is_extension, rest) = match name.strip_prefix("x-") {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    let (qualifiers, target) = rest.rsplit_once('-').map_or(("", rest), |(q, target)| (q, target));
    if !TARGETS.contains(&target) {
        return false;
    }
    if qualifiers.is_empty() {
        // `host` itself is the one that was proven.
        return is_extension;
    }
    qualifiers.split('-').all(|word| QUALIFIERS.contains(&word))
}

/// What is named instead.
const TARGETS: [&str; 16] = [
    "authority",
    "destinationurl",
    "host",
    "hostname",
    "method",
    "path",
    "pathinfo",
    "prefix",
    "query",
    "scheme",
    "server",
    "uri",
    "url",
    "verb",
    "vhost",
    "route",
];

/// Which one. Of IIS, Azure (`ms`, `waws`, `unencoded`), Traefik (`replaced`), Next.js (`invoke`, `matched`),
/// Symfony, Laravel, Rails, Django, Spring, nginx, HAProxy and their modules.
const QUALIFIERS: [&str; 33] = [
    "actual",
    "backend",
    "base",
    "custom",
    "effective",
    "forward",
    "forwarded",
    "gateway",
    "http",
    "internal",
    "invoke",
    "matched",
    "ms",
    "new",
    "orig",
    "origin",
    "original",
    "proxy",
    "raw",
    "real",
    "replaced",
    "request",
    "requested",
    "rewrite",
    "rewritten",
    "route",
    "server",
    "target",
    "true",
    "tunneled",
    "unencoded",
    "upstream",
    "waws",
];

const OVERRIDE_BEGINNINGS: [&str; 6] =
    ["x-envoy-", "x-forwarded", "x-invoke-", "x-middleware-", "x-original-", "x-rewrite-"];

/// Those that no grammar finds.
const OVERRIDES: [&str; 21] = [
    // RFC 7838 section 5 and RFC 7239.
    "alt-used",
    "forwarded",
    "front-end-https",
    // Becomes `HTTP_PROXY`, by which programs choose their own way out (CVE-2016-5385).
    "proxy",
    "path-info",
    "script-name",
    "uri",
    "url",
    // By name alone.
    "http2-settings",
    "method",
    "path",
    "x-accel-redirect",
    "x-azure-original-url",
    "x-reproxy-url",
    "x-route-to",
    "x-sendfile",
    "x-upstream",
    "x-now-route-matches",
    "x-path-info",
    "x-script-name",
    "x-url-scheme",
];

/// Whether a header only says which client asks, when and for the how-manieth time: a retry of the same
/// request has another value.
#[must_use]
pub fn is_volatile(name: &str) -> bool {
    VOLATILE.contains(&name) || begins(name, &VOLATILE_BEGINNINGS)
}

const VOLATILE: [&str; 20] = [
    "accept-encoding",
    "b3",
    "baggage",
    "content-length",
    "date",
    "elastic-apm-traceparent",
    "expect",
    "host",
    "idempotency-key",
    "newrelic",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "uber-trace-id",
    "user-agent",
    "x-amzn-trace-id",
    "x-client-request-id",
    "x-cloud-trace-context",
    "x-correlation-id",
    "x-request-id",
];
const VOLATILE_BEGINNINGS: [&str; 3] = ["x-b3-", "x-datadog-", "x-stainless-"];

fn begins(name: &str, beginnings: &[&str]) -> bool {
    beginnings.iter().any(|beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_by_which_servers_serve_something_else_are_known() {
        for name in [
            // The host.
            "forwarded",
            "x-backend-host",
            "x-envoy-original-host",
            "x-forwarded-host",
            "x-forwarded-server",
            "x-host",
            "x-http-host-override",
            "x-original-host",
            "x-real-host",
            "proxy-host",
            "alt-used",
            // The path.
            "base-url",
            "request-uri",
            "x-envoy-original-path",
            "x-forwarded-prefix",
            "x-forwarded-uri",
            "x-http-destinationurl",
            "x-invoke-path",
            "x-matched-path",
            "x-middleware-subrequest",
            "x-ms-original-url",
            "x-original-uri",
            "x-original-url",
            "x-override-url",
            "x-proxy-url",
            "x-replaced-path",
            "x-request-path",
            "x-rewrite-url",
            "x-script-name",
            "x-waws-unencoded-url",
            // The method.
            "x-forwarded-method",
            "x-http-method",
            "x-http-method-override",
            "x-http-verb",
            "x-method",
            "x-method-override",
            "x-original-method",
            // The way out.
            "proxy",
        ] {
            assert!(is_override(name), "{name}");
        }
        for name in [
            "accept",
            "anthropic-version",
            "authorization",
            "content-type",
            "destination",
            "host",
            "if-match",
            "origin",
            "referer",
            "x-amz-copy-source",
            "x-api-key",
            "x-callback-url",
            "x-request-id",
            "x-stainless-helper-method",
            "x-title",
        ] {
            assert!(!is_override(name), "{name}");
        }
    }

    #[test]
    fn a_name_that_servers_fold_is_told_by_what_they_take_it_for() {
        let other = "another host, path or method";
        for (name, expect) in [
            ("x_http_method_override", other),
            ("x_original_url", other),
            ("x-original_url", other),
            ("x.original.url", other),
            ("host_", "some other header"),
            ("transfer_encoding", "the framing of the body"),
            ("content_length", "the framing of the body"),
            ("content~type", "the kind of the body"),
            ("x_api_key", "a credential"),
            ("x_note", "some other header"),
        ] {
            assert_eq!(mistakable_for(name), Some(expect), "{name}");
        }
        for name in ["x-original-url", "content-type", "x-note-2", "session_id"] {
            assert_eq!(mistakable_for(name), None, "{name}");
        }
    }

    #[test]
    fn what_every_recipient_reads_and_what_only_describes_the_client_is_told_apart() {
        assert!(
            is_end_to_end("content-type") && is_end_to_end("if-match") && is_end_to_end("host")
        );
        assert!(!is_end_to_end("x-secret-hop") && !is_end_to_end("keep-alive"));
        assert!(is_volatile("x-stainless-retry-count") && is_volatile("traceparent"));
        for name in ["authorization", "content-type", "cookie", "openai-organization", "x-note"] {
            assert!(!is_volatile(name), "{name}");
        }
    }
}
