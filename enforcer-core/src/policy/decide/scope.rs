// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the scope of a rule admits, over all agents, actions and endpoints of a bundle.

use crate::model::AgentName;

use super::super::load::inventory::Endpoint;
use super::super::load::rules::Rule;
use super::super::load::schema;

/// For each agent, action and endpoint whether the scope of a rule admits it, by index.
#[derive(Debug)]
pub(in crate::policy) struct Scope {
    agents: Vec<bool>,
    actions: Vec<bool>,
    endpoints: Vec<bool>,
}

impl Scope {
    /// The scope of a rule over these agents with their groups, all actions, and these endpoints.
    pub(in crate::policy) fn of<'e>(
        rule: &Rule,
        agents: &[(&AgentName, &[String])],
        endpoints: impl IntoIterator<Item = &'e Endpoint>,
    ) -> Self {
        let agents = agents.iter().map(|(name, groups)| rule.admits_agent(name, groups));
        let actions = schema::ACTIONS.iter().map(|action| rule.admits_action(action.name));
        let endpoints = endpoints.into_iter().map(|endpoint| rule.admits_endpoint(endpoint));
        Self {
            agents: agents.collect(),
            actions: actions.collect(),
            endpoints: endpoints.collect(),
        }
    }

    /// Whether everything that this scope admits is admitted by the other one, too.
    pub(in crate::policy) fn is_within(&self, other: &Self) -> bool {
        self.is_within_but_for_actions(other) && within(&self.actions, &other.actions)
    }

    /// The same, whatever their actions are.
    pub(in crate::policy) fn is_within_but_for_actions(&self, other: &Self) -> bool {
        within(&self.agents, &other.agents) && within(&self.endpoints, &other.endpoints)
    }

    /// Whether it admits an agent, an action and an endpoint together.
    pub(in crate::policy) fn admits(&self, agent: usize, action: usize, endpoint: usize) -> bool {
        let is_in = |all: &[bool], index: usize| all.get(index).copied().unwrap_or(false);
        is_in(&self.agents, agent)
            && is_in(&self.actions, action)
            && is_in(&self.endpoints, endpoint)
    }
}

fn within(inner: &[bool], outer: &[bool]) -> bool {
    inner.iter().zip(outer).all(|(inner, outer)| *outer || !*inner)
}
