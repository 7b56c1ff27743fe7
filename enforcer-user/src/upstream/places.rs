// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bounds on what is with providers at once: connections over all, and exchanges of one agent, so that no agent
//! takes every place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use enforcer_core::model::{AgentName, limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of all agents.
pub(super) struct Places {
    connections: Arc<Semaphore>,
    agents: Arc<Agents>,
}

#[derive(Default)]
struct Agents(Mutex<HashMap<AgentName, usize>>);

impl Default for Places {
    fn default() -> Self {
        let connections = Arc::new(Semaphore::new(limits::UPSTREAM_CONNECTIONS_MAX));
        Self { connections, agents: Arc::default() }
    }
}

impl Places {
    /// A place for one more exchange of this agent; none beyond its bound.
    pub(super) fn exchange(&self, agent: &AgentName) -> Option<Place> {
        let mut agents = self.agents.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = agents.entry(agent.clone()).or_default();
        if *count >= limits::UPSTREAM_EXCHANGES_OF_AGENT_MAX {
            return None;
        }
        *count += 1;
        drop(agents);
        Some(Place { agents: Arc::clone(&self.agents), agent: agent.clone() })
    }

    /// A place for one more connection. When there is none, `make_room` is called, and what it closes is waited
    /// for.
    pub(super) async fn connection(
        &self,
        make_room: impl FnOnce(),
    ) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() {
            return Some(permit);
        }
        make_room();
        let permit = Arc::clone(&self.connections).acquire_owned();
        tokio::time::timeout(limits::UPSTREAM_CONNECT_TIMEOUT, permit).await.ok()?.ok()
    }
}

/// The place of one exchange of an agent.
pub(super) struct Place {
    agents: Arc<Agents>,
    agent: AgentName,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut agents = self.agents.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = agents.get_mut(&self.agent) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                agents.remove(&self.agent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_takes_all_its_places_leaves_those_of_others() {
        let places = Places::default();
        let (greedy, other) = (AgentName::new("greedy"), AgentName::new("other"));
        let held: Vec<_> = std::iter::from_fn(|| places.exchange(&greedy)).collect();
        assert_eq!(held.len(), limits::UPSTREAM_EXCHANGES_OF_AGENT_MAX);
        assert!(places.exchange(&other).is_some());
        drop(held);
        assert!(places.exchange(&greedy).is_some());
        assert!(places.agents.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_gets_a_place_that_is_made_for_it_or_is_refused() {
        let places = Places::default();
        let mut held = Vec::new();
        for _ in 0..limits::UPSTREAM_CONNECTIONS_MAX {
            held.push(places.connection(|| unreachable!("there is room")).await.unwrap());
        }
        assert!(places.connection(|| {}).await.is_none());
        assert!(places.connection(|| drop(held.pop())).await.is_some());
    }
}
