// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is asked: who wants to send what. A [`Question`] is what lists show; [`Shown`] is all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use enforcer_core::model::{
    AgentName, ApprovalName, EndpointName, ExchangeId, Facts, SessionId, UnixMillis,
};
use serde::{Deserialize, Serialize};

/// Number of a question; never given twice on one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuestionId(pub u64);

impl std::fmt::Display for QuestionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What is asked, without the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The exchange that asked first.
    pub exchange: ExchangeId,
    /// Who wants it.
    pub agent: AgentName,
    /// Effective user id of the process that asked.
    pub uid: u32,
    /// Its session; what is granted to one is not granted to another.
    pub session: SessionId,
    /// Where to.
    pub endpoint: EndpointName,
    /// Host and port.
    pub host: String,
    /// Method, path and query, masked as in the record.
    pub request_line: String,
    /// What the policy saw, masked as in the record.
    pub facts: Facts,
    /// Headers that go out with it and that the digest covers, by name.
    pub headers: Vec<BoundHeader>,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// True if the masks of the bundle hide a part of the body from whoever is asked, and it is sent as it is.
    pub hides_content: bool,
    /// Keyed BLAKE3 of who asks and of everything that goes out, except headers that change from one try to
    /// the next. Another daemon has another key.
    pub digest: String,
    /// The approvals that it needs.
    pub needs: BTreeSet<ApprovalName>,
    /// Those that were given, and by whom.
    pub granted: BTreeMap<ApprovalName, String>,
    /// When it was asked.
    pub asked: UnixMillis,
    /// When it is gone.
    pub expires: UnixMillis,
}

/// A header that goes out. Its value is not shown: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundHeader {
    /// Its name, in lower case, masked as in the record.
    pub name: String,
    /// Equal values have equal fingerprints within one daemon; missing for an inserted credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// What is asked, with everything that goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What lists show.
    pub question: Question,
    /// The whole body, with everything masked that the bundle masks.
    pub body: Arc<str>,
}
