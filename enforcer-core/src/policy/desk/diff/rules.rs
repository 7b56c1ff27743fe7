// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which rules apply to whom, before and after.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{AgentName, EndpointName, Mode, RuleId};

use super::super::super::decide::comparison::conjuncts;
use super::super::super::decide::explain::{alone, condition_text};
use super::super::super::decide::policy::Policy;
use super::super::super::decide::scope::Scope;
use super::super::super::load::inventory::{Endpoint, Protocol, Tls};
use super::super::super::load::rules::{Rule, is_possible};
use super::super::super::load::schema;

/// A rule as a person reads it in a comparison.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RuleText {
    /// Its name.
    pub id: RuleId,
    /// Its file, relative to its bundle.
    pub file: String,
    /// Its line, counted from 1.
    pub line: usize,
    /// True for `permit`, false for `forbid`.
    pub is_permit: bool,
    /// What it says beside its scope: conditions and obligations, one entry each.
    pub says: BTreeSet<String>,
}

/// One rule that applies otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleChange {
    /// It says something else under the same name.
    Changed {
        /// As it was.
        old: RuleText,
        /// As it is.
        new: RuleText,
    },
    /// It applies now.
    Gained(RuleText),
    /// It does not apply any more.
    Lost(RuleText),
}

/// Which way a change can only go, as long as no rule errs: what errs denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tendency {
    /// Nothing that was allowed is denied; something denied may be allowed.
    MayAllowMore,
    /// Nothing that was denied is allowed; something allowed may be denied.
    MayDenyMore,
    /// Effects stay; obligations may change.
    Obligations,
    /// Both.
    Either,
}

/// Agents, endpoints and actions for which the same changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScopeChange {
    /// Who.
    pub agents: BTreeSet<AgentName>,
    /// Where to.
    pub endpoints: BTreeSet<EndpointName>,
    /// What.
    pub actions: BTreeSet<&'static str>,
    /// Which way.
    pub tendency: Tendency,
    /// By which rules.
    pub rules: Vec<RuleChange>,
}

/// One bundle, seen by the agents and endpoints of both.
struct Half<'p> {
    agents: BTreeSet<&'p AgentName>,
    endpoints: BTreeMap<&'p EndpointName, &'p Endpoint>,
    /// Each rule, what it means, and where it applies.
    rules: Vec<(RuleText, String, Mode, Scope)>,
}

/// Where a set of changes applies.
type Place = (usize, usize, usize);

pub(super) fn compare(old: &Policy, new: &Policy) -> Vec<ScopeChange> {
    let agents: Vec<&AgentName> =
        old.agents().chain(new.agents()).collect::<BTreeSet<_>>().into_iter().collect();
    let names: Vec<&EndpointName> = old
        .endpoints()
        .chain(new.endpoints())
        .map(|endpoint| &endpoint.name)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let (old, new) = (half(old, &agents, &names), half(new, &agents, &names));
    let mut by_change: BTreeMap<Vec<RuleChange>, (Tendency, BTreeSet<Place>)> = BTreeMap::new();
    for (agent, agent_name) in agents.iter().enumerate() {
        for (endpoint, endpoint_name) in names.iter().enumerate() {
            for (action, spec) in schema::ACTIONS.iter().enumerate() {
                let in_force = |half: &Half<'_>| {
                    let endpoint = half.endpoints.get(endpoint_name);
                    half.agents.contains(agent_name)
                        && endpoint.is_some_and(|endpoint| is_possible(spec.name, endpoint))
                };
                let place = (agent, action, endpoint);
                let before = if in_force(&old) { old.at(place) } else { Vec::new() };
                let after = if in_force(&new) { new.at(place) } else { Vec::new() };
                if let Some((tendency, rules)) = changes(&before, &after) {
                    let found = by_change.entry(rules).or_insert((tendency, BTreeSet::new()));
                    found.1.insert(place);
                }
            }
        }
    }
    let scopes = by_change.into_iter().flat_map(|(rules, (tendency, places))| {
        boxes(&places).into_iter().map(move |(in_agents, in_actions, in_endpoints)| {
            (in_agents, in_actions, in_endpoints, tendency, rules.clone())
        })
    });
    scopes
        .map(|(in_agents, in_actions, in_endpoints, tendency, rules)| ScopeChange {
            agents: pick(&in_agents, &agents).into_iter().cloned().collect(),
            endpoints: pick(&in_endpoints, &names).into_iter().cloned().collect(),
            actions: in_actions
                .iter()
                .filter_map(|index| schema::ACTIONS.get(*index).map(|action| action.name))
                .collect(),
            tendency,
            rules,
        })
        .collect()
}

