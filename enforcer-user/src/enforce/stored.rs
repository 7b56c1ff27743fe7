// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What of a request is stored, and why not all of it where that is so. It never waits for more of the request
//! than was read to judge it. Errs to storing less.

use enforcer_core::mask::Masker;
use enforcer_core::model::{AgentName, Facts, Fault, OpaqueCause, limits};
use enforcer_core::protocol::codec;
use enforcer_core::record::{BodyRef, RecordedFacts, Spent, Unstored};
use hyper::body::Body as _;

use super::Enforcer;
use super::content::{Body, Content};
use crate::runtime;
use crate::store::{Error, Journal};

/// The body of a request as it is stored, or why it is not.
pub(super) type Stored = (Option<BodyRef>, Option<Unstored>);

/// Makes the body of a request durable, masked, as far as it is there. What passes later is stored then.
pub(super) async fn request(
    journal: &Journal,
    agent: &AgentName,
    content: &Content,
    is_denied: bool,
    everything: &Masker,
) -> Result<Stored, Error> {
    let is_small = content.least_bytes() <= limits::DENIED_BODY_STORED_BYTES_MAX as u64;
    let bytes = match &content.body {
        Body::Whole(bytes) if bytes.is_empty() => return Ok((None, None)),
        Body::Whole(bytes) => bytes,
        Body::Stream(stream) if stream.is_end_stream() => return Ok((None, None)),
        Body::Opaque { why, .. } if is_denied && is_small && is_unreadable(why.cause) => {
            return Ok((None, Some(Unstored::Unreadable)));
        }
        Body::NoRoom | Body::Opaque { .. } | Body::Stream(_) => {
            return Ok((None, is_denied.then_some(Unstored::Denied)));
        }
    };
    if is_denied && bytes.len() > limits::DENIED_BODY_STORED_BYTES_MAX {
        return Ok((None, Some(Unstored::Denied)));
    }
    if !journal.may_store(agent, bytes.len() as u64) {
        return Ok((None, Some(Unstored::AgentBound)));
    }
    let masked = if bytes.len() <= limits::INLINE_BODY_BYTES_MAX {
        Ok(codec::mask_request(content.route, bytes, everything))
    } else {
        let (route, bytes, masker) = (content.route, bytes.clone(), everything.clone());
        runtime::heavy(move || codec::mask_request(route, &bytes, &masker)).await
    };
    let Ok(Ok(masked)) = masked else { return Ok((None, Some(Unstored::Unreadable))) };
    let mut writer = journal.body_async();
    writer.write(&masked.bytes).await?;
    Ok((Some(writer.finish().await?), None))
}

/// Whether a body that is opaque for this reason could not be read, so that nothing in it could be masked. One that is
/// too large, or did not come whole, was not read.
const fn is_unreadable(cause: OpaqueCause) -> bool {
    match cause {
        OpaqueCause::Encoding | OpaqueCause::Fields | OpaqueCause::NotJson | OpaqueCause::Query => {
            true
        }
        OpaqueCause::TooLarge | OpaqueCause::Truncated => false,
    }
}

/// The facts for the record; true if their texts had to be cut.
pub(super) fn facts(
    journal: &Journal,
    agent: &AgentName,
    facts: Facts,
    everything: &Masker,
) -> (RecordedFacts, bool) {
    let facts = RecordedFacts::of(facts, everything);
    let bytes = facts.text_bytes();
    if bytes <= limits::RECORDED_FACTS_BYTES_MAX || journal.may_store(agent, bytes as u64) {
        return (facts, false);
    }
    (facts.cut_to(limits::RECORDED_FACTS_BYTES_MAX), true)
}

/// Says in the alarms which agents have stored as much as they may, and when that is over.
pub fn look_at_spent(cx: &Enforcer) {
    let spent = cx.journal.spent();
    if spent.is_empty() {
        return cx.alarms.clear(Fault::Unstored);
    }
    let each = spent.iter().map(|Spent { agent, unstored }| {
        let who = agent.as_ref().map_or_else(|| "others".to_owned(), |name| format!("`{name}`"));
        format!("{} MiB of {who}", unstored.div_ceil(1024 * 1024))
    });
    let most = limits::STORED_BYTES_OF_AGENT_MAX / 1024 / 1024;
    let hours = limits::STORED_BYTES_WINDOW.as_secs().div_ceil(3600);
    let each = each.collect::<Vec<_>>().join(", ");
    cx.alarms.raise(
        Fault::Unstored,
        format!("not stored: {each}; an agent may store {most} MiB in {hours} h"),
    );
}
