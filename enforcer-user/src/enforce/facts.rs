// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a request to what the policy may know about it.

use std::collections::BTreeSet;

use bytes::Bytes;
use enforcer_core::model::{Facts, Http, Opaque, OpaqueCause, Operation};
use enforcer_core::policy::{Endpoint, Policy};
use enforcer_core::protocol::openai;

use super::Conn;
use super::content::{Body, Content};

/// Decodes the content; what its codec does not understand becomes opaque, in place.
pub(super) fn decode(
    content: &mut Content,
    conn: &Conn,
    endpoint: &Endpoint,
    policy: &Policy,
) -> Facts {
    let (operation, detected) = operation(content, policy);
    Facts { agent: conn.origin.agent.clone(), endpoint: endpoint.name.clone(), detected, operation }
}

fn operation(
    content: &mut Content,
    policy: &Policy,
) -> (Operation, BTreeSet<enforcer_core::model::DetectorName>) {
    let method = content.head.method.as_str().to_owned();
    let path = content.head.uri.path().to_owned();
    let opaque = |size: usize, cause: OpaqueCause| {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let opaque = Opaque { method: method.clone(), path: path.clone(), size, cause };
        (Operation::Opaque(opaque), BTreeSet::new())
    };
    match (&content.body, content.route) {
        (Body::Stream(_), _) | (Body::Whole(_), None) => {
            (Operation::Http(Http { method, path }), BTreeSet::new())
        }
        (Body::Opaque { cause, seen, .. }, _) => opaque(seen.len(), *cause),
        (Body::Whole(bytes), Some(openai::Route::Chat)) => {
            match openai::decode_chat(bytes, policy.detectors()) {
                Ok(chat) => (Operation::Chat(chat.facts), chat.detected),
                Err(cause) => {
                    let seen: Bytes = bytes.clone();
                    let found = opaque(seen.len(), cause);
                    content.body = Body::Opaque { cause, seen, rest: None };
                    found
                }
            }
        }
    }
}
