// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tool calls that a model asks for, judged by the policy of their exchange. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::mask::Masker;
use crate::model::{
    AgentName, Decision, EndpointName, ExchangeId, Facts, MaskName, Operation, ToolCall,
};
use crate::policy::{AskedCalls, Policy};
use crate::protocol::codec::{Calls, Judge};

/// What is done with the calls in an answer.
#[must_use]
pub fn calls(
    policy: &Arc<Policy>,
    agent: &AgentName,
    endpoint: &EndpointName,
    exchange: ExchangeId,
) -> Calls {
    let judge = || -> Arc<dyn Judge> {
        let (policy, agent, endpoint) = (Arc::clone(policy), agent.clone(), endpoint.clone());
        Arc::new(ByPolicy { policy, agent, endpoint })
    };
    match policy.asked_calls(agent, endpoint) {
        AskedCalls::Hold => Calls::Held { judge: judge(), exchange: Some(exchange) },
        AskedCalls::Pass => Calls::Unjudged,
        AskedCalls::Watch => Calls::Watched { judge: judge() },
    }
}

/// The policy, for the calls of one agent on one endpoint.
#[derive(Debug)]
struct ByPolicy {
    policy: Arc<Policy>,
    agent: AgentName,
    endpoint: EndpointName,
}

impl Judge for ByPolicy {
    fn judge(&self, call: &ToolCall) -> Decision {
        let operation = Operation::ToolCall(call.clone());
        let found = self.policy.detectors_for(&self.agent, operation.action(), &self.endpoint);
        let (detectors, sought) = match found {
            Some((detectors, sought)) => (detectors, sought.clone()),
            None => (self.policy.detectors(), self.policy.detector_names().into_iter().collect()),
        };
        let mut look = detectors.look();
        if !detectors.is_empty() {
            // In each scalar, too: an escape in the text could hide what the tool would read.
            let texts =
                [&call.name, &call.server, &call.arguments].into_iter().chain(&call.scalars);
            texts.for_each(|text| look.text(text));
        }
        self.policy.decide(&Facts {
            agent: self.agent.clone(),
            endpoint: self.endpoint.clone(),
            detected: look.names(),
            sought: Some(sought),
            hidden: BTreeSet::new(),
            operation,
            calls: Vec::new(),
        })
    }

    fn masker(&self, masks: &BTreeSet<MaskName>) -> Masker {
        self.policy.masker(masks)
    }
}
