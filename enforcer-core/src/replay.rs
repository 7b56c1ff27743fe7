// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Events and another policy: what it would have decided.
//!
//! Judges the facts as they were recorded, with the evaluator of the data path. It does not read bodies:
//! what no detector looked for then is not in the facts, and an exchange about which the other policy asks
//! for it is counted as undetermined, as is one whose facts are not whole, or of which the policy reads a fact that
//! the record hides a part of. An exchange refused for another reason than the
//! policy is judged by its decision only.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::limits::REPLAY_DIFFERENCES_MAX;
use crate::model::{
    Decision, Effect, ExchangeId, Facts, MaskName, Obligations, RecordDepth, UnixMillis,
};
use crate::record::{Event, EventBody, ExchangeOpened};

/// What another policy would have decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Exchanges judged, and those that could not be.
    pub exchanges: u64,
    /// Exchanges that could not be judged: the other policy asks for what nobody looked for then, or for a fact of
    /// which a part is hidden in the record, or not all of the facts was recorded.
    #[serde(default)]
    pub undetermined: u64,
    /// Exchanges that were allowed and would be denied.
    pub allow_to_deny: u64,
    /// Exchanges that were denied and would be allowed.
    pub deny_to_allow: u64,
    /// Exchanges that stay allowed, with other obligations.
    pub obligations_changed: u64,
    /// The exchanges that change, in the order of the events; at most [`REPLAY_DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
}

impl Report {
    /// Exchanges that change.
    #[must_use]
    pub const fn changed(&self) -> u64 {
        self.allow_to_deny + self.deny_to_allow + self.obligations_changed
    }
}

/// An exchange that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its id.
    pub exchange: ExchangeId,
    /// When it was judged.
    pub at: UnixMillis,
    /// Method and path as sent.
    pub request_line: String,
    /// What both policies saw.
    pub facts: Facts,
    /// What changes.
    pub changes: Vec<Change>,
    /// What was decided.
    pub recorded: Decision,
    /// What would have been decided.
    pub replayed: Decision,
}

/// What changes about an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It would be denied.
    AllowToDeny,
    /// It would be allowed.
    DenyToAllow,
    /// What goes upstream would be masked with this as well.
    RequestMaskGained(MaskName),
    /// What goes upstream would not be masked with this any more.
    RequestMaskLost(MaskName),
    /// What comes back would be masked with this as well.
    ResponseMaskGained(MaskName),
    /// What comes back would not be masked with this any more.
    ResponseMaskLost(MaskName),
    /// It would be under this obligation as well.
    ObligationGained(String),
    /// It would not be under this obligation any more.
    ObligationLost(String),
    /// More or less of it would be kept.
    Record {
        /// How much was kept.
        from: RecordDepth,
        /// How much would be kept.
        to: RecordDepth,
    },
}

/// Judges all exchanges among `events` by `decide`, which is the other policy; it says nothing about facts
/// that it cannot judge.
pub fn replay<'a>(
    events: impl IntoIterator<Item = &'a Event>,
    decide: impl FnMut(&Facts) -> Option<Decision>,
) -> Report {
    let mut replay = Replay::new(decide);
    for event in events {
        replay.push(event);
    }
    replay.finish()
}

/// A replay that takes events one by one.
#[derive(Debug)]
pub struct Replay<F> {
    decide: F,
    report: Report,
}

impl<F: FnMut(&Facts) -> Option<Decision>> Replay<F> {
    /// A replay against the policy that `decide` is.
    pub fn new(decide: F) -> Self {
        Self { decide, report: Report::default() }
    }

    /// Judges the next event, if an exchange was judged in it.
    pub fn push(&mut self, event: &Event) {
        if let EventBody::ExchangeOpened(opened) = &event.body {
            self.judge(event.at, opened);
        }
    }

    /// What was found.
    #[must_use]
    pub fn finish(self) -> Report {
        self.report
    }

