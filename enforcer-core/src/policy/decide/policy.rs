// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The compiled policy: what the bundle says, made ready to decide.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cedar_policy::{
    Authorizer, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, Schema,
};

use crate::mask::{DetectorSet, HashKey, Masker};
use crate::model::{
    AgentName, ApprovalName, BudgetName, Capture, CredentialName, DetectorName, EndpointName,
    Facts, LaunchMode, MaskName, Mode, PolicyVersion, RuleId,
};

use super::super::load::inventory::{Endpoint, Inventory};
use super::super::load::rules::Rule;
use super::super::load::schema;
use super::super::load::sections::{Approval, Budget, Credential};
use super::super::load::selector::Selector;
use super::masks::{Maskers, detectors};
use super::slices::Slices;

/// A compiled bundle. Immutable; shared by all exchanges that started with it.
#[derive(Debug)]
pub struct Policy {
    pub(super) version: PolicyVersion,
    pub(in crate::policy) inventory: Inventory,
    pub(in crate::policy) rules: Vec<Rule>,
    pub(super) slices: Slices,
    /// Endpoints that some permit could let an agent use, by index.
    reach: BTreeMap<AgentName, BTreeSet<usize>>,
    pub(in crate::policy) entities: Entities,
    pub(in crate::policy) authorizer: Authorizer,
    names: Names,
    detectors: DetectorSet,
    maskers: Maskers,
}

/// What has to be done about tool calls that a model asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedCalls {
    /// Each is held until it is judged.
    Hold,
    /// Nothing: no rule is about them.
    Pass,
    /// Each is judged, and the agent gets it whatever was decided.
    Watch,
}

/// What requests are about, as Cedar names it; made once.
#[derive(Debug)]
struct Names {
    agents: BTreeMap<AgentName, EntityUid>,
    actions: BTreeMap<&'static str, EntityUid>,
    endpoints: BTreeMap<EndpointName, EntityUid>,
}

impl Names {
    fn new(inventory: &Inventory) -> Option<Self> {
        let agents = inventory.agents.keys();
        let agents = agents.map(|name| Some((name.clone(), uid("Agent", name.as_str())?)));
        let actions = schema::ACTIONS.iter();
        let actions = actions.map(|action| Some((action.name, uid("Action", action.name)?)));
        let endpoints = inventory.endpoints.iter().map(|endpoint| &endpoint.name);
        let endpoints = endpoints.map(|name| Some((name.clone(), uid("Endpoint", name.as_str())?)));
        Some(Self {
            agents: agents.collect::<Option<_>>()?,
            actions: actions.collect::<Option<_>>()?,
            endpoints: endpoints.collect::<Option<_>>()?,
        })
    }
}

impl Policy {
    pub(in crate::policy) fn new(
        version: PolicyVersion,
        inventory: Inventory,
        rules: Vec<Rule>,
        schema: &Schema,
    ) -> Result<Self, String> {
        let entities = entities(&inventory, schema)?;
        let slices = Slices::new(&inventory, &rules)?;
        let names = Names::new(&inventory).ok_or("a name is not one for the rules")?;
        let reach = reach(&inventory, &rules);
        let detectors = detectors(&inventory)?;
        let maskers = Maskers::new(&inventory, &rules)?;
        Ok(Self {
            version,
            inventory,
            rules,
            slices,
            reach,
            entities,
            authorizer: Authorizer::new(),
            names,
            detectors,
            maskers,
        })
    }

    /// The same policy, whose masks hash with this key; without it they hash with the one that everybody knows.
    #[must_use]
    pub fn with_hash_key(self, key: HashKey) -> Self {
        Self { maskers: self.maskers.with_key(key), ..self }
    }

    /// The key that its masks hash with.
    #[must_use]
    pub const fn hash_key(&self) -> HashKey {
        self.maskers.key()
    }

    /// Hash of the sources; it goes into every record.
    #[must_use]
    pub const fn version(&self) -> &PolicyVersion {
        &self.version
    }

