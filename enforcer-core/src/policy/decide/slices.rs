// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules sliced by scope when the policy is built, so that a decision costs what the few rules that could
//! apply cost. A slice only leaves out rules whose scope cannot match: the answer is the same as with all.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::{ActionConstraint, EntityUid, PrincipalConstraint, ResourceConstraint};

use crate::mask::DetectorSet;
use crate::model::{AgentName, DetectorName, EndpointName, Mode, Operation, RecordDepth, limits};

use super::super::load::inventory::{Endpoint, Inventory, chain};
use super::super::load::rules::Rule;
use super::super::load::schema;
use super::compared::Reads;

/// The rules that one agent, action and endpoint could meet.
#[derive(Debug)]
pub(super) struct Slice {
    /// The rules that decide, by index.
    pub(in crate::policy) enforced: Vec<usize>,
    /// Rules in observe mode, by index.
    pub(in crate::policy) observed: Vec<usize>,
    /// The facts that Cedar needs to be asked about these rules, by name; nothing if all may count.
    pub(in crate::policy) facts: Option<BTreeSet<String>>,
    /// The facts that some of these rules reads, by name; nothing if all may count.
    pub(super) read: Option<BTreeSet<String>>,
    /// Names of the detectors that some of these rules asks for, or masks by.
    pub(in crate::policy) sought: BTreeSet<DetectorName>,
    /// Those of them that a rule asks for: what they found decides.
    pub(in crate::policy) asked: BTreeSet<DetectorName>,
    /// What is sought, ready to run.
    pub(in crate::policy) detectors: Arc<DetectorSet>,
    /// How much of a denied exchange is kept: the most that a rule asks for, or what the bundle says where none does.
    pub(super) denied_record: RecordDepth,
    /// No rule is in scope, so everything is denied.
    pub(in crate::policy) is_empty: bool,
}

/// All slices of a bundle.
#[derive(Debug)]
pub(super) struct Slices {
    agents: HashMap<AgentName, usize>,
    endpoints: HashMap<EndpointName, usize>,
    /// How many endpoints are told apart: all of them, or one if there would be too many slices.
    width: usize,
    table: Vec<Arc<Slice>>,
}

impl Slices {
    pub(in crate::policy) fn new(inventory: &Inventory, rules: &[Rule]) -> Result<Self, String> {
        let reads: Vec<Reads> = rules.iter().map(|rule| Reads::of(&rule.cedar)).collect();
        let all = inventory.agents.len() * schema::ACTIONS.len() * inventory.endpoints.len();
        let is_fine = all <= limits::SLICES_MAX;
        let width = if is_fine { inventory.endpoints.len().max(1) } else { 1 };
        let by_endpoint: Vec<Set> = (0..width)
            .map(|index| match inventory.endpoints.get(index).filter(|_| is_fine) {
                Some(endpoint) => Set::of(rules, |rule| rule.admits_endpoint(endpoint)),
                None => Set::of(rules, |_| true),
            })
            .collect();
        let by_action: Vec<Set> = schema::ACTIONS
            .iter()
            .map(|action| Set::of(rules, |rule| rule.admits_action(action.name)))
            .collect();
        let mut shared: HashMap<Set, Arc<Slice>> = HashMap::new();
        // Compiling patterns costs more than all the rest, and slices have few combinations of them.
        let mut ready = HashMap::new();
        let mut table = Vec::with_capacity(inventory.agents.len() * by_action.len() * width);
        for (name, agent) in &inventory.agents {
            let by_agent = Set::of(rules, |rule| rule.admits_agent(name, &agent.groups));
            for by_action in &by_action {
                let both = by_agent.and(by_action);
                for by_endpoint in &by_endpoint {
                    let chosen = both.and(by_endpoint);
                    let slice = if let Some(slice) = shared.get(&chosen) {
                        Arc::clone(slice)
                    } else {
                        let slice = Arc::new(slice(inventory, rules, &reads, &chosen, &mut ready)?);
                        shared.insert(chosen, Arc::clone(&slice));
                        slice
                    };
                    table.push(slice);
                }
            }
        }
        let agents = inventory.agents.keys().cloned().zip(0..).collect();
        let names = inventory.endpoints.iter().map(|endpoint| endpoint.name.clone());
        Ok(Self { agents, endpoints: names.zip(0..).collect(), width, table })
    }

    /// The slice for an agent, action and endpoint; nothing if one of them does not exist.
    pub(in crate::policy) fn find(
        &self,
        agent: &AgentName,
        action: &str,
        endpoint: &EndpointName,
    ) -> Option<&Slice> {
        let action_index = schema::ACTIONS.iter().position(|known| known.name == action)?;
        let endpoint = *self.endpoints.get(endpoint)?;
        let row = self.agents.get(agent)? * schema::ACTIONS.len() + action_index;
        let column = if self.width == 1 { 0 } else { endpoint };
        self.table.get(row * self.width + column).map(AsRef::as_ref)
    }
}

