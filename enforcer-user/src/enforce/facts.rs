// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a request to what the policy may know about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use enforcer_core::model::{Facts, Http, Opaque, OpaqueCause, Operation, limits};
use enforcer_core::policy::{Endpoint, Policy};
use enforcer_core::protocol::openai::{self, ChatRequest, Route};
use hyper::body::{Body as _, Incoming};

use super::Conn;
use super::content::{Body, Content};
use super::head;
use crate::runtime;

/// Decodes the content; what its codec does not understand becomes opaque, in place.
pub(super) async fn decode(
    content: &mut Content,
    conn: &Conn,
    endpoint: &Endpoint,
    policy: &Arc<Policy>,
) -> Facts {
    let decoded = match (&content.body, content.route) {
        (Body::Whole(bytes), Some(Route::Chat)) => Some(chat(bytes, policy).await),
        (Body::Whole(_) | Body::Stream(_) | Body::Opaque { .. } | Body::NoRoom, _) => None,
    };
    let (operation, mut detected) = match decoded {
        Some(Ok(chat)) => (Operation::Chat(chat.facts), chat.detected),
        Some(Err(cause)) => {
            content.become_opaque(cause);
            (bare(content), BTreeSet::new())
        }
        None => (bare(content), BTreeSet::new()),
    };
    detected.extend(head::detect(&content.head, policy.detectors()));
    Facts { agent: conn.origin.agent.clone(), endpoint: endpoint.name.clone(), detected, operation }
}

async fn chat(bytes: &Bytes, policy: &Arc<Policy>) -> Result<ChatRequest, OpaqueCause> {
    if bytes.len() <= limits::INLINE_BODY_BYTES_MAX {
        return openai::decode_chat(bytes, policy.detectors());
    }
    let (bytes, policy) = (bytes.clone(), Arc::clone(policy));
    let decoded = runtime::heavy(move || openai::decode_chat(&bytes, policy.detectors())).await;
    // A body on which the codec breaks is one that it does not understand.
    decoded.unwrap_or(Err(OpaqueCause::Fields))
}

/// SECURITY: what a rule bounds is what would be sent, not what was looked at: the declared length, or no
/// bound at all where none is declared.
fn size(seen: &Bytes, rest: Option<&Incoming>) -> i64 {
    let rest = rest.map_or(Some(0), |rest| rest.size_hint().exact());
    let size = rest.and_then(|rest| rest.checked_add(seen.len() as u64));
    size.and_then(|size| i64::try_from(size).ok()).unwrap_or(i64::MAX)
}

/// What is known without a codec.
fn bare(content: &Content) -> Operation {
    let method = content.head.method.as_str().to_owned();
    let path = content.head.uri.path().to_owned();
    match &content.body {
        Body::Stream(stream) => http(content, !stream.is_end_stream()),
        Body::Whole(bytes) => http(content, !bytes.is_empty()),
        Body::NoRoom => {
            let cause = OpaqueCause::TooLarge;
            Operation::Opaque(Opaque { method, path, size: i64::MAX, cause })
        }
        Body::Opaque { cause, seen, rest } => {
            let size = size(seen, rest.as_ref());
            Operation::Opaque(Opaque { method, path, size, cause: *cause })
        }
    }
}

fn http(content: &Content, has_body: bool) -> Operation {
    let uri = &content.head.uri;
    Operation::Http(Http {
        method: content.head.method.as_str().to_owned(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        has_body,
    })
}
