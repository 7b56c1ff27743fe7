// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a request to what the policy may know about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use enforcer_core::mask::DetectorSet;
use enforcer_core::model::{
    AgentName, DetectorName, EndpointName, Facts, Http, Opaque, OpaqueCause, Operation, limits,
};
use enforcer_core::policy::{Endpoint, Policy};
use enforcer_core::protocol::openai::{self, Route, Understood};
use hyper::body::{Body as _, Incoming};

use super::Conn;
use super::content::{Body, Content};
use super::head;
use crate::runtime;

/// Decodes the content; what its codec does not understand becomes opaque, in place. Detectors run only where
/// some rule of this agent could ask for them.
pub(super) async fn decode(
    content: &mut Content,
    conn: &Conn,
    endpoint: &Endpoint,
    policy: &Arc<Policy>,
) -> Facts {
    let scope = Scope { agent: conn.origin.agent.clone(), endpoint: endpoint.name.clone() };
    let decoded = match (&content.body, content.route) {
        (Body::Whole(bytes), Some(route)) if route.reads_body() => {
            Some(understood(route, bytes, &scope, policy).await)
        }
        (Body::Whole(_) | Body::Stream(_) | Body::Opaque { .. } | Body::NoRoom, _) => None,
    };
    let (operation, mut detected) = match decoded {
        Some(Ok(understood)) => (understood.operation, understood.detected),
        Some(Err(cause)) => {
            content.become_opaque(cause);
            (bare(content), BTreeSet::new())
        }
        None => (bare(content), BTreeSet::new()),
    };
    let (detectors, sought) = scope.detectors(policy, operation.action());
    detected.extend(head::detect(&content.head, detectors));
    let sought = sought.filter(|sought| sought.len() < policy.detector_names().len()).cloned();
    Facts { agent: scope.agent, endpoint: scope.endpoint, detected, sought, operation }
}

/// Whose rules are asked.
#[derive(Clone)]
struct Scope {
    agent: AgentName,
    endpoint: EndpointName,
}

impl Scope {
    /// What is looked for in a request with this action, and the names of that unless it is everything.
    fn detectors<'p>(
        &self,
        policy: &'p Policy,
        action: &str,
    ) -> (&'p DetectorSet, Option<&'p BTreeSet<DetectorName>>) {
        match policy.detectors_for(&self.agent, action, &self.endpoint) {
            Some((detectors, sought)) => (detectors, Some(sought)),
            None => (policy.detectors(), None),
        }
    }
}

async fn understood(
    route: Route,
    bytes: &Bytes,
    scope: &Scope,
    policy: &Arc<Policy>,
) -> Result<Understood, OpaqueCause> {
    if bytes.len() <= limits::INLINE_BODY_BYTES_MAX {
        return openai::decode(route, bytes, scope.detectors(policy, route.action()).0);
    }
    let (bytes, policy, scope) = (bytes.clone(), Arc::clone(policy), scope.clone());
    let decode = move || openai::decode(route, &bytes, scope.detectors(&policy, route.action()).0);
    // A body on which the codec breaks is one that it does not understand.
    runtime::heavy(decode).await.unwrap_or(Err(OpaqueCause::Fields))
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
        Body::Stream(stream) => {
            let size = size(&Bytes::new(), Some(stream));
            let by_head = content
                .route
                .and_then(|route| openai::understood_by_head(route, content.head.uri.path(), size));
            by_head.unwrap_or_else(|| http(content, !stream.is_end_stream()))
        }
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
