// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a request to what the policy may know about it; what that is, the core says.

use std::sync::Arc;

use bytes::Bytes;
use enforcer_core::facts::{self, Scope, assemble};
use enforcer_core::model::{Facts, OpaqueCause, WhyOpaque, limits};
use enforcer_core::policy::{Endpoint, Policy};
use enforcer_core::protocol::codec::{Route, Understood};
use hyper::Uri;
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
    let scope = Scope { agent: &conn.origin.agent, endpoint, policy };
    let decoded = match (&content.body, content.route) {
        (Body::Whole(bytes), Some(route)) if route.reads_body() => {
            Some(understand(scope, route, &content.head.uri, bytes, policy).await)
        }
        (Body::Whole(_) | Body::Stream(_) | Body::Opaque { .. } | Body::NoRoom, _) => None,
    };
    let body = match decoded {
        Some(Ok(understood)) => facts::Body::Understood(Box::new(understood)),
        Some(Err(why)) => {
            content.become_opaque(why);
            bare(content)
        }
        None => bare(content),
    };
    assemble(&scope, &head::of(&content.head), body)
}

async fn understand(
    scope: Scope<'_>,
    route: Route,
    uri: &Uri,
    bytes: &Bytes,
    policy: &Arc<Policy>,
) -> Result<Understood, WhyOpaque> {
    if bytes.len() <= limits::INLINE_BODY_BYTES_MAX {
        return facts::decode(&scope, route, uri.path(), uri.query().unwrap_or_default(), bytes);
    }
    let (uri, bytes, policy) = (uri.clone(), bytes.clone(), Arc::clone(policy));
    let (agent, endpoint) = (scope.agent.clone(), scope.endpoint.clone());
    let decode = move || {
        let scope = Scope { agent: &agent, endpoint: &endpoint, policy: &policy };
        facts::decode(&scope, route, uri.path(), uri.query().unwrap_or_default(), &bytes)
    };
    // A body on which the codec breaks is one that it does not understand.
    runtime::heavy(decode).await.unwrap_or_else(|_panicked| Err(OpaqueCause::Fields.into()))
}

/// SECURITY: what a rule bounds is what would be sent, not what was looked at: the declared length, or no
/// bound at all where none is declared.
fn size(seen: &Bytes, rest: Option<&Incoming>) -> i64 {
    let rest = rest.map_or(Some(0), |rest| rest.size_hint().exact());
    let size = rest.and_then(|rest| rest.checked_add(seen.len() as u64));
    size.and_then(|size| i64::try_from(size).ok()).unwrap_or(i64::MAX)
}

/// What is known without a codec.
fn bare(content: &Content) -> facts::Body {
    let unread = |has_body, size| facts::Body::Unread { route: content.route, has_body, size };
    match &content.body {
        Body::Stream(stream) => unread(!stream.is_end_stream(), size(&Bytes::new(), Some(stream))),
        Body::Whole(bytes) => unread(!bytes.is_empty(), size(bytes, None)),
        Body::NoRoom => facts::Body::Opaque { why: OpaqueCause::TooLarge.into(), size: i64::MAX },
        Body::Opaque { why, seen, rest } => {
            facts::Body::Opaque { why: why.clone(), size: size(seen, rest.as_ref()) }
        }
    }
}
