// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Warnings for what stands in the inventory and no rule asks for.

use std::ops::Range;

use super::super::load::diagnostic::Diagnostic;
use super::super::load::inventory::Inventory;
use super::super::load::rules::Rule;
use super::super::load::sources::SourceFile;

pub(super) fn unused(file: &SourceFile, inventory: &Inventory, rules: &[Rule]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut warn = |span: &Range<usize>, message: String, label: &str, help: Option<String>| {
        let mut unused = Diagnostic::error(file, span.clone(), message).as_warning().label(label);
        unused.help = help;
        found.push(unused);
    };
    let mut no_rule = |what: &str, name: &str, annotation: &str, span: &Range<usize>| {
        let help = format!("add `@{annotation}(\"{name}\")` to a permit");
        warn(span, format!("no rule asks for {what} `{name}`"), "", Some(help));
    };
    for (name, mask) in &inventory.masks {
        let asks = |rule: &Rule| {
            rule.obligations.mask_request.contains(name)
                || rule.obligations.mask_response.contains(name)
        };
        if !rules.iter().any(asks) {
            no_rule("mask", name.as_str(), "mask", &mask.span);
        }
    }
    for (name, budget) in &inventory.budgets {
        if !rules.iter().any(|rule| rule.obligations.budgets.contains(name)) {
            no_rule("budget", name.as_str(), "budget", &budget.span);
        }
    }
    for (name, approval) in &inventory.approvals {
        if !rules.iter().any(|rule| rule.obligations.approvals.contains(name)) {
            no_rule("approval", name.as_str(), "approve", &approval.span);
        }
    }
    for (name, credential) in &inventory.credentials {
        if !rules.iter().any(|rule| rule.obligations.credentials.contains(name)) {
            no_rule("credential", name.as_str(), "credential", &credential.span);
        }
    }
    for (name, agent) in &inventory.agents {
        if !rules.iter().any(|rule| rule.is_permit && rule.admits_agent(name, &agent.groups)) {
            let message = format!("no rule permits anything to agent `{name}`");
            warn(&agent.span, message, "everything it tries is denied", None);
        }
    }
    for (endpoint, span) in inventory.endpoints.iter().zip(&inventory.endpoint_spans) {
        if !rules.iter().any(|rule| rule.is_permit && rule.admits_endpoint(endpoint)) {
            let message = format!("no rule permits anything on endpoint `{}`", endpoint.name);
            warn(span, message, "everything sent there is denied", None);
        }
    }
    found.extend(too_small(file, inventory));
    if inventory.captures_endpoints.is_some() {
        found.extend(unknown_addresses(file, inventory));
    }
    found
}

/// Endpoints whose addresses nobody can look up.
fn unknown_addresses<'a>(
    file: &'a SourceFile,
    inventory: &'a Inventory,
) -> impl Iterator<Item = Diagnostic> + 'a {
    let all = inventory.endpoints.iter().zip(&inventory.endpoint_spans);
    all.filter_map(move |(endpoint, span)| {
        let wildcard = endpoint.hosts.iter().find(|host| host.exact().is_none())?;
        let message = format!("`{wildcard}` has no addresses that could be looked up");
        let unknown = Diagnostic::error(file, span.clone(), message).as_warning();
        Some(unknown.label("agents with `capture = \"endpoints\"` are not redirected there"))
    })
}

/// Budgets from which nothing can be reserved for the answer of a request that names no bound.
fn too_small<'a>(
    file: &'a SourceFile,
    inventory: &'a Inventory,
) -> impl Iterator<Item = Diagnostic> + 'a {
    inventory.budgets.iter().filter_map(move |(name, entry)| {
        let (tokens, answer) = (entry.value.tokens?, entry.value.answer_tokens);
        (answer > tokens).then(|| {
            let message = format!(
                "one request without `max_tokens` reserves the whole budget `{name}` \
                 ({answer} of {tokens} tokens)"
            );
            Diagnostic::error(file, entry.span.clone(), message)
                .as_warning()
                .label("no other is sent beside it")
                .help("give it a smaller `answer_tokens`")
        })
    })
}
