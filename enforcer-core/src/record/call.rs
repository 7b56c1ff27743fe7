// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tool calls of an answer, as they are written down.

use serde::{Deserialize, Serialize};

use super::Recorded;
use crate::mask::Masker;
use crate::model::{DenyReason, RuleId, ToolKind};
use crate::protocol::codec::{JudgedCall, Outcome};

/// A call of a tool that the model asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedCall {
    /// Name of the tool.
    pub name: Recorded,
    /// What kind of tool it is.
    pub kind: ToolKind,
    /// Label of the MCP server that has it; missing if it belongs to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Recorded>,
    /// What was decided.
    pub verdict: CallVerdict,
    /// Why it was denied; missing otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DenyReason>,
    /// The rules that decided; none if it was allowed because no rule denies it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleId>,
    /// The arguments, if texts of the exchange are kept; the middle of a long text is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Recorded>,
}

/// What was decided about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallVerdict {
    /// The agent got it.
    Allow,
    /// A refusal stood in its place.
    Deny,
    /// The agent got it, because the bundle or the rule only observes.
    WouldDeny,
}

impl RecordedCall {
    /// A call without what the masker finds in it; its arguments only if texts are kept.
    #[must_use]
    pub fn of(judged: &JudgedCall, masker: &Masker, keeps_texts: bool) -> Self {
        let JudgedCall { call, outcome } = judged;
        let recorded = |text: &str| Recorded::of(text, masker);
        let denied = judged.denied();
        let (verdict, rules) = match (&denied, outcome) {
            (Some(denied), _) => (CallVerdict::Deny, denied.rules.clone()),
            (None, Outcome::Decided(decision)) if decision.would_deny() => {
                (CallVerdict::WouldDeny, decision.undone_by().to_vec())
            }
            (None, Outcome::Decided(decision)) => (CallVerdict::Allow, decision.because.clone()),
            (None, Outcome::TooMuch) => (CallVerdict::Allow, Vec::new()),
        };
        Self {
            name: recorded(&call.name),
            kind: call.kind,
            server: (!call.server.is_empty()).then(|| recorded(&call.server)),
            verdict,
            reason: denied.map(|denied| denied.reason),
            rules,
            arguments: keeps_texts.then(|| recorded(&call.arguments)),
        }
    }
}
