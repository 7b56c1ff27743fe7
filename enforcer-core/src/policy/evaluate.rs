// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The compiled policy and its one function from facts to a decision.
//!
//! Rules are sliced by action and agent when the policy is built, so that a decision costs what the few
//! rules that could apply cost. A slice only leaves out rules whose scope cannot match: the answer is the
//! same as with all rules.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Authorizer, Decision as CedarDecision, Entities, Entity, EntityId,
    EntityTypeName, EntityUid, PolicyId, PolicySet, PrincipalConstraint, Request,
    ResourceConstraint, Schema,
};

use crate::mask::{DetectorSet, Masker};
use crate::model::{
    AgentName, Capture, Decision, Effect, EndpointName, Facts, LaunchMode, MaskName, Obligations,
    PolicyVersion, RecordDepth, RuleId,
};

use super::inventory::{Endpoint, Inventory};
use super::masks::{Maskers, detectors};
use super::rules::Rule;
use super::schema;
use super::selector::Selector;

/// What a bundle does with its decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are carried out.
    Enforce,
    /// They are recorded only. No bundle of this version can ask for it.
    Observe,
}

/// A compiled bundle. Immutable; shared by all exchanges that started with it.
#[derive(Debug)]
pub struct Policy {
    version: PolicyVersion,
    inventory: Inventory,
    pub(super) rules: Vec<Rule>,
    slices: BTreeMap<AgentName, BTreeMap<&'static str, Arc<PolicySet>>>,
    /// Endpoints that some permit could let an agent use, by index.
    reach: BTreeMap<AgentName, BTreeSet<usize>>,
    pub(super) entities: Entities,
    pub(super) authorizer: Authorizer,
    detectors: DetectorSet,
    maskers: Maskers,
}

/// What the rules of one slice said.
#[derive(Debug, Default)]
struct Verdict<'p> {
    is_allowed: bool,
    because: Vec<&'p Rule>,
    errors: Vec<&'p Rule>,
}

impl Policy {
    pub(super) fn new(
        version: PolicyVersion,
        inventory: Inventory,
        rules: Vec<Rule>,
        schema: &Schema,
    ) -> Result<Self, String> {
        let entities = entities(&inventory, schema)?;
        let slices = slices(&inventory, &rules)?;
        let reach = reach(&inventory, &rules);
        let detectors = detectors(&inventory)?;
        let maskers = Maskers::new(&inventory)?;
        let authorizer = Authorizer::new();
        Ok(Self {
            version,
            inventory,
            rules,
            slices,
            reach,
            entities,
            authorizer,
            detectors,
            maskers,
        })
    }

    /// Hash of the sources; it goes into every record.
    #[must_use]
    pub const fn version(&self) -> &PolicyVersion {
        &self.version
    }

