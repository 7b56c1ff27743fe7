// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a request to what the policy may know about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use enforcer_core::model::{Facts, Http, Opaque, OpaqueCause, Operation, limits};
use enforcer_core::policy::{Endpoint, Policy};
use enforcer_core::protocol::openai::{self, ChatRequest, Route};
use hyper::body::Body as _;

use super::Conn;
use super::content::{Body, Content};
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
        (Body::Whole(_) | Body::Stream(_) | Body::Opaque { .. }, _) => None,
    };
    let (operation, detected) = match decoded {
        Some(Ok(chat)) => (Operation::Chat(chat.facts), chat.detected),
        Some(Err(cause)) => {
            content.become_opaque(cause);
            (bare(content), BTreeSet::new())
        }
        None => (bare(content), BTreeSet::new()),
    };
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

/// What is known without a codec.
fn bare(content: &Content) -> Operation {
    let method = content.head.method.as_str().to_owned();
    let path = content.head.uri.path().to_owned();
    match &content.body {
        Body::Stream(_) | Body::Whole(_) => {
            let query = content.head.uri.query().unwrap_or_default().to_owned();
            let has_body = match &content.body {
                Body::Stream(body) => !body.is_end_stream(),
                Body::Whole(bytes) => !bytes.is_empty(),
                Body::Opaque { .. } => true,
            };
            Operation::Http(Http { method, path, query, has_body })
        }
        Body::Opaque { cause, seen, .. } => {
            let size = i64::try_from(seen.len()).unwrap_or(i64::MAX);
            Operation::Opaque(Opaque { method, path, size, cause: *cause })
        }
    }
}
