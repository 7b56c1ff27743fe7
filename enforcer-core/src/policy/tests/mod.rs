// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tests of the room as a whole: shipped bundles, every diagnostic, the laws of decisions.

mod agree;
mod broken;
mod compare;
mod comparisons;
mod decisions;
mod laws;
mod reference;
mod shipped;
mod suggestions;
mod tool_calls;

use std::collections::{BTreeMap, BTreeSet};

use super::compile::{Compiled, compile};
use super::decide::policy::Policy;
use super::load::diagnostic::Diagnostic;
use super::load::schema::{FactValue, action, operation};
use super::load::sources::{SourceFile, Sources};
use crate::model::{AgentName, DetectorName, EndpointName, Facts, Operation};

/// An inventory that most tests share.
pub(super) const INVENTORY: &str = r#"version = 1

[agents.support]
groups = ["customer-facing"]

[agents.research]

[endpoints.openai]
hosts = ["api.openai.com"]
protocol = "openai"
groups = ["models"]

[endpoints.files]
hosts = ["*.files.example"]

[endpoints.pypi]
hosts = ["pypi.example"]
tls = "passthrough"

[detectors.employee-id]
pattern = 'EMP-\d{6}'

[masks.pii]
detectors = ["email", "credit-card"]

[masks.staff]
detectors = ["employee-id"]
style = "hash"

[budgets.daily]
per = "agent"
tokens = 1_000
window = "1d"

[budgets.calls]
per = "user"
requests = 10
window = "1h"

[approvals.leads]
by = ["group:leads"]

[credentials.key]
secret = "env:KEY"
header = "authorization"
value = "Bearer {secret}"
"#;

pub(super) fn sources(files: &[(&str, &str)]) -> Sources {
    let file = |(path, text): &(&str, &str)| SourceFile {
        path: (*path).to_owned(),
        text: (*text).to_owned(),
    };
    Sources { files: files.iter().map(file).collect() }
}

/// A policy of the shared inventory and these rules.
pub(super) fn policy(rules: &str) -> Policy {
    match compile(&sources(&[("policy.toml", INVENTORY), ("rules.cedar", rules)])) {
        Ok(Compiled { policy, .. }) => policy,
        Err(errors) => panic!("{errors}\n{rules}"),
    }
}

/// What is wrong with a bundle, as one line each.
pub(super) fn problems(files: &[(&str, &str)]) -> Vec<Diagnostic> {
    match compile(&sources(files)) {
        Ok(compiled) => panic!("compiled, with warnings {:?}", compiled.warnings),
        Err(errors) => errors.0,
    }
}

pub(super) fn facts(agent: &str, endpoint: &str, operation: Operation) -> Facts {
    Facts {
        agent: AgentName::new(agent),
        endpoint: EndpointName::new(endpoint),
        detected: BTreeSet::new(),
        sought: None,
        calls: Vec::new(),
        hidden: Default::default(),
        operation,
    }
}

pub(super) fn chat(model: &str, input_tokens: i64) -> Facts {
    let given = BTreeMap::from([
        ("model".to_owned(), FactValue::String(model.to_owned())),
        ("input_tokens".to_owned(), FactValue::Long(input_tokens)),
    ]);
    let chat = operation(action("chat").expect("an action"), &given).expect("a chat");
    facts("support", "openai", chat)
}

pub(super) fn http(method: &str, path: &str) -> Facts {
    let given = BTreeMap::from([
        ("method".to_owned(), FactValue::String(method.to_owned())),
        ("path".to_owned(), FactValue::String(path.to_owned())),
    ]);
    let http = operation(action("http").expect("an action"), &given).expect("a request");
    facts("support", "openai", http)
}

pub(super) fn detected(mut facts: Facts, names: &[&str]) -> Facts {
    facts.detected = names.iter().map(|name| DetectorName::new(*name)).collect();
    facts
}
