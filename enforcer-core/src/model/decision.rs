// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a policy answers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{MaskName, PolicyVersion, RuleId};

/// Whether an exchange may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It may, under the obligations.
    Allow,
    /// It may not.
    Deny,
}

/// How much of an exchange is kept. The larger one wins a join.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordDepth {
    /// Facts and decision only.
    Facts,
    /// Facts, decision and both bodies, masked.
    #[default]
    Full,
}

/// What must be done with an allowed exchange. Obligations of all satisfied permits are added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obligations {
    /// Masks for what goes upstream.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub mask_request: BTreeSet<MaskName>,
    /// Masks for what comes back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub mask_response: BTreeSet<MaskName>,
    /// How much is kept.
    pub record: RecordDepth,
}

/// The answer for one exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// May it happen.
    pub effect: Effect,
    /// What has to be done when it does; empty on a denial.
    pub obligations: Obligations,
    /// The rules that decided: all satisfied permits, or all satisfied forbids. Empty: no rule permits it.
    pub because: Vec<RuleId>,
    /// Rules whose evaluation erred; any such rule denies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<RuleId>,
    /// What the operator says to the caller (`@message`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Which policy decided.
    pub policy: PolicyVersion,
}
