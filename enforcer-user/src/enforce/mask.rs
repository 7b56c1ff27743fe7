// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Masking of what goes upstream. What has to be masked and cannot be is refused.

use bytes::Bytes;
use enforcer_core::model::{Denied, DenyReason, Obligations, OpaqueCause, limits};
use enforcer_core::policy::Policy;
use enforcer_core::protocol::codec;

use super::content::{Body, Content};
use super::head;
use crate::runtime;

/// Masks the request in place.
pub(super) async fn request(
    content: &mut Content,
    policy: &Policy,
    obligations: &Obligations,
) -> Result<(), Denied> {
    let masker = policy.masker(&obligations.mask_request);
    match &content.body {
        // Its end never came: there is nothing whole to send.
        Body::Opaque { cause: OpaqueCause::Truncated, .. } => {
            Err(Denied::because(DenyReason::ProtocolError))
        }
        _ if masker.is_empty() && obligations.mask_request.is_empty() => Ok(()),
        Body::NoRoom => Err(Denied::because(DenyReason::Limit)),
        _ if head::of(&content.head).is_touched(&masker) => {
            Err(Denied::because(DenyReason::RequestUndecodable))
        }
        Body::Opaque { .. } | Body::Stream(_) => {
            Err(Denied::because(DenyReason::RequestUndecodable))
        }
        Body::Whole(bytes) => {
            let masked = if bytes.len() <= limits::INLINE_BODY_BYTES_MAX {
                Ok(codec::mask_request(bytes, &masker))
            } else {
                let bytes = bytes.clone();
                runtime::heavy(move || codec::mask_request(&bytes, &masker)).await
            };
            let Ok(Ok(masked)) = masked else {
                return Err(Denied::because(DenyReason::RequestUndecodable));
            };
            content.masked = masked.count;
            content.body = Body::Whole(Bytes::from(masked.bytes));
            Ok(())
        }
    }
}
