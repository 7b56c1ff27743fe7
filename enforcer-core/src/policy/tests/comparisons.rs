// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said of plain comparisons without asking Cedar is what Cedar says.

use cedar_policy::{Policy as CedarPolicy, PolicySet};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::{select, subsequence};
use proptest::test_runner::Config;

use super::super::decide::comparison::Plain;
use super::super::decide::policy::Policy;
use super::super::load::schema::{ACTIONS, FactKind, FactValue, Otherwise, operation};
use super::{detected, facts, policy};
use crate::model::Facts;

const TEXTS: &[&str] = &["", "a", "A", "b", "email", "employee-id", "é\"\\"];
/// With what an overflow could hide.
const NUMBERS: &[i64] = &[i64::MIN, i64::MIN + 1, -1, 0, 1, 5, i64::MAX - 1, i64::MAX];

fn text() -> impl Strategy<Value = String> {
    select(TEXTS).prop_map(str::to_owned)
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![3 => select(NUMBERS), 1 => any::<i64>()]
}

fn value(kind: FactKind) -> impl Strategy<Value = FactValue> {
    match kind {
        FactKind::Bool => any::<bool>().prop_map(FactValue::Bool).boxed(),
        FactKind::Long => number().prop_map(FactValue::Long).boxed(),
        FactKind::String => text().prop_map(FactValue::String).boxed(),
        FactKind::StringSet => {
            let texts = TEXTS.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            subsequence(texts, 0..=TEXTS.len()).prop_map(FactValue::StringSet).boxed()
        }
    }
}

/// Cedar's own way of writing a text.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_default())
}

/// A condition that compares a fact of this kind, and its parts joined in every way.
fn comparison(name: &'static str, kind: FactKind) -> impl Strategy<Value = String> {
    let fact = format!("context.{name}");
    let either = |fact: &str, operator: &str, literal: &str, is_turned: bool| {
        if is_turned {
            format!("{literal} {operator} {fact}")
        } else {
            format!("{fact} {operator} {literal}")
        }
    };
    let plain = match kind {
        FactKind::Bool => Just(fact).boxed(),
        FactKind::Long => {
            let operator = select(vec!["<", "<=", ">", ">=", "==", "!="]);
            (operator, number(), any::<bool>())
                .prop_map(move |(operator, number, is_turned)| {
                    either(&fact, operator, &number.to_string(), is_turned)
                })
                .boxed()
        }
        FactKind::String => {
            let equal = (select(vec!["==", "!="]), text(), any::<bool>());
            let list = subsequence(TEXTS, 1..=TEXTS.len());
            let same = fact.clone();
            prop_oneof![
                equal.prop_map(move |(operator, text, is_turned)| {
                    either(&fact, operator, &quoted(&text), is_turned)
                }),
                list.prop_map(move |list| {
                    let list: Vec<_> = list.into_iter().map(quoted).collect();
                    format!("[{}].contains({same})", list.join(", "))
                }),
            ]
            .boxed()
        }
        FactKind::StringSet => {
            text().prop_map(move |text| format!("{fact}.contains({})", quoted(&text))).boxed()
        }
    };
    (plain, any::<bool>()).prop_map(
        |(plain, is_not)| {
            if is_not { format!("!({plain})") } else { plain }
        },
    )
}

/// Conditions about facts of one action, and such facts; those that may be absent sometimes are.
fn asked() -> impl Strategy<Value = (String, Facts)> {
    select(ACTIONS).prop_flat_map(|action| {
        let values: Vec<_> = action
            .facts
            .iter()
            .map(|fact| {
                let is_there = fact.otherwise != Otherwise::Absent;
                let value = match fact.name {
                    "cause" => Just(FactValue::String("fields".to_owned())).boxed(),
                    "kind" => Just(FactValue::String("shell".to_owned())).boxed(),
                    "port" => Just(FactValue::Long(443)).boxed(),
                    _ => value(fact.kind).boxed(),
                };
                (value, any::<bool>()).prop_map(move |(value, is_given)| {
                    (is_there || is_given).then(|| (fact.name.to_owned(), value))
                })
            })
            .collect();
        let names = action.facts.iter().map(|fact| (fact.name, fact.kind));
        let parts: Vec<_> = names
            .chain([("detected", FactKind::StringSet)])
            .map(|(name, kind)| comparison(name, kind).boxed())
            .collect();
        let kind = select(vec!["when", "unless"]);
        let part = (kind, proptest::collection::vec(proptest::strategy::Union::new(parts), 1..4));
        let conditions = proptest::collection::vec(part, 1..3).prop_map(|conditions| {
            let conditions = conditions.into_iter();
            conditions
                .map(|(kind, parts)| format!("{kind} {{ {} }}", parts.join(" && ")))
                .collect::<String>()
        });
        let found = subsequence(vec!["email", "employee-id"], 0..=2);
        (conditions, values, found).prop_map(move |(conditions, values, found)| {
            let given = values.into_iter().flatten().collect();
            let operation = operation(&action, &given).expect("an operation");
            (conditions, detected(facts("support", "openai", operation), &found))
        })
    })
}

/// Whether a rule with these conditions is satisfied, if Cedar can say it without an error.
fn cedar_says(policy: &Policy, rule: &CedarPolicy, facts: &Facts) -> Option<bool> {
    let request = policy.request(facts, None).expect("a request");
    let set = PolicySet::from_policies([rule.clone()]).expect("one rule");
    let answer = policy.authorizer.is_authorized(&request, &set, &policy.entities);
    let has_erred = answer.diagnostics().errors().next().is_some();
    (!has_erred).then(|| answer.diagnostics().reason().next().is_some())
}

proptest! {
    #![proptest_config(Config { cases: 2_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn what_is_said_of_a_plain_comparison_is_what_cedar_says((conditions, facts) in asked()) {
        let empty = policy("");
        let text = format!("permit (principal, action, resource) {conditions};");
        let rule = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
        let said = Plain::of(&rule).holds(&facts);
        if said.is_some() {
            assert_eq!(said, cedar_says(&empty, &rule, &facts), "{conditions} {facts:?}");
        }
    }
}

/// Without it the law above could hold because Cedar is always asked.
#[test]
fn cedar_is_not_asked_about_what_most_rules_say() {
    let check = |conditions: &str, expect: Option<bool>| {
        let text = format!("permit (principal, action, resource) {conditions};");
        let facts = detected(super::chat("gpt-4.1", 5), &["email"]);
        let said = Plain::of(&text.parse().expect("a rule")).holds(&facts);
        assert_eq!(said, expect, "{conditions}");
    };
    check("", Some(true));
    check("when { context.model == \"gpt-4.1\" && context.input_tokens <= 5 }", Some(true));
    check("when { context.input_tokens > 5 && context.model like \"gpt*\" }", Some(false));
    check("when { context.model like \"gpt*\" && context.input_tokens > 5 }", None);
    check("unless { context.detected.contains(\"email\") }", Some(false));
    check("when { context.max_tokens < 5 }", None);
}