fn pick<'a, T: ?Sized>(indices: &BTreeSet<usize>, all: &[&'a T]) -> Vec<&'a T> {
    indices.iter().filter_map(|index| all.get(*index).copied()).collect()
}

type Box3 = (BTreeSet<usize>, BTreeSet<usize>, BTreeSet<usize>);

/// Places put together so that each entry holds every combination of what it lists, and nothing else.
fn boxes(places: &BTreeSet<Place>) -> Vec<Box3> {
    let mut by_agent_and_action: BTreeMap<(usize, usize), BTreeSet<usize>> = BTreeMap::new();
    for (agent, action, endpoint) in places {
        by_agent_and_action.entry((*agent, *action)).or_default().insert(*endpoint);
    }
    let mut by_agent: BTreeMap<(usize, BTreeSet<usize>), BTreeSet<usize>> = BTreeMap::new();
    for ((agent, action), endpoints) in by_agent_and_action {
        by_agent.entry((agent, endpoints)).or_default().insert(action);
    }
    let mut boxes: BTreeMap<(BTreeSet<usize>, BTreeSet<usize>), BTreeSet<usize>> = BTreeMap::new();
    for ((agent, endpoints), actions) in by_agent {
        boxes.entry((actions, endpoints)).or_default().insert(agent);
    }
    boxes.into_iter().map(|((actions, endpoints), agents)| (agents, actions, endpoints)).collect()
}

fn half<'p>(policy: &'p Policy, agents: &[&'p AgentName], names: &[&EndpointName]) -> Half<'p> {
    let endpoints: BTreeMap<_, _> =
        policy.endpoints().map(|endpoint| (&endpoint.name, endpoint)).collect();
    // An endpoint that only the other bundle has is admitted by what admits all endpoints; that no request
    // goes there is asked apart.
    let stand_in = |name: &EndpointName| Endpoint {
        name: name.clone(),
        hosts: Vec::new(),
        ports: Vec::new(),
        protocol: Protocol::Http,
        tls: Tls::Inspect,
        groups: Vec::new(),
    };
    let seen: Vec<Endpoint> = names
        .iter()
        .map(|name| endpoints.get(name).map_or_else(|| stand_in(name), |found| (*found).clone()))
        .collect();
    let groups = |name: &AgentName| {
        policy.inventory.agents.get(name).map_or(&[][..], |agent| agent.groups.as_slice())
    };
    let with_groups: Vec<(&AgentName, &[String])> =
        agents.iter().map(|name| (*name, groups(name))).collect();
    let rules = policy.rules.iter().map(|rule| {
        let (text, meaning) = describe(rule);
        (text, meaning, rule.mode, Scope::of(rule, &with_groups, &seen))
    });
    Half { agents: policy.agents().collect(), endpoints, rules: rules.collect() }
}

impl Half<'_> {
    fn at(&self, (agent, action, endpoint): Place) -> Vec<&(RuleText, String, Mode, Scope)> {
        self.rules.iter().filter(|rule| rule.3.admits(agent, action, endpoint)).collect()
    }
}

