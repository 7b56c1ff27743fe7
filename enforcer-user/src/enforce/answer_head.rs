// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The head of an answer on its way to the agent: without what belongs to another hop, leads around this
//! connection, passes for ours, or carries what has to be masked. A header that would have to be masked is
//! removed whole: half of it would mean something else.

use enforcer_core::facts::masked;
use enforcer_core::mask::Masker;
use enforcer_core::model::limits;
use enforcer_core::protocol::headers::HOP_BY_HOP;
use hyper::ext::ReasonPhrase;
use hyper::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use hyper::http::response::Parts;

use super::deny;

/// What the body of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Other,
    Sse,
}

/// What the head says the body is.
pub(super) fn kind(head: &Parts) -> Kind {
    let value = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("text/event-stream") {
        return Kind::Sse;
    }
    if essence.eq_ignore_ascii_case("application/json") { Kind::Json } else { Kind::Other }
}

/// Whether the body is encoded; `identity` is no encoding (RFC 9110 section 12.5.3).
pub(super) fn is_encoded(head: &Parts) -> bool {
    let encodings = head.headers.get_all(CONTENT_ENCODING);
    encodings.iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Bytes of a head beyond what an answer needs: a text may stand there, too.
pub(super) fn surplus(head: &Parts) -> u64 {
    let fields = head.headers.iter();
    let bytes: usize = fields.map(|(name, value)| name.as_str().len() + value.len()).sum();
    (bytes as u64).saturating_sub(limits::ANSWER_HEAD_BYTES)
}

/// Takes away what no agent needs and some provider could misuse.
pub(super) fn enforce(head: &mut Parts) {
    // RFC 7838: an alternative service would be a way around this connection.
    head.headers.remove("alt-svc");
    // RFC 9112 section 4: a text of the provider that means nothing; the carrier has its own.
    head.extensions.remove::<ReasonPhrase>();
}

/// Removes what belongs to one hop only (RFC 9110 section 7.6.1).
pub(super) fn end_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    remove(headers, |name, _| {
        // One that names what the body is read by is ignored: the agent would read another body.
        let is_end_to_end = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH].contains(name);
        HOP_BY_HOP.contains(&name.as_str()) || (named.contains(name) && !is_end_to_end)
    });
}

/// SECURITY: only we say what we refused; a provider that could would pass its own failure off as ours.
pub(super) fn remove_marks(headers: &mut HeaderMap) {
    // As CGI and its kin read names: `x_enforcer_denied` is another spelling.
    remove(headers, |name, _| name.as_str().replace('_', "-").starts_with(deny::MARKS));
}

/// Removes every header in which the masker finds something.
pub(super) fn mask(head: &mut Parts, masker: &Masker) {
    let kind = kind(head);
    remove(&mut head.headers, |name, value| {
        is_touched(name.as_str(), masker) || !is_clean(value, masker)
    });
    head.headers.remove(CONTENT_LENGTH);
    // A parameter may name another character set, in which a client would read another text than we did.
    let kind = match kind {
        Kind::Json => "application/json",
        Kind::Sse => "text/event-stream",
        Kind::Other => return,
    };
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
}

fn is_clean(value: &HeaderValue, masker: &Masker) -> bool {
    // Bytes that are no UTF-8 are text in some other character set.
    std::str::from_utf8(value.as_bytes()).is_ok_and(|text| !is_touched(text, masker))
}

fn is_touched(text: &str, masker: &Masker) -> bool {
    masked(text, masker) != text || masker.mask_text(text).count > 0
}

fn remove(headers: &mut HeaderMap, is_out: impl Fn(&HeaderName, &HeaderValue) -> bool) {
    let found = headers.iter().filter(|(name, value)| is_out(name, value));
    // Each value counts for all of its name: what is left of several would mean something else.
    let names: Vec<HeaderName> = found.map(|(name, _)| name.clone()).collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use enforcer_core::mask::{Builtin, DetectorKind, DetectorSpec, Style};
    use enforcer_core::model::DetectorName;
    use hyper::Response;
    use proptest::prelude::*;

    use super::*;

    fn masker() -> Masker {
        let spec = |builtin: Builtin| DetectorSpec {
            name: DetectorName::new(builtin.name()),
            kind: DetectorKind::Builtin(builtin),
        };
        let layers = Builtin::ALL.map(|builtin| (spec(builtin), Style::Label));
        Masker::new(layers.to_vec()).unwrap()
    }

    #[test]
    fn a_header_that_would_have_to_be_masked_is_removed() {
        let mut builder = Response::builder();
        for (name, value) in [
            ("content-type", "application/json; note=ann@example.com"),
            ("content-length", "10"),
            ("x-note", "ann@example.com"),
            ("x-quoted", r#"{"c":"4111\u00201111\u00201111\u00201111"}"#),
            ("location", "/x?user=ann%40example.com"),
            ("set-cookie", "a=1"),
            ("set-cookie", "user=ann@example.com"),
            ("4111-1111-1111-1111", "1"),
            ("x-request-id", "req_1"),
        ] {
            builder = builder.header(name, value);
        }
        let (mut head, ()) = builder.body(()).unwrap().into_parts();
        head.headers.insert("x-latin", HeaderValue::from_bytes(b"\xe4").unwrap());
        mask(&mut head, &masker());
        let mut names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "x-request-id"]);
        assert_eq!(head.headers[CONTENT_TYPE], "application/json");
    }

    proptest! {
        #[test]
        fn wherever_a_head_holds_what_a_mask_names_it_is_gone(
            name in "[a-z]{1,8}(-[a-z]{1,8})?",
            before in "[a-z =;,\"]{0,12}",
            after in "[ ;,\"]{0,6}",
            secret in prop::sample::select(vec![
                "ann@example.com",
                "ann%40example.com",
                "4111 1111 1111 1111",
                "4111111111111111",
                "{\"a\":\"4111\\u00201111\\u00201111\\u00201111\"}",
                "{\"a\":\"ann\\u0040example.com\"}",
            ]),
            beside in "[a-z]{0,8}",
        ) {
            let mut builder = Response::builder().header(&name, &beside);
            builder = builder.header(&name, format!("{before} {secret}{after}"));
            let (mut head, ()) = builder.header("x-request-id", "r").body(()).unwrap().into_parts();
            mask(&mut head, &masker());
            prop_assert!(name == "x-request-id" || !head.headers.contains_key(&name), "{head:?}");
        }
    }

    #[test]
    fn what_belongs_to_one_hop_is_removed_and_nothing_else() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret-Hop, Content-Type"),
            ("x-secret-hop", "1"),
            ("te", "trailers"),
            ("content-type", "text/plain"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        end_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["content-type"]);
    }

    #[test]
    fn a_type_has_no_parameters_of_the_provider() {
        for (sent, expect) in [
            ("application/json; charset=utf-7", "application/json"),
            ("Text/Event-Stream;charset=utf-8", "text/event-stream"),
        ] {
            let (mut head, ()) =
                Response::builder().header("content-type", sent).body(()).unwrap().into_parts();
            mask(&mut head, &masker());
            assert_eq!(head.headers[CONTENT_TYPE], expect);
        }
    }
}