    fn judge(&mut self, at: UnixMillis, opened: &ExchangeOpened) {
        self.report.exchanges += 1;
        let judged = if opened.facts_cut { None } else { (self.decide)(&opened.facts) };
        let Some(replayed) = judged else {
            self.report.undetermined += 1;
            return;
        };
        let changes = changes(&opened.decision, &replayed);
        match changes.first() {
            None => return,
            Some(Change::AllowToDeny) => self.report.allow_to_deny += 1,
            Some(Change::DenyToAllow) => self.report.deny_to_allow += 1,
            Some(_) => self.report.obligations_changed += 1,
        }
        if self.report.differences.len() < REPLAY_DIFFERENCES_MAX {
            self.report.differences.push(Difference {
                exchange: opened.exchange,
                at,
                request_line: opened.request_line.as_str().to_owned(),
                facts: opened.facts.clone().into_facts(),
                changes,
                recorded: opened.decision.clone(),
                replayed,
            });
        }
    }
}

/// What the caller, or what is kept, would notice. The rules that decide may differ without that.
#[must_use]
pub fn changes(recorded: &Decision, replayed: &Decision) -> Vec<Change> {
    match (recorded.effect, replayed.effect) {
        (Effect::Allow, Effect::Deny) => vec![Change::AllowToDeny],
        (Effect::Deny, Effect::Allow) => vec![Change::DenyToAllow],
        (Effect::Deny, Effect::Deny) => Vec::new(),
        (Effect::Allow, Effect::Allow) => obligation_changes(recorded, replayed),
    }
}

