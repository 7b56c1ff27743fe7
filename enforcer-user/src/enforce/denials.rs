// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Denials in the log and in the counters for a scraper.
//!
//! Each denial is one structured line; what repeats it within a window is one more line with the count, so that
//! nobody can flood the log and the sum of all counts is the number of denials. What an agent chose stands in a line
//! as it may be recorded. The counters have a bound: combinations of labels beyond it are counted as `other`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use enforcer_core::mask::Masker;
use enforcer_core::model::{
    AgentName, Decision, Denied, DenyReason, Effect, ExchangeId, Facts, RuleId, SessionId,
    UnixMillis, limits,
};
use enforcer_core::record::{Bounds, Entry, Key, Ledger, Process, Recorded};

use super::Conn;

/// The value of all labels of what has no room of its own.
const OTHER: &str = "other";
/// The endpoint of what went to none.
pub(super) const NO_ENDPOINT: &str = "-";
/// The action of what was refused before it was a request.
pub(super) const CONNECTION: &str = "connection";

/// The action of a call in an answer.
pub(super) const TOOL_CALL: &str = "tool_call";

/// Who asked for what: all of a denial that is known before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asking {
    /// Who.
    pub(super) agent: AgentName,
    /// In which session.
    pub(super) session: SessionId,
    /// Which process, and which user that runs as.
    pub(super) process: Process,
    /// Name of the endpoint.
    pub(super) endpoint: String,
    /// Host, server name or destination.
    pub(super) host: Recorded,
    /// The action, [`CONNECTION`] or [`TOOL_CALL`].
    pub(super) action: &'static str,
}

impl Asking {
    /// Of an exchange, as it may be logged.
    pub(super) fn of(conn: &Conn, facts: &Facts, everything: &Masker) -> Self {
        Self {
            agent: conn.origin.agent.clone(),
            session: conn.origin.session,
            process: conn.origin.process.clone().again(everything),
            endpoint: facts.endpoint.to_string(),
            host: Recorded::of(&conn.target.host, everything),
            action: facts.operation.action(),
        }
    }
}

/// What makes two denials the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    agent: AgentName,
    uid: u32,
    endpoint: String,
    host: Recorded,
    action: &'static str,
    reason: DenyReason,
    rules: Vec<RuleId>,
}

impl Key for Kind {
    type Owner = Option<AgentName>;
    type Group = DenyReason;

    fn owner(&self) -> Self::Owner {
        Some(self.agent.clone())
    }

    fn group(&self) -> DenyReason {
        self.reason
    }

    fn of_several() -> Self::Owner {
        None
    }
}

/// One denial.
#[derive(Clone, Debug)]
struct Denial {
    asking: Asking,
    denied: Denied,
    exchange: Option<ExchangeId>,
    detail: Option<Recorded>,
}

/// Two are alike if their kinds are: the exchange always differs.
impl PartialEq for Denial {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind()
    }
}

impl Denial {
    fn kind(&self) -> Kind {
        let Asking { agent, process, endpoint, host, action, .. } = &self.asking;
        Kind {
            agent: agent.clone(),
            uid: process.uid,
            endpoint: endpoint.clone(),
            host: host.clone(),
            action,
            reason: self.denied.reason,
            rules: self.denied.rules.clone(),
        }
    }
}

/// Counters of one metric, by the values of its labels.
pub type Series = BTreeMap<Vec<String>, u64>;

/// Denials and judged exchanges since the daemon started. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Denials(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ledger: Mutex<Ledger<Denial, Kind>>,
    denied: Mutex<Series>,
    exchanges: Mutex<Series>,
    began: Instant,
}

impl Default for Denials {
    fn default() -> Self {
        let ledger = Mutex::new(Ledger::new(Bounds::default()));
        let (denied, exchanges) = Default::default();
        Self(Arc::new(Shared { ledger, denied, exchanges, began: Instant::now() }))
    }
}

impl Denials {
    /// How often was denied, by agent, endpoint, reason and first rule.
    #[must_use]
    pub fn denied_counts(&self) -> Series {
        locked(&self.0.denied).clone()
    }

    /// How many exchanges were judged, by agent, endpoint and effect.
    #[must_use]
    pub fn exchange_counts(&self) -> Series {
        locked(&self.0.exchanges).clone()
    }

    /// When the next line about repeats is due.
    #[must_use]
    pub fn next_end(&self) -> Option<Instant> {
        locked(&self.0.ledger).next_end().and_then(|end| self.0.began.checked_add(end))
    }

    /// Counts an exchange that was judged.
    pub(super) fn judged(&self, asking: &Asking, decision: &Decision, is_denied: bool) {
        let effect = match (is_denied, decision.effect) {
            (true, _) => "deny",
            (false, Effect::Deny) => "would_deny",
            (false, Effect::Allow) => "allow",
        };
        let labels = [asking.agent.as_str(), &asking.endpoint, effect];
        count(&mut locked(&self.0.exchanges), &labels);
    }

