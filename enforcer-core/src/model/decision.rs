// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a policy answers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    ApprovalName, BudgetName, CredentialName, Denied, DenyReason, MaskName, PolicyVersion, RuleId,
};

/// Whether an exchange may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It may, under the obligations.
    Allow,
    /// It may not.
    Deny,
}

/// What becomes of decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They are carried out.
    #[default]
    Enforce,
    /// They are recorded only; what is sent on is not changed.
    Observe,
}

/// How much of an exchange is kept. If several apply, `full` wins. Facts, decision and outcome are always
/// kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordDepth {
    /// Facts and decision only.
    Facts,
    /// Facts, decision and both bodies, masked.
    #[default]
    Full,
}

/// What must be done with an allowed exchange. Obligations of all matching permits are added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obligations {
    /// Masks for what goes upstream.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub mask_request: BTreeSet<MaskName>,
    /// Masks for what comes back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub mask_response: BTreeSet<MaskName>,
    /// Approvals by people; each of them is needed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub approvals: BTreeSet<ApprovalName>,
    /// Budgets that are charged; each of them must have room.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub budgets: BTreeSet<BudgetName>,
    /// Credentials that are put in. Two for one header cannot both be carried out, which refuses.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub credentials: BTreeSet<CredentialName>,
    /// How much is kept.
    pub record: RecordDepth,
}

impl RecordDepth {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Facts, Self::Full];

    /// The word that stands in bundles.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Facts => "facts",
            Self::Full => "full",
        }
    }

    /// What that word means.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|depth| depth.as_str() == name)
    }
}

impl Obligations {
    /// What owes nothing: the join of no permits.
    #[must_use]
    pub fn none() -> Self {
        Self::keeping(RecordDepth::Facts)
    }

    /// What owes nothing but that so much is kept.
    #[must_use]
    pub fn keeping(record: RecordDepth) -> Self {
        Self { record, ..Self::default() }
    }

    /// The join of the lattice: what either demands is demanded. Commutative, associative and idempotent.
    #[must_use]
    pub fn join(mut self, other: &Self) -> Self {
        self.mask_request.extend(other.mask_request.iter().cloned());
        self.mask_response.extend(other.mask_response.iter().cloned());
        self.approvals.extend(other.approvals.iter().cloned());
        self.budgets.extend(other.budgets.iter().cloned());
        self.credentials.extend(other.credentials.iter().cloned());
        self.record = self.record.max(other.record);
        self
    }

    /// What is demanded here and not there; how much is kept is left out.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        Self {
            mask_request: self.mask_request.difference(&other.mask_request).cloned().collect(),
            mask_response: self.mask_response.difference(&other.mask_response).cloned().collect(),
            approvals: self.approvals.difference(&other.approvals).cloned().collect(),
            budgets: self.budgets.difference(&other.budgets).cloned().collect(),
            credentials: self.credentials.difference(&other.credentials).cloned().collect(),
            ..Self::none()
        }
    }

    /// The order of the lattice: whether everything that `other` demands is demanded here.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.mask_request.is_superset(&other.mask_request)
            && self.mask_response.is_superset(&other.mask_response)
            && self.approvals.is_superset(&other.approvals)
            && self.budgets.is_superset(&other.budgets)
            && self.credentials.is_superset(&other.credentials)
            && self.record >= other.record
    }
}

impl Mode {
    /// True if decisions are carried out.
    #[must_use]
    pub fn is_enforce(&self) -> bool {
        *self == Self::Enforce
    }
}

/// What would be decided under other circumstances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Would {
    /// May it happen.
    pub effect: Effect,
    /// What would have to be done.
    pub obligations: Obligations,
}

/// The answer for one exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// May it happen.
    pub effect: Effect,
    /// What has to be done when it does. Of a denial only how much is kept.
    pub obligations: Obligations,
    /// The rules that decided: all matching permits, or all matching forbids. Empty: no rule permits it.
    pub because: Vec<RuleId>,
    /// Rules whose evaluation failed; any such rule denies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<RuleId>,
    /// Rules in observe mode that would have decided otherwise or with more obligations; they decided nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<RuleId>,
    /// What would be decided if the rules in `observed` counted; missing if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would: Option<Box<Would>>,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Mode::is_enforce")]
    pub mode: Mode,
    /// What the operator says to the caller: the `@message`s of all rules that deny.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Which policy decided.
    pub policy: PolicyVersion,
}

impl Decision {
    /// What is not done because the bundle or some rules observe: the effect that would hold if nothing only
    /// observed, and the obligations that would come on top; none where everything is done.
    #[must_use]
    pub fn undone(&self) -> Option<Would> {
        let decided = || Would { effect: self.effect, obligations: self.obligations.clone() };
        let full = self.would.as_deref().cloned().unwrap_or_else(decided);
        let done = if self.is_refusal() { Effect::Deny } else { Effect::Allow };
        let beyond = match full.effect {
            Effect::Allow => full.obligations.beyond(&self.owed()),
            Effect::Deny => Obligations::none(),
        };
        let is_done = full.effect == done && beyond == Obligations::none();
        (!is_done).then_some(Would { effect: full.effect, obligations: beyond })
    }