    /// What is done with decisions.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.inventory.mode
    }

    /// The budget of this name.
    #[must_use]
    pub fn budget(&self, name: &BudgetName) -> Option<&Budget> {
        self.inventory.budgets.get(name).map(|entry| &entry.value)
    }

    /// All budgets.
    pub fn budgets(&self) -> impl Iterator<Item = (&BudgetName, &Budget)> {
        self.inventory.budgets.iter().map(|(name, entry)| (name, &entry.value))
    }

    /// The approval of this name.
    #[must_use]
    pub fn approval(&self, name: &ApprovalName) -> Option<&Approval> {
        self.inventory.approvals.get(name).map(|entry| &entry.value)
    }

    /// Names of all approvals.
    pub fn approvals(&self) -> impl Iterator<Item = &ApprovalName> {
        self.inventory.approvals.keys()
    }

    /// The credential of this name.
    #[must_use]
    pub fn credential(&self, name: &CredentialName) -> Option<&Credential> {
        self.inventory.credentials.get(name).map(|entry| &entry.value)
    }

    /// All credentials.
    pub fn credentials(&self) -> impl Iterator<Item = (&CredentialName, &Credential)> {
        self.inventory.credentials.iter().map(|(name, entry)| (name, &entry.value))
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

    /// Every detector of the bundle.
    #[must_use]
    pub const fn detectors(&self) -> &DetectorSet {
        &self.detectors
    }

    /// The detectors that some rule could ask for when this agent does this there; what no rule asks for need
    /// not be looked for.
    #[must_use]
    pub fn detectors_for(
        &self,
        agent: &AgentName,
        action: &str,
        endpoint: &EndpointName,
    ) -> Option<(&DetectorSet, &BTreeSet<DetectorName>)> {
        let slice = self.slices.find(agent, action, endpoint)?;
        Some((&slice.detectors, &slice.sought))
    }

    /// What has to be done about tool calls that models ask for in answers to this agent from there. Beforehand: no
    /// rule is evaluated.
    #[must_use]
    pub fn asked_calls(&self, agent: &AgentName, endpoint: &EndpointName) -> AskedCalls {
        let Some(slice) = self.slices.find(agent, schema::TOOL_CALL, endpoint) else {
            return AskedCalls::Pass;
        };
        let does = |index: &usize| {
            self.rules.get(*index).is_some_and(|rule| {
                let is_owed = !rule.is_permit || !rule.obligations.mask_response.is_empty();
                rule.decides_asked && is_owed
            })
        };
        let is_enforced = slice.enforced.iter().any(does);
        match self.mode() {
            Mode::Enforce if is_enforced => AskedCalls::Hold,
            _ if is_enforced || slice.observed.iter().any(does) => AskedCalls::Watch,
            _ => AskedCalls::Pass,
        }
    }

    /// Detectors that some rule asks for about these facts, and that nobody looked for when they were
    /// collected: without them this policy cannot judge them.
    #[must_use]
    pub fn lacks(&self, facts: &Facts) -> BTreeSet<DetectorName> {
        let (agent, endpoint) = (&facts.agent, &facts.endpoint);
        let slice = self.slices.find(agent, facts.operation.action(), endpoint);
        match (slice, &facts.sought) {
            (Some(slice), Some(sought)) => slice.asked.difference(sought).cloned().collect(),
            _ => BTreeSet::new(),
        }
    }

    /// Facts that some rule reads about these facts, and of which a part is hidden in the record: without it this
    /// policy cannot judge them.
    #[must_use]
    pub fn lacks_hidden(&self, facts: &Facts) -> BTreeSet<String> {
        let (agent, endpoint) = (&facts.agent, &facts.endpoint);
        let slice = self.slices.find(agent, facts.operation.action(), endpoint);
        let Some(slice) = slice else { return BTreeSet::new() };
        match &slice.read {
            Some(read) => read.intersection(&facts.hidden).cloned().collect(),
            None => facts.hidden.clone(),
        }
    }

    /// Names of the detectors in [`Self::detectors`].
    #[must_use]
    pub fn detector_names(&self) -> Vec<DetectorName> {
        self.inventory.detector_names()
    }

    /// The union of some masks.
    #[must_use]
    pub fn masker(&self, masks: &BTreeSet<MaskName>) -> Masker {
        self.maskers.of(&self.inventory, masks)
    }

    /// Hides everything that must not be stored or logged: what the masks of the bundle and all its detectors find,
    /// what built-in detectors find that a rule asks for, and secrets, known by their form or by where they stand,
    /// whatever the bundle says.
    #[must_use]
    pub fn masker_of_everything(&self) -> Masker {
        self.maskers.everything()
    }

    /// The request as Cedar sees it, with only those facts that are read, or all; nothing for an agent or endpoint
    /// that is not in the inventory.
    pub(in crate::policy) fn request(
        &self,
        facts: &Facts,
        read: Option<&BTreeSet<String>>,
    ) -> Option<Request> {
        let principal = self.names.agents.get(&facts.agent)?.clone();
        let action = self.names.actions.get(facts.operation.action())?.clone();
        let resource = self.names.endpoints.get(&facts.endpoint)?.clone();
        let context = schema::context(facts, |name| read.is_none_or(|read| read.contains(name)))?;
        Request::new(principal, action, resource, context, None).ok()
    }

    /// Whether the scope of a rule admits these facts.
    pub(in crate::policy) fn is_in_scope(&self, rule: &Rule, facts: &Facts) -> bool {
        let groups = self.inventory.agents.get(&facts.agent).map(|agent| agent.groups.as_slice());
        groups.is_some_and(|groups| rule.admits_agent(&facts.agent, groups))
            && rule.is_about(&facts.operation)
            && self.endpoint_named(&facts.endpoint).is_some_and(|found| rule.admits_endpoint(found))
    }
}

pub(in crate::policy) fn uid(kind: &str, id: &str) -> Option<EntityUid> {
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