    /// What is done with decisions.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        Mode::Enforce
    }

    /// Names of all agents.
    pub fn agents(&self) -> impl Iterator<Item = &AgentName> {
        self.inventory.agents.keys()
    }

    /// Whether an agent of this name exists.
    #[must_use]
    pub fn has_agent(&self, name: &AgentName) -> bool {
        self.inventory.agents.contains_key(name)
    }

    /// How the agent of this name is started; none if there is no such agent.
    #[must_use]
    pub fn launch(&self, name: &AgentName) -> Option<LaunchMode> {
        self.inventory.agents.get(name).map(|agent| agent.launch)
    }

    /// How much of an agent's egress is taken; all of it where nobody says otherwise.
    #[must_use]
    pub fn capture(&self, name: &AgentName) -> Capture {
        self.inventory.agents.get(name).map(|agent| agent.capture).unwrap_or_default()
    }

    /// The agent that a process becomes which is nobody's, by a connection to an endpoint.
    #[must_use]
    pub const fn any_agent(&self) -> Option<&AgentName> {
        self.inventory.any.as_ref()
    }

    /// Whether some agent captures endpoints only, so that their addresses have to be known.
    #[must_use]
    pub const fn captures_endpoints(&self) -> bool {
        self.inventory.captures_endpoints.is_some()
    }

    /// Which processes become which agent by themselves. The first entry that describes a process decides.
    #[must_use]
    pub fn selectors(&self) -> &[(AgentName, Selector)] {
        &self.inventory.selectors
    }

    /// All endpoints, in the order of the inventory's names.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.inventory.endpoints.iter()
    }

    /// The endpoint of this name.
    #[must_use]
    pub fn endpoint_named(&self, name: &EndpointName) -> Option<&Endpoint> {
        self.inventory.endpoints.iter().find(|endpoint| endpoint.name == *name)
    }

    /// The endpoint that a host and port belong to. The most specific pattern wins.
    #[must_use]
    pub fn endpoint(&self, host: &str, port: u16) -> Option<&Endpoint> {
        self.inventory.endpoints.get(self.inventory.hosts.find(host, port)?)
    }

    /// Whether some endpoint uses this name, at any port.
    #[must_use]
    pub fn names_host(&self, host: &str) -> bool {
        self.inventory.hosts.names(host)
    }

    /// Whether some rule could let this agent use an endpoint of this name, at any port. Only scopes are looked
    /// at: a condition may still deny every request.
    #[must_use]
    pub fn names_host_for(&self, agent: &AgentName, host: &str) -> bool {
        let Some(reach) = self.reach.get(agent) else { return false };
        self.inventory.hosts.all_of(host).any(|endpoint| reach.contains(&endpoint))
    }

    /// Ids of all rules, in the order of files and places.
    pub fn rule_ids(&self) -> impl Iterator<Item = &RuleId> {
        self.rules.iter().map(|rule| &rule.id)
    }

    /// Names of all masks.
    pub fn masks(&self) -> impl Iterator<Item = &MaskName> {
        self.inventory.masks.keys()
    }

    /// Every detector that a rule, a mask or a replay may ask for.
    #[must_use]
    pub const fn detectors(&self) -> &DetectorSet {
        &self.detectors
    }

    /// Names of the detectors in [`Self::detectors`].
    #[must_use]
    pub fn detector_names(&self) -> Vec<crate::model::DetectorName> {
        self.inventory.detector_names()
    }

    /// The union of some masks.
    #[must_use]
    pub fn masker(&self, masks: &BTreeSet<MaskName>) -> Masker {
        self.maskers.of(&self.inventory, masks)
    }

    /// The union of all masks of the bundle: for what is stored of denied requests.
    #[must_use]
    pub fn masker_of_everything(&self) -> Masker {
        self.maskers.everything()
    }

    /// Decides one exchange. Pure: the same facts give the same decision.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> Decision {
        let verdict = self.verdict(facts);
        let is_allowed = verdict.is_allowed && verdict.errors.is_empty();
        let ids = |rules: &[&Rule]| {
            let ids: BTreeSet<RuleId> = rules.iter().map(|rule| rule.id.clone()).collect();
            ids.into_iter().collect::<Vec<_>>()
        };
        // A permit that an error overrides did not decide.
        let because =
            if is_allowed == verdict.is_allowed { ids(&verdict.because) } else { Vec::new() };
        // Of several messages the one of the first rule id is told, whatever the order of files.
        let message = verdict
            .because
            .iter()
            .filter(|rule| !rule.is_permit)
            .filter_map(|rule| Some((&rule.id, rule.message.clone()?)))
            .min_by_key(|(id, _)| *id)
            .map(|(_, message)| message);
        Decision {
            effect: if is_allowed { Effect::Allow } else { Effect::Deny },
            obligations: if is_allowed { join(&verdict.because) } else { Obligations::default() },
            because,
            errors: ids(&verdict.errors),
            message,
            policy: self.version.clone(),
        }
    }

    fn verdict(&self, facts: &Facts) -> Verdict<'_> {
        let slice =
            self.slices.get(&facts.agent).and_then(|actions| actions.get(facts.operation.action()));
        let (Some(slice), Some(request)) = (slice, self.request(facts)) else {
            return Verdict::default();
        };
        let response = self.authorizer.is_authorized(&request, slice, &self.entities);
        let diagnostics = response.diagnostics();
        let erred = diagnostics.errors().map(|error| match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
        });
        Verdict {
            is_allowed: response.decision() == CedarDecision::Allow,
            because: diagnostics.reason().filter_map(|id| self.rule(id)).collect(),
            errors: erred.filter_map(|id| self.rule(id)).collect(),
        }
    }

    fn rule(&self, id: &PolicyId) -> Option<&Rule> {
        let text: &str = id.as_ref();
        self.rules.get(text.parse::<usize>().ok()?)
    }

    /// The request as Cedar sees it; nothing for an agent or endpoint that is not in the inventory.
    pub(super) fn request(&self, facts: &Facts) -> Option<Request> {
        let is_known =
            self.has_agent(&facts.agent) && self.endpoint_named(&facts.endpoint).is_some();
        let names = (
            uid("Agent", facts.agent.as_str())?,
            uid("Action", facts.operation.action())?,
            uid("Endpoint", facts.endpoint.as_str())?,
        );
        let (principal, action, resource) = is_known.then_some(names)?;
        Request::new(principal, action, resource, schema::context(facts)?, None).ok()
    }

    /// Whether the scope of a rule admits these facts.
    pub(super) fn is_in_scope(&self, rule: &Rule, facts: &Facts) -> bool {
        let groups = self.inventory.agents.get(&facts.agent).map(|agent| agent.groups.as_slice());
        groups.is_some_and(|groups| rule.admits_agent(&facts.agent, groups))
            && rule.admits_action(facts.operation.action())
            && self.endpoint_named(&facts.endpoint).is_some_and(|found| rule.admits_endpoint(found))
    }
}