    /// Whether it would be denied, and is not, because the bundle or some rules only observe.
    #[must_use]
    pub fn would_deny(&self) -> bool {
        self.undone().is_some_and(|undone| undone.effect == Effect::Deny)
    }

    /// The rules by which [`Self::undone`] would be so; empty where no rule would permit it.
    #[must_use]
    pub fn undone_by(&self) -> &[RuleId] {
        if self.would.is_some() { &self.observed } else { &self.because }
    }

    /// Whether the exchange is refused: a denial that is carried out.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.effect == Effect::Deny && self.mode == Mode::Enforce
    }

    /// The refusal that an agent receives for it: with the rules that deny and those that could not be evaluated; with
    /// none if no rule permits.
    #[must_use]
    pub fn denied(&self) -> Denied {
        let rules = [self.because.as_slice(), self.errors.as_slice()].concat();
        Denied { reason: DenyReason::Policy, rules, message: self.message.clone() }
    }

    /// What has to be carried out. Nothing but the record in observe mode.
    #[must_use]
    pub fn owed(&self) -> Obligations {
        match self.mode {
            Mode::Enforce => self.obligations.clone(),
            Mode::Observe => Obligations::keeping(self.obligations.record),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, proptest};

    use super::*;

    fn obligations() -> impl Strategy<Value = Obligations> {
        let names = || proptest::collection::btree_set("[a-c]", 0..3);
        (names(), names(), names(), names(), names(), any::<bool>()).prop_map(
            |(request, response, approvals, budgets, credentials, full)| Obligations {
                mask_request: request.into_iter().map(MaskName::new).collect(),
                mask_response: response.into_iter().map(MaskName::new).collect(),
                approvals: approvals.into_iter().map(ApprovalName::new).collect(),
                budgets: budgets.into_iter().map(BudgetName::new).collect(),
                credentials: credentials.into_iter().map(CredentialName::new).collect(),
                record: if full { RecordDepth::Full } else { RecordDepth::Facts },
            },
        )
    }

    proptest! {
        #[test]
        fn the_join_is_that_of_a_lattice(a in obligations(), b in obligations(), c in obligations()) {
            let join = |left: &Obligations, right: &Obligations| left.clone().join(right);
            assert_eq!(join(&a, &b), join(&b, &a), "commutative");
            assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)), "associative");
            assert_eq!(join(&a, &a), a, "idempotent");
            assert_eq!(join(&a, &Obligations::none()), a, "none is the bottom");
            assert!(join(&a, &b).includes(&a) && join(&a, &b).includes(&b), "an upper bound");
            if c.includes(&a) && c.includes(&b) {
                assert!(c.includes(&join(&a, &b)), "the least one");
            }
            assert_eq!(a.includes(&b), join(&a, &b) == a, "order and join agree");
            let rest = a.beyond(&b);
            assert!(a.includes(&rest) && join(&rest, &b).includes(&a.beyond(&Obligations::none())));
        }
    }

    fn decision(effect: Effect, mode: Mode, would: Option<Effect>) -> Decision {
        let approvals =
            || Obligations { approvals: [ApprovalName::new("lead")].into(), ..Obligations::none() };
        let would = would.map(|effect| Box::new(Would { effect, obligations: approvals() }));
        Decision {
            effect,
            obligations: Obligations::none(),
            because: vec![],
            errors: vec![],
            observed: vec![],
            would,
            mode,
            message: None,
            policy: PolicyVersion::new("v"),
        }
    }

    #[test]
    fn what_is_only_observed_is_what_would_be_done_beyond_what_is_done() {
        use Effect::{Allow, Deny};
        use Mode::{Enforce, Observe};
        for (decision, undone, would_deny) in [
            (decision(Allow, Enforce, None), None, false),
            (decision(Deny, Enforce, None), None, false),
            (decision(Allow, Observe, None), None, false),
            (decision(Deny, Observe, None), Some((Deny, 0)), true),
            (decision(Allow, Enforce, Some(Deny)), Some((Deny, 0)), true),
            (decision(Allow, Enforce, Some(Allow)), Some((Allow, 1)), false),
            (decision(Deny, Enforce, Some(Deny)), None, false),
            (decision(Deny, Enforce, Some(Allow)), Some((Allow, 1)), false),
            (decision(Allow, Observe, Some(Allow)), Some((Allow, 1)), false),
        ] {
            let found = decision.undone();
            let found = found.map(|would| (would.effect, would.obligations.approvals.len()));
            assert_eq!(found, undone, "{decision:?}");
            assert_eq!(decision.would_deny(), would_deny, "{decision:?}");
        }
    }
}
