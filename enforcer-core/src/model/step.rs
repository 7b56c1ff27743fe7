// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The steps of the walk of a request at which it can be refused.

use serde::{Deserialize, Serialize};

/// The step at which a request was refused, in the order in which a request takes them; the last three can
/// refuse it anywhere on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Whose process opened the connection.
    Identity,
    /// Which endpoint the connection is for, and the TLS handshake with the client.
    Connection,
    /// What the request asks for, as the endpoint's protocol has it.
    Decode,
    /// What the rules of the bundle say about it.
    Rules,
    /// Whether every budget that the rules name has room for it.
    Budget,
    /// The credentials that the bundle puts in.
    Credential,
    /// Masking what goes to the provider.
    Mask,
    /// The people who have to approve it.
    Approval,
    /// The connection to the provider.
    Upstream,
    /// Reading and masking the answer of the provider.
    Answer,
    /// Writing the exchange down.
    Record,
    /// Limits of connections, sizes, memory and time.
    Limits,
    /// Enforcer itself: it ends, or it failed.
    Daemon,
}

impl Step {
    /// The step as it is written in JSON and shown to people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Connection => "connection",
            Self::Decode => "decode",
            Self::Rules => "rules",
            Self::Budget => "budget",
            Self::Credential => "credential",
            Self::Mask => "mask",
            Self::Approval => "approval",
            Self::Upstream => "upstream",
            Self::Answer => "answer",
            Self::Record => "record",
            Self::Limits => "limits",
            Self::Daemon => "daemon",
        }
    }
}
