// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a decision costs, facts ready: by number of rules, and with rules of other agents beside them.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use enforcer_core::model::{AgentName, DetectorName, Effect, EndpointName, Facts};
use enforcer_core::policy::{FactValue, Policy, SourceFile, Sources, action, compile, operation};

/// What the models of a permit are compared with.
#[derive(Clone, Copy)]
enum Models {
    /// A list: nobody has to ask Cedar.
    Listed,
    /// A pattern: Cedar is asked.
    Patterned,
}

impl Models {
    fn condition(self) -> &'static str {
        match self {
            Self::Listed => "[\"gpt-4.1\", \"gpt-4.1-mini\"].contains(context.model)",
            Self::Patterned => "context.model like \"gpt-4*\"",
        }
    }
}

/// Rules of one agent, in the mix of a bundle that grew: permits with masks and budgets, and forbids.
fn rules(agent: usize, count: usize, models: Models, text: &mut String) {
    let models = models.condition();
    for number in 0..count {
        let scope = format!("principal == Agent::\"agent-{agent}\"");
        let id = format!("a{agent}-r{number}");
        let rule = match number % 5 {
            0 => format!(
                "@id(\"{id}\") @mask(\"pii\") @budget(\"daily\")\n\
                 permit ({scope}, action == Action::\"chat\", resource == Endpoint::\"openai\")\n\
                 when {{ {models} && context.input_tokens <= {} }};",
                1000 + number
            ),
            1 => format!(
                "@id(\"{id}\")\nforbid ({scope}, action == Action::\"chat\", resource in EndpointGroup::\"models\")\n\
                 when {{ context.detected.contains(\"credit-card\") && context.message_count > {number} }};"
            ),
            2 => format!(
                "@id(\"{id}\")\nforbid ({scope}, action == Action::\"chat\", resource)\n\
                 when {{ context.tools.contains(\"tool-{number}\") }};"
            ),
            3 => format!(
                "@id(\"{id}\")\npermit ({scope}, action == Action::\"http\", resource == Endpoint::\"files\")\n\
                 when {{ context.method == \"GET\" && context.path like \"/v{number}/*\" }};"
            ),
            _ => format!(
                "@id(\"{id}\")\nforbid ({scope}, action in Action::\"admin\", resource == Endpoint::\"openai\");"
            ),
        };
        writeln!(text, "{rule}").expect("text grows");
    }
}

/// A bundle of so many agents with so many rules each.
fn policy(agents: usize, each: usize, models: Models) -> Policy {
    let mut inventory = String::from(
        "version = 1\n[endpoints.openai]\nhosts = [\"api.openai.com\"]\nprotocol = \"openai\"\n\
         groups = [\"models\"]\n[endpoints.files]\nhosts = [\"files.example\"]\n\
         [masks.pii]\ndetectors = [\"email\", \"credit-card\"]\n\
         [budgets.daily]\nper = \"agent\"\ntokens = 1000000\nwindow = \"1d\"\n",
    );
    let mut text = String::new();
    for agent in 0..agents {
        writeln!(inventory, "[agents.agent-{agent}]").expect("text grows");
        rules(agent, each, models, &mut text);
    }
    let file = |path: &str, text: String| SourceFile { path: path.to_owned(), text };
    let files = vec![file("policy.toml", inventory), file("rules.cedar", text)];
    compile(&Sources { files }).expect("the bundle is valid").policy
}

fn facts() -> Facts {
    let given = BTreeMap::from([
        ("model".to_owned(), FactValue::String("gpt-4.1".to_owned())),
        ("input_tokens".to_owned(), FactValue::Long(800)),
        ("tools".to_owned(), FactValue::StringSet(vec!["search".to_owned(), "mail".to_owned()])),
    ]);
    Facts {
        agent: AgentName::new("agent-0"),
        endpoint: EndpointName::new("openai"),
        detected: BTreeSet::from([DetectorName::new("email")]),
        sought: None,
        calls: Vec::new(),
        hidden: Default::default(),
        operation: operation(action("chat").expect("an action"), &given).expect("facts"),
    }
}

fn decide(criterion: &mut Criterion) {
    let facts = facts();
    let mut group = criterion.benchmark_group("decide");
    for (name, agents, each, models) in [
        ("50 rules, of one agent", 1, 50, Models::Listed),
        ("50 rules, of one agent, with patterns", 1, 50, Models::Patterned),
        ("50 rules, of 5 agents", 5, 10, Models::Listed),
        ("2000 rules, of 200 agents", 200, 10, Models::Listed),
        ("2000 rules, of 40 agents, with patterns", 40, 50, Models::Patterned),
    ] {
        let policy = policy(agents, each, models);
        assert_eq!(policy.decide(&facts).effect, Effect::Allow);
        group.bench_function(name, |bencher| bencher.iter(|| policy.decide(black_box(&facts))));
    }
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
