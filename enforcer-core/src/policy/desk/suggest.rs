// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what was recorded to rules and cases that a person may want: the start of a bundle.
//!
//! Text only, for review; nothing of it is in force until somebody commits it. What was refused comes out as a
//! comment; a host that no endpoint names comes out as an endpoint, on which nothing is permitted. Texts that an agent chose are escaped, so that none of them ends a comment or a string.

mod endpoints;
mod observed;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::Facts;
use crate::model::limits::SUGGEST_HOSTS_MAX;

use super::super::decide::policy::Policy;
use super::super::load::{schema, sheet};
use observed::{Kind, Observed};

/// What to review.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// Rules, as the text of a `.cedar` file.
    pub rules: String,
    /// Cases, as the text of a file in `cases/`.
    pub cases: String,
    /// Endpoints for the hosts that none names, as text for the end of `policy.toml`. No rule permits anything there.
    pub endpoints: String,
    /// Exchanges that were looked at.
    pub exchanges: u64,
    /// Those that the bundle permits already.
    pub permitted: u64,
    /// Rules that are suggested.
    pub suggested: usize,
    /// Kinds of refused exchanges; they are comments.
    pub refused: usize,
    /// Hosts that were asked for and that no endpoint names, and how often.
    pub unnamed: BTreeMap<String, u64>,
}

/// Collects exchanges. Bounded: what is kept of each kind does not grow with their number.
#[derive(Debug, Default)]
pub struct Suggest {
    kinds: BTreeMap<Kind, Observed>,
    unnamed: BTreeMap<String, u64>,
    exchanges: u64,
    permitted: u64,
}

impl Suggest {
    /// Takes one exchange: what was judged, whether it was refused, and whether a bundle permits it already.
    pub fn push(&mut self, facts: &Facts, is_refused: bool, is_permitted: bool) {
        self.exchanges += 1;
        let Some(action) = schema::action(facts.operation.action()) else { return };
        if is_permitted {
            self.permitted += 1;
            return;
        }
        // What stands for no endpoint cannot be permitted; its host is suggested as one.
        if !sheet::is_name(facts.endpoint.as_str()) {
            return;
        }
        let (agent, endpoint) = (facts.agent.clone(), facts.endpoint.clone());
        let kind = Kind { agent, endpoint, action: action.name, is_refused };
        self.kinds.entry(kind).or_default().take(action, facts);
    }

    /// Takes a host that was asked for so many times and that no endpoint names.
    pub fn push_unnamed(&mut self, host: &str, times: u64) {
        if self.unnamed.len() < SUGGEST_HOSTS_MAX || self.unnamed.contains_key(host) {
            let count = self.unnamed.entry(host.to_owned()).or_default();
            *count = count.saturating_add(times);
        }
    }

    /// What to review. What the bundle has already, if there is one, is left out.
    #[must_use]
    pub fn finish(self, policy: Option<&Policy>) -> Suggestion {
        let ids = policy.into_iter().flat_map(Policy::rule_ids);
        let mut taken: BTreeSet<String> = ids.map(ToString::to_string).collect();
        let mut suggestion = Suggestion {
            exchanges: self.exchanges,
            permitted: self.permitted,
            ..Suggestion::default()
        };
        // What went through comes first; what was refused stands below as comments.
        let (refused, through): (Vec<_>, Vec<_>) =
            self.kinds.iter().partition(|(kind, _)| kind.is_refused);
        (suggestion.suggested, suggestion.refused) = (through.len(), refused.len());
        for (kind, observed) in through.into_iter().chain(refused) {
            let Some(action) = schema::action(kind.action) else { continue };
            let id = text::rule_id(kind, &taken);
            taken.insert(id.clone());
            let rule = text::rule(&id, kind, action, observed);
            let cases = text::cases(&id, kind, action, observed);
            suggestion.rules += &if kind.is_refused { commented("//", &rule) } else { rule };
            suggestion.cases += &if kind.is_refused { commented("#", &cases) } else { cases };
        }
        let mut unnamed = self.unnamed;
        unnamed.retain(|host, _| policy.is_none_or(|policy| !policy.names_host(host)));
        suggestion.endpoints = endpoints::text(&unnamed, policy);
        suggestion.unnamed = unnamed;
        suggestion
    }
}

fn commented(sign: &str, text: &str) -> String {
    let line = |line: &str| match line {
        "" => "\n".to_owned(),
        line if line.starts_with(sign) => format!("{line}\n"),
        line => format!("{sign} {line}\n"),
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Masker;
    use crate::model::{AgentName, EndpointName, Http, Operation};
    use crate::record::RecordedFacts;

    #[test]
    fn no_rule_is_suggested_that_names_what_the_record_hides() {
        let http = Http {
            method: "GET".to_owned(),
            path: "/bot1:abcdefghijk/getMe".to_owned(),
            query: "alt=sse&key=abc".to_owned(),
            has_body: false,
        };
        let facts = Facts {
            agent: AgentName::new("a"),
            endpoint: EndpointName::new("e"),
            detected: BTreeSet::new(),
            sought: None,
            hidden: BTreeSet::new(),
            operation: Operation::Http(http),
            calls: Vec::new(),
        };
        let recorded = RecordedFacts::of(facts, &Masker::default().with_placed_secrets());
        let mut suggest = Suggest::default();
        suggest.push(&recorded, false, false);
        let rules = suggest.finish(None).rules;
        assert!(rules.contains("// `query` is not bounded: a part of it is hidden"), "{rules}");
        assert!(rules.contains("context.path like \"/bot*\""), "{rules}");
        assert!(!rules.contains("[secret]") && !rules.contains("context.query"), "{rules}");
        assert!(rules.contains("context.method == \"GET\""), "{rules}");
    }
}
