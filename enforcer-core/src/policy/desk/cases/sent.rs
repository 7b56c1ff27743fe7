// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the provider would receive of a raw request: its body behind the masks that the decision asks for.

use crate::facts::readable;
use crate::model::{Decision, Effect};
use crate::protocol::codec;

use super::super::super::decide::policy::Policy;
use super::super::super::load::inventory::Endpoint;
use super::outcome::Mismatch;
use super::request::Request;

/// Texts that the body of a request has or lacks as it would be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) contains: Vec<String>,
    pub(super) lacks: Vec<String>,
}

impl Sent {
    /// Key of the texts that have to be there.
    pub(super) const CONTAINS: &'static str = "sent_contains";
    /// Key of the texts that must not be there.
    pub(super) const LACKS: &'static str = "sent_lacks";

    pub(super) const fn is_empty(&self) -> bool {
        self.contains.is_empty() && self.lacks.is_empty()
    }

    /// What is not as expected. What is not sent meets no expectation, not even that something is lacking.
    pub(super) fn compare(&self, sent: &Result<String, &'static str>) -> Vec<Mismatch> {
        let texts = self.contains.iter().map(|text| (Self::CONTAINS, text, true));
        let texts = texts.chain(self.lacks.iter().map(|text| (Self::LACKS, text, false)));
        let differs = |(what, text, is_wanted): (&'static str, &String, bool)| {
            let found = match sent {
                Ok(body) if body.contains(text) == is_wanted => return None,
                Ok(body) => body.clone(),
                Err(why) => format!("nothing, since {why}"),
            };
            Some(Mismatch { what, expected: text.clone(), found })
        };
        texts.filter_map(differs).collect()
    }
}

/// The body that would be sent, or why nothing is.
pub(super) fn body(
    policy: &Policy,
    endpoint: &Endpoint,
    request: &Request,
    decision: &Decision,
) -> Result<String, &'static str> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if decision.effect == Effect::Deny {
        return Err("the request is denied");
    }
    let masks = &decision.obligations.mask_request;
    if masks.is_empty() {
        return Ok(text(&request.body));
    }
    let (masker, head) = (policy.masker(masks), request.head());
    if head.touched(&masker).is_some() {
        return Err("what has to be masked is in the path, the query or a header");
    }
    let Some((route, body)) = readable(endpoint.protocol, &head, &request.body) else {
        return Err("the body has to be masked and is not understood");
    };
    match codec::mask_request(Some(route), &body, &masker) {
        Ok(masked) => Ok(text(&masked.bytes)),
        Err(_cause) => Err("the body has to be masked and is not understood"),
    }
}
