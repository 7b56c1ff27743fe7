// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Masking of what goes upstream. What has to be masked and cannot be is refused.

use bytes::Bytes;
use enforcer_core::facts::Place;
use enforcer_core::model::{DenyReason, Obligations, OpaqueCause, limits};
use enforcer_core::policy::Policy;
use enforcer_core::protocol::codec;
use enforcer_core::record::{Cause, Recorded};

use super::content::{Body, Content};
use super::refusal::Refusal;
use super::{buffers, head};
use crate::runtime;

/// Why a body cannot be masked that no codec reads, for the agent.
const NOT_READ: &str = "this kind of request has no body that can be masked at this endpoint";

/// Masks the request in place.
pub(super) async fn request(
    content: &mut Content,
    policy: &Policy,
    obligations: &Obligations,
) -> Result<(), Refusal> {
    let masker = policy.masker(&obligations.mask_request);
    let unmaskable = |why| Refusal::of_body(DenyReason::RequestUndecodable, why, policy);
    if let Body::Opaque { why, .. } = &content.body
        && why.cause == OpaqueCause::Truncated
    {
        // Its end never came: there is nothing whole to send.
        return Err(Refusal::of_body(DenyReason::ProtocolError, why.clone(), policy));
    }
    if masker.is_empty() && obligations.mask_request.is_empty() {
        return Ok(());
    }
    if let Some(place) = head::of(&content.head).touched(&masker) {
        return Err(in_head(place, policy));
    }
    match &content.body {
        Body::NoRoom => Err(buffers::no_memory()),
        Body::Opaque { why, .. } => Err(unmaskable(why.clone())),
        Body::Stream(_) => {
            let cause = Cause::Body { opaque: None, detail: None };
            Err(Refusal::of(DenyReason::RequestUndecodable, cause).message(NOT_READ))
        }
        Body::Whole(bytes) => {
            let masked = if bytes.len() <= limits::INLINE_BODY_BYTES_MAX {
                Ok(codec::mask_request(content.route, bytes, &masker))
            } else {
                let (route, bytes) = (content.route, bytes.clone());
                runtime::heavy(move || codec::mask_request(route, &bytes, &masker)).await
            };
            let Ok(Ok(masked)) = masked else { return Err(unmaskable(OpaqueCause::Fields.into())) };
            content.masked = masked.count;
            content.body = Body::Whole(Bytes::from(masked.bytes));
            Ok(())
        }
    }
}

/// The agent chose the header's name, so it is masked and short, for the agent as for the record.
fn in_head(place: Place<'_>, policy: &Policy) -> Refusal {
    let (cause, message) = match place {
        Place::Header(name) => {
            let name: String = name.chars().take(limits::HEADER_NAME_SHOWN_CHARS).collect();
            let name = Recorded::of(&name, &policy.masker_of_everything());
            let message =
                format!("the text in the header `{name}` cannot be masked there; remove it");
            (Cause::Header { name }, message)
        }
        Place::Line => {
            let message = "the text in the path or the query cannot be masked there; remove it";
            (Cause::RequestLine {}, message.to_owned())
        }
    };
    Refusal::of(DenyReason::RequestUndecodable, cause).message(message)
}