fn slice(
    inventory: &Inventory,
    rules: &[Rule],
    reads: &[Reads],
    chosen: &Set,
    ready: &mut HashMap<BTreeSet<DetectorName>, Arc<DetectorSet>>,
) -> Result<Slice, String> {
    let (mut enforced, mut observed) = (Vec::new(), Vec::new());
    let (mut read, mut asked) = (Reads::default(), Reads::default());
    let (mut masks, mut record) = (BTreeSet::new(), None);
    for (index, (rule, reads)) in rules.iter().zip(reads).enumerate() {
        if !chosen.has(index) {
            continue;
        }
        read.join(reads);
        if !rule.plain.is_all {
            asked.join(reads);
        }
        masks.extend(rule.obligations.mask_request.iter().cloned());
        match rule.mode {
            Mode::Enforce => {
                enforced.push(index);
                record = record.max(rule.record);
            }
            Mode::Observe => observed.push(index),
        }
    }
    // What has to be masked is looked for, too: the record says that it was there.
    let masked = masks.iter().filter_map(|name| inventory.masks.get(name));
    let masked: BTreeSet<&DetectorName> = masked.flat_map(|mask| &mask.detectors).collect();
    let is_asked =
        |name: &DetectorName| read.all_detectors || read.detectors.contains(name.as_str());
    let mut sought: BTreeSet<DetectorName> = inventory.detector_names().into_iter().collect();
    sought.retain(|name| is_asked(name) || masked.contains(name));
    let asked_for = sought.iter().filter(|name| is_asked(name)).cloned().collect();
    let detectors = match ready.get(&sought) {
        Some(detectors) => Arc::clone(detectors),
        None => {
            let specs = sought.iter().filter_map(|name| inventory.spec(name)).collect();
            let detectors = DetectorSet::compile(specs).map_err(|error| chain(&error))?;
            Arc::clone(ready.entry(sought.clone()).or_insert(Arc::new(detectors)))
        }
    };
    let facts = (!asked.all_facts).then_some(asked.facts);
    let read = (!read.all_facts).then_some(read.facts);
    let is_empty = enforced.is_empty() && observed.is_empty();
    let denied_record = record.unwrap_or(inventory.record);
    let asked = asked_for;
    Ok(Slice { enforced, observed, facts, read, sought, asked, detectors, denied_record, is_empty })
}

/// A set of rules, by index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Set(Vec<u64>);

impl Set {
    fn of(rules: &[Rule], is_in: impl Fn(&Rule) -> bool) -> Self {
        let word = |rules: &[Rule]| {
            let bits = rules.iter().enumerate().filter(|(_, rule)| is_in(rule));
            bits.fold(0, |word, (bit, _)| word | 1 << bit)
        };
        Self(rules.chunks(64).map(word).collect())
    }

    fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(left, right)| left & right).collect())
    }

    fn has(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }
}

fn is_named(uid: &EntityUid, kind: &str, name: &str, group_kind: &str, groups: &[String]) -> bool {
    let (found, id) = (uid.type_name().to_string(), uid.id().unescaped());
    (found == kind && id == name) || (found == group_kind && groups.iter().any(|group| group == id))
}

impl Rule {
    /// Whether the scope admits an agent in these groups.
    pub(in crate::policy) fn admits_agent(&self, name: &AgentName, groups: &[String]) -> bool {
        match self.cedar.principal_constraint() {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Is(kind) => kind.to_string() == "Agent",
            PrincipalConstraint::Eq(uid) => is_named(&uid, "Agent", name.as_str(), "", &[]),
            PrincipalConstraint::In(uid) => is_named(&uid, "Agent", name.as_str(), "Group", groups),
            PrincipalConstraint::IsIn(kind, uid) => {
                kind.to_string() == "Agent"
                    && is_named(&uid, "Agent", name.as_str(), "Group", groups)
            }
        }
    }

    /// Whether the scope admits an action.
    pub(in crate::policy) fn admits_action(&self, action: &str) -> bool {
        let groups: Vec<String> = schema::ACTION_GROUPS
            .iter()
            .filter(|(_, members)| members.contains(&action))
            .map(|(group, _)| (*group).to_owned())
            .collect();
        match self.cedar.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => is_named(&uid, "Action", action, "", &[]),
            ActionConstraint::In(uids) => {
                uids.iter().any(|uid| is_named(uid, "Action", action, "Action", &groups))
            }
        }
    }

    /// Whether the rule is about an operation: its scope admits the action, and it is no rule about all that agents send
    /// where a model asks for a call.
    pub(in crate::policy) fn is_about(&self, operation: &Operation) -> bool {
        self.admits_action(operation.action()) && (self.decides_asked || !operation.is_asked_call())
    }

    /// Whether the scope admits an endpoint.
    pub(in crate::policy) fn admits_endpoint(&self, endpoint: &Endpoint) -> bool {
        let name = endpoint.name.as_str();
        match self.cedar.resource_constraint() {
            ResourceConstraint::Any => true,
            ResourceConstraint::Is(kind) => kind.to_string() == "Endpoint",
            ResourceConstraint::Eq(uid) => is_named(&uid, "Endpoint", name, "", &[]),
            ResourceConstraint::In(uid) => {
                is_named(&uid, "Endpoint", name, "EndpointGroup", &endpoint.groups)
            }
            ResourceConstraint::IsIn(kind, uid) => {
                kind.to_string() == "Endpoint"
                    && is_named(&uid, "Endpoint", name, "EndpointGroup", &endpoint.groups)
            }
        }
    }
}