    /// Counts a denial, and writes its line into the log unless it repeats one.
    pub(super) fn denied(
        &self,
        asking: &Asking,
        denied: &Denied,
        exchange: Option<ExchangeId>,
        detail: Option<Recorded>,
        at: UnixMillis,
    ) {
        let rule = denied.rules.first().map_or("", RuleId::as_str);
        let labels = [asking.agent.as_str(), &asking.endpoint, denied.reason.code(), rule];
        count(&mut locked(&self.0.denied), &labels);
        let denial = Denial { asking: asking.clone(), denied: denied.clone(), exchange, detail };
        let (kind, now) = (denial.kind(), self.0.began.elapsed());
        let entry = locked(&self.0.ledger).count(kind, denial, at, now, |denial| denial);
        if let Some(entry) = entry {
            line(&entry);
        }
    }

    /// Writes the lines about repeats whose window is over.
    pub fn log_due(&self) {
        let due = locked(&self.0.ledger).due(self.0.began.elapsed());
        due.iter().for_each(line);
    }

    /// Writes the lines about all repeats; for the end of the daemon.
    pub fn log_all(&self) {
        let all = locked(&self.0.ledger).close_all();
        all.iter().for_each(line);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(series: &mut Series, labels: &[&str]) {
    let owned = |label: &&str| (*label).to_owned();
    let mut key: Vec<String> = labels.iter().map(owned).collect();
    if series.len() >= limits::METRIC_SERIES_MAX && !series.contains_key(&key) {
        key.fill(OTHER.to_owned());
    }
    let count = series.entry(key).or_insert(0);
    *count = count.saturating_add(1);
}

/// One line for all that an entry stands for.
fn line(entry: &Entry<Denial, Option<AgentName>>) {
    let Denial { asking, denied, exchange, detail } = &entry.attempt;
    let rules: Vec<&str> = denied.rules.iter().map(RuleId::as_str).collect();
    tracing::info!(
        agent = asking.agent.as_str(),
        user = asking.process.uid,
        session = %asking.session,
        endpoint = asking.endpoint,
        host = asking.host.as_str(),
        action = asking.action,
        reason = denied.reason.code(),
        rules = rules.join(","),
        exchange = exchange.map(|id| id.to_string()).unwrap_or_default(),
        pid = asking.process.pid,
        comm = asking.process.comm.as_str(),
        detail = detail.as_deref().unwrap_or_default(),
        count = entry.count,
        not_all_alike = entry.is_mixed,
        "denied"
    );
}

#[cfg(test)]
mod tests {
    use enforcer_core::model::{Mode, Obligations, PolicyVersion};

    use super::*;

    fn asking(agent: &str, endpoint: &str) -> Asking {
        Asking {
            agent: AgentName::new(agent),
            session: SessionId::HOST,
            process: Process::new(7, 1000, "agent"),
            endpoint: endpoint.to_owned(),
            host: "api.example.com".into(),
            action: "chat",
        }
    }

    fn rule(name: &str) -> Denied {
        let rules = vec![RuleId::new(name), RuleId::new("another")];
        Denied { rules, ..Denied::because(DenyReason::Policy) }
    }

    #[test]
    fn denials_are_counted_by_agent_endpoint_reason_and_first_rule() {
        let denials = Denials::default();
        for (agent, name) in [("a", "no"), ("a", "no"), ("b", "no"), ("a", "never")] {
            denials.denied(&asking(agent, "e"), &rule(name), None, None, UnixMillis(1));
        }
        let labels =
            |agent: &str, rule: &str| [agent, "e", "policy", rule].map(str::to_owned).to_vec();
        let expected = [(labels("a", "never"), 1), (labels("a", "no"), 2), (labels("b", "no"), 1)];
        assert_eq!(denials.denied_counts(), expected.into_iter().collect());
    }

    #[test]
    fn labels_have_a_bound_and_nothing_is_lost_from_the_sum() {
        let denials = Denials::default();
        let most = limits::METRIC_SERIES_MAX;
        for number in 0..most + 5 {
            let asking = asking("a", &format!("e{number}"));
            denials.denied(&asking, &rule("no"), None, None, UnixMillis(1));
        }
        let counts = denials.denied_counts();
        assert_eq!((counts.len(), counts.values().sum::<u64>()), (most + 1, most as u64 + 5));
        assert_eq!(counts.get(&vec![OTHER.to_owned(); 4]), Some(&5));
    }

    #[test]
    fn every_effect_of_a_judgment_is_counted() {
        let denials = Denials::default();
        let decision = |effect| Decision {
            effect,
            obligations: Obligations::none(),
            because: Vec::new(),
            errors: Vec::new(),
            observed: Vec::new(),
            would: None,
            mode: Mode::Enforce,
            message: None,
            policy: PolicyVersion::new("v"),
        };
        let judgments = [(Effect::Allow, false), (Effect::Allow, true), (Effect::Deny, false)];
        for (effect, is_denied) in judgments {
            denials.judged(&asking("a", "e"), &decision(effect), is_denied);
        }
        let effects: Vec<_> =
            denials.exchange_counts().into_keys().map(|key| key[2].clone()).collect();
        assert_eq!(effects, ["allow", "deny", "would_deny"]);
    }
}