/// A rule in words, and what it means without its name, place and scope.
fn describe(rule: &Rule) -> (RuleText, String) {
    let tree = rule.cedar.to_json().unwrap_or_default();
    let conditions = tree.get("conditions").cloned().unwrap_or_default();
    let mut says = BTreeSet::new();
    for condition in conditions.as_array().into_iter().flatten() {
        let is_when = condition.get("kind").and_then(Value::as_str) == Some("when");
        let Some(body) = condition.get("body") else { continue };
        let parts = if is_when { conjuncts(body) } else { vec![body] };
        let kind = if is_when { "when" } else { "unless" };
        let texts = parts.into_iter().filter_map(alone).map(|part| condition_text(&part));
        says.extend(texts.map(|text| format!("{kind} {text}")));
    }
    let obligations = json!(rule.obligations);
    if rule.is_permit {
        for (what, names) in obligations.as_object().into_iter().flatten() {
            let names = names.as_array().cloned().unwrap_or_else(|| vec![names.clone()]);
            says.extend(
                names.iter().filter_map(Value::as_str).map(|name| format!("{what} {name}")),
            );
        }
    } else {
        says.extend(rule.record.map(|record| format!("record {}", record.as_str())));
    }
    says.extend(rule.message.iter().map(|message| format!("message {message:?}")));
    if rule.mode == Mode::Observe {
        says.insert("only observed".to_owned());
    }
    // The order of what is joined by `&&`, and of several conditions, means nothing.
    let meaning = format!("{} {says:?}", rule.is_permit);
    let (id, file, line) = (rule.id.clone(), rule.file.clone(), rule.place.line);
    (RuleText { id, file, line, is_permit: rule.is_permit, says }, meaning)
}

/// What changes where `before` applied and `after` applies.
fn changes(
    before: &[&(RuleText, String, Mode, Scope)],
    after: &[&(RuleText, String, Mode, Scope)],
) -> Option<(Tendency, Vec<RuleChange>)> {
    let meanings = |rules: &[&(RuleText, String, Mode, Scope)]| -> BTreeSet<String> {
        rules.iter().map(|rule| rule.1.clone()).collect()
    };
    let (old, new) = (meanings(before), meanings(after));
    if old == new {
        return None;
    }
    let mut lost: Vec<_> = before.iter().filter(|rule| !new.contains(&rule.1)).collect();
    let gained: Vec<_> = after.iter().filter(|rule| !old.contains(&rule.1)).collect();
    let mut tendencies = BTreeSet::new();
    let mut rules = Vec::new();
    for rule in gained {
        let same = lost.iter().position(|other| other.0.id == rule.0.id);
        let same = same.map(|index| lost.remove(index));
        match same {
            Some(old) => {
                tendencies.insert(tendency_of_change(old, rule));
                rules.push(RuleChange::Changed { old: old.0.clone(), new: rule.0.clone() });
            }
            None => {
                tendencies.insert(tendency(rule.0.is_permit, rule.2));
                rules.push(RuleChange::Gained(rule.0.clone()));
            }
        }
    }
    for rule in lost {
        tendencies.insert(tendency(!rule.0.is_permit, rule.2));
        rules.push(RuleChange::Lost(rule.0.clone()));
    }
    rules.sort();
    tendencies.remove(&Tendency::Obligations);
    let all: Vec<Tendency> = tendencies.into_iter().collect();
    let tendency = match all.as_slice() {
        [] => Tendency::Obligations,
        [one] => *one,
        _ => Tendency::Either,
    };
    Some((tendency, rules))
}

const fn tendency(opens: bool, mode: Mode) -> Tendency {
    match (mode, opens) {
        (Mode::Observe, _) => Tendency::Obligations,
        (Mode::Enforce, true) => Tendency::MayAllowMore,
        (Mode::Enforce, false) => Tendency::MayDenyMore,
    }
}

fn tendency_of_change(
    old: &(RuleText, String, Mode, Scope),
    new: &(RuleText, String, Mode, Scope),
) -> Tendency {
    let conditions = |rule: &RuleText| -> BTreeSet<String> {
        let is_condition =
            |text: &&String| text.starts_with("when ") || text.starts_with("unless ");
        rule.says.iter().filter(is_condition).cloned().collect()
    };
    if old.0.is_permit != new.0.is_permit || old.2 != new.2 {
        return Tendency::Either;
    }
    let (before, after) = (conditions(&old.0), conditions(&new.0));
    if before == after {
        return Tendency::Obligations;
    }
    // More conditions make a permit narrower and a forbid, too.
    if before.is_subset(&after) {
        return tendency(!new.0.is_permit, new.2);
    }
    if after.is_subset(&before) {
        return tendency(new.0.is_permit, new.2);
    }
    Tendency::Either
}
