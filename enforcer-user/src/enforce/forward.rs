// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sends an allowed request upstream and prepares its answer.

use std::error::Error as _;

use enforcer_core::model::{Denied, DenyReason, Mode};
use enforcer_core::policy::Policy;
use enforcer_core::protocol::codec::Route;
use enforcer_core::protocol::headers::HOP_BY_HOP;
use hyper::header::{HeaderMap, HeaderName};
use hyper::http::response::Parts;

use super::answer::{self, Prepared};
use super::content::Content;
use super::outgoing::{self, Outgoing};
use super::record::OpenRecord;
use super::{Conn, Enforcer, deny};

/// Forwards the content; the head and the prepared body come back.
pub(super) async fn forward(
    cx: &Enforcer,
    conn: &Conn,
    policy: &Policy,
    outgoing: Outgoing<'_>,
    content: Content,
    record: &mut OpenRecord,
) -> Result<(Parts, Prepared), Denied> {
    let has_codec = content.route.is_some_and(Route::reads_body);
    let Outgoing { owed, headers, credentials, mode } = outgoing;
    let request = outgoing::request(content, headers, credentials, record);
    let sent = cx.upstream.send(&conn.target, conn.origin.destination, request).await;
    let (response, lease) = sent.map_err(|error| {
        record.detail(match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        });
        Denied::because(record.request_fault().unwrap_or(error.reason()))
    })?;
    let (mut head, body) = response.into_parts();
    clean(&mut head.headers);
    if mode == Mode::Enforce {
        // RFC 7838: an alternative service would be a way around this connection.
        head.headers.remove("alt-svc");
    }
    remove_marks(&mut head.headers);
    record.is_answered(head.status);
    let prepared =
        answer::prepare(&mut head, body, lease, (policy, &cx.buffers), owed, has_codec, record)
            .await;
    match prepared {
        Ok(prepared) => Ok((head, prepared)),
        Err(why) => {
            record.detail(why.to_owned());
            Err(Denied::because(DenyReason::ResponseUndecodable))
        }
    }
}

/// Removes what belongs to one hop only (RFC 9110 section 7.6.1).
fn clean(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// SECURITY: only we say what we refused; a provider that could would pass its own failure off as ours.
fn remove_marks(headers: &mut HeaderMap) {
    let marks: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(deny::MARKS)).cloned().collect();
    for name in marks {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn what_belongs_to_one_hop_is_removed_and_nothing_else() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("te", "trailers"),
            ("authorization", "Bearer k"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        clean(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key("authorization"));
    }
}