/// The join of obligations: masks are united, the deeper record wins.
fn join(permits: &[&Rule]) -> Obligations {
    let mut joined = Obligations { record: RecordDepth::Facts, ..Obligations::default() };
    for rule in permits {
        joined.mask_request.extend(rule.obligations.mask_request.iter().cloned());
        joined.mask_response.extend(rule.obligations.mask_response.iter().cloned());
        joined.record = joined.record.max(rule.obligations.record);
    }
    joined
}

pub(super) fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    let kind: EntityTypeName = kind.parse().ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn entities(inventory: &Inventory, schema: &Schema) -> Result<Entities, String> {
    let mut entities = Vec::new();
    let mut put = |kind: &str, id: &str, parent_kind: &str, parents: &[String]| {
        let parents: Option<HashSet<EntityUid>> =
            parents.iter().map(|parent| uid(parent_kind, parent)).collect();
        let entity = uid(kind, id).zip(parents);
        entities.extend(entity.map(|(uid, parents)| Entity::new_no_attrs(uid, parents)));
    };
    for (name, agent) in &inventory.agents {
        put("Agent", name.as_str(), "Group", &agent.groups);
    }
    for endpoint in &inventory.endpoints {
        put("Endpoint", endpoint.name.as_str(), "EndpointGroup", &endpoint.groups);
    }
    inventory.groups.iter().for_each(|group| put("Group", group, "Group", &[]));
    inventory
        .endpoint_groups
        .iter()
        .for_each(|group| put("EndpointGroup", group, "EndpointGroup", &[]));
    Entities::from_entities(entities, Some(schema)).map_err(|error| error.to_string())
}

/// For each agent and action the rules whose scope admits them; equal slices are shared.
fn slices(
    inventory: &Inventory,
    rules: &[Rule],
) -> Result<BTreeMap<AgentName, BTreeMap<&'static str, Arc<PolicySet>>>, String> {
    let mut shared: BTreeMap<Vec<usize>, Arc<PolicySet>> = BTreeMap::new();
    let mut slices = BTreeMap::new();
    for (name, agent) in &inventory.agents {
        let mut actions = BTreeMap::new();
        for action in schema::ACTIONS {
            let admits = |(_, rule): &(usize, &Rule)| {
                rule.admits_agent(name, &agent.groups) && rule.admits_action(action.name)
            };
            let chosen: Vec<usize> =
                rules.iter().enumerate().filter(admits).map(|(index, _)| index).collect();
            let slice = if let Some(slice) = shared.get(&chosen) {
                Arc::clone(slice)
            } else {
                let policies = chosen.iter().filter_map(|index| rules.get(*index));
                let policies = policies.map(|rule| rule.cedar.clone());
                let set = PolicySet::from_policies(policies).map_err(|error| error.to_string())?;
                let set = Arc::new(set);
                shared.insert(chosen, Arc::clone(&set));
                set
            };
            actions.insert(action.name, slice);
        }
        slices.insert(name.clone(), actions);
    }
    Ok(slices)
}

/// For each agent the endpoints that the scope of some permit admits, by index.
fn reach(inventory: &Inventory, rules: &[Rule]) -> BTreeMap<AgentName, BTreeSet<usize>> {
    let of = |name: &AgentName, groups: &[String]| {
        let permits =
            || rules.iter().filter(|rule| rule.is_permit && rule.admits_agent(name, groups));
        let endpoints = inventory.endpoints.iter().enumerate();
        endpoints
            .filter(|(_, endpoint)| permits().any(|rule| rule.admits_endpoint(endpoint)))
            .map(|(index, _)| index)
            .collect()
    };
    let agents = inventory.agents.iter();
    agents.map(|(name, agent)| (name.clone(), of(name, &agent.groups))).collect()
}

fn is_named(uid: &EntityUid, kind: &str, name: &str, group_kind: &str, groups: &[String]) -> bool {
    let (found, id) = (uid.type_name().to_string(), uid.id().unescaped());
    (found == kind && id == name) || (found == group_kind && groups.iter().any(|group| group == id))
}

impl Rule {
    /// Whether the scope admits an agent in these groups.
    pub(super) fn admits_agent(&self, name: &AgentName, groups: &[String]) -> bool {
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
    pub(super) fn admits_action(&self, action: &str) -> bool {
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

    /// Whether the scope admits an endpoint.
    pub(super) fn admits_endpoint(&self, endpoint: &Endpoint) -> bool {
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