fn obligation_changes(recorded: &Decision, replayed: &Decision) -> Vec<Change> {
    let (before, after) = (&recorded.obligations, &replayed.obligations);
    let lost = before.mask_request.difference(&after.mask_request);
    let mut changes: Vec<_> = lost.cloned().map(Change::RequestMaskLost).collect();
    let gained = after.mask_request.difference(&before.mask_request);
    changes.extend(gained.cloned().map(Change::RequestMaskGained));
    let lost = before.mask_response.difference(&after.mask_response);
    changes.extend(lost.cloned().map(Change::ResponseMaskLost));
    let gained = after.mask_response.difference(&before.mask_response);
    changes.extend(gained.cloned().map(Change::ResponseMaskGained));
    let other = |obligations: &Obligations| -> BTreeSet<String> {
        let approvals = obligations.approvals.iter().map(|name| format!("approval {name}"));
        let budgets = obligations.budgets.iter().map(|name| format!("budget {name}"));
        let credentials = obligations.credentials.iter().map(|name| format!("credential {name}"));
        approvals.chain(budgets).chain(credentials).collect()
    };
    let (old, new) = (other(before), other(after));
    changes.extend(old.difference(&new).cloned().map(Change::ObligationLost));
    changes.extend(new.difference(&old).cloned().map(Change::ObligationGained));
    if before.record != after.record {
        changes.push(Change::Record { from: before.record, to: after.record });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Masker;
    use crate::model::{
        AgentName, BudgetName, EndpointName, Http, Mode, Operation, PolicyVersion, RuleId,
        SessionId,
    };
    use crate::record::{Process, Recorded, RecordedFacts};

    fn decision(effect: Effect, request: &[&str], response: &[&str]) -> Decision {
        let masks = |names: &[&str]| names.iter().map(|name| MaskName::new(*name)).collect();
        Decision {
            effect,
            obligations: Obligations {
                mask_request: masks(request),
                mask_response: masks(response),
                record: RecordDepth::Full,
                ..Obligations::default()
            },
            observed: vec![],
            would: None,
            mode: Mode::Enforce,
            because: vec![RuleId::new("r")],
            errors: vec![],
            message: None,
            policy: PolicyVersion::new("v"),
        }
    }

    fn event(number: u64, path: &str, decision: Decision) -> Event {
        let session = SessionId::from_u64(1);
        let masker = Masker::new(Vec::new()).unwrap();
        let facts = Facts {
            agent: AgentName::new("a"),
            endpoint: EndpointName::new("e"),
            detected: BTreeSet::new(),
            sought: None,
            calls: Vec::new(),
            hidden: Default::default(),
            operation: Operation::Http(Http {
                method: "GET".to_owned(),
                path: path.to_owned(),
                query: String::new(),
                has_body: false,
            }),
        };
        let opened = ExchangeOpened {
            exchange: ExchangeId { session, number },
            process: Process::new(1, 1, "c"),
            destination: "192.0.2.1:443".into(),
            host: "api.example".into(),
            request_line: Recorded::of(&format!("GET {path}"), &masker),
            facts: RecordedFacts::of(facts, &masker),
            facts_cut: false,
            decision,
            denied: None,
            cause: None,
            request: None,
            request_unstored: None,
            masked: 0,
        };
        let body = EventBody::ExchangeOpened(Box::new(opened));
        Event { session, sequence: number, at: UnixMillis(0), body }
    }

    fn check(recorded: Decision, replayed: Decision, expect: &[Change]) {
        let events = [event(1, "/", recorded)];
        let report = replay(&events, |_| Some(replayed.clone()));
        let found = report.differences.first().map_or(&[][..], |d| &d.changes[..]);
        assert_eq!(found, expect);
        assert_eq!(report.changed(), u64::from(!expect.is_empty()));
    }

    #[test]
    fn each_way_in_which_a_decision_changes_is_told() {
        let (allow, deny) =
            (decision(Effect::Allow, &["a"], &["b"]), decision(Effect::Deny, &[], &[]));
        let pii = || MaskName::new("pii");
        check(allow.clone(), allow.clone(), &[]);
        check(deny.clone(), deny.clone(), &[]);
        check(allow.clone(), deny.clone(), &[Change::AllowToDeny]);
        check(deny, allow.clone(), &[Change::DenyToAllow]);
        let more = decision(Effect::Allow, &["a", "pii"], &["b", "pii"]);
        let gained = [Change::RequestMaskGained(pii()), Change::ResponseMaskGained(pii())];
        check(allow.clone(), more.clone(), &gained);
        let lost = [Change::RequestMaskLost(pii()), Change::ResponseMaskLost(pii())];
        check(more, allow.clone(), &lost);
        let mut facts_only = allow.clone();
        facts_only.obligations.record = RecordDepth::Facts;
        let less = Change::Record { from: RecordDepth::Full, to: RecordDepth::Facts };
        check(allow.clone(), facts_only, &[less]);
        let mut charged = allow.clone();
        charged.obligations.budgets.insert(BudgetName::new("daily"));
        let budget = || "budget daily".to_owned();
        check(allow.clone(), charged.clone(), &[Change::ObligationGained(budget())]);
        check(charged, allow, &[Change::ObligationLost(budget())]);
    }

    #[test]
    fn another_rule_or_message_with_the_same_outcome_is_no_difference() {
        let allow = decision(Effect::Allow, &[], &[]);
        let mut other = allow.clone();
        other.because = vec![RuleId::new("other")];
        other.policy = PolicyVersion::new("w");
        check(allow, other, &[]);
    }

    #[test]
    fn exactly_the_exchanges_that_change_are_reported() {
        let allow = decision(Effect::Allow, &[], &[]);
        let events: Vec<Event> = (1..=20)
            .map(|n| event(n, if n % 5 == 0 { "/b" } else { "/a" }, allow.clone()))
            .collect();
        let report = replay(&events, |facts| match &facts.operation {
            Operation::Http(http) if http.path == "/b" => Some(decision(Effect::Deny, &[], &[])),
            _ => Some(allow.clone()),
        });
        assert_eq!((report.exchanges, report.allow_to_deny), (20, 4));
        let changed: Vec<u64> = report.differences.iter().map(|d| d.exchange.number).collect();
        assert_eq!(changed, [5, 10, 15, 20]);
    }

    #[test]
    fn what_cannot_be_judged_is_counted_and_is_no_difference() {
        let report = replay(&[event(1, "/", decision(Effect::Allow, &[], &[]))], |_| None);
        assert_eq!((report.exchanges, report.undetermined, report.changed()), (1, 1, 0));
        let mut cut = event(1, "/", decision(Effect::Allow, &[], &[]));
        if let EventBody::ExchangeOpened(opened) = &mut cut.body {
            opened.facts_cut = true;
        }
        let report = replay(&[cut], |_| Some(decision(Effect::Deny, &[], &[])));
        assert_eq!((report.exchanges, report.undetermined, report.changed()), (1, 1, 0));
    }
}
