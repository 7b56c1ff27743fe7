// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Endpoints for hosts that were asked for and that none names, as the end of a `policy.toml`.
//!
//! A known provider gets its protocol, any other host `http`. What cannot be an endpoint stays a comment.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::limits::NAME_BYTES_MAX;

use super::super::super::decide::policy::Policy;
use super::super::super::load::hosts::HostPattern;
use super::super::super::load::inventory::Protocol;
use super::super::super::load::sheet;
use super::super::providers::provider_of;
use super::text::toml;

/// Tables for these hosts, each with how often it was asked for.
pub(super) fn text(hosts: &BTreeMap<String, u64>, policy: Option<&Policy>) -> String {
    let mut groups: BTreeMap<String, Vec<(&str, u64)>> = BTreeMap::new();
    let mut unusable = String::new();
    for (host, count) in hosts {
        if is_usable(host) {
            groups.entry(base(host)).or_default().push((host, *count));
        } else {
            unusable += &format!("# cannot be an endpoint: {} ({})\n", toml(host), times(*count));
        }
    }
    let named = policy.into_iter().flat_map(Policy::endpoints);
    let mut taken: BTreeSet<String> = named.map(|endpoint| endpoint.name.to_string()).collect();
    let mut text = String::new();
    for (base, hosts) in groups {
        let name = free(&base, &taken);
        taken.insert(name.clone());
        text += &table(&name, &hosts);
    }
    if !unusable.is_empty() {
        unusable.push('\n');
    }
    text + &unusable
}

/// An address is no host, nor is a text that an agent made up.
fn is_usable(host: &str) -> bool {
    HostPattern::parse(host).is_ok_and(|pattern| pattern.exact().is_some())
}

/// What the endpoint of a host is called, if nothing else is.
fn base(host: &str) -> String {
    if let Some(provider) = provider_of(host) {
        return provider.name.to_owned();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = host.chars().map(plain).take(NAME_BYTES_MAX - 4).collect();
    let name = name.trim_matches('-').to_owned();
    if sheet::is_name(&name) { name } else { "host".to_owned() }
}

fn free(base: &str, taken: &BTreeSet<String>) -> String {
    let numbered = (2..1000).map(|number| format!("{base}-{number}"));
    let mut all = std::iter::once(base.to_owned()).chain(numbered);
    all.find(|name| !taken.contains(name)).unwrap_or_else(|| base.to_owned())
}

fn table(name: &str, hosts: &[(&str, u64)]) -> String {
    let asked: Vec<String> =
        hosts.iter().map(|(host, count)| format!("{host} {}", times(*count))).collect();
    let quoted: Vec<String> = hosts.iter().map(|(host, _)| toml(host)).collect();
    let provider = hosts.first().and_then(|(host, _)| provider_of(host));
    let protocol = provider.map_or(Protocol::Http, |provider| provider.protocol);
    format!(
        "# Asked for: {}.\n[endpoints.{name}]\nhosts = [{}]\nprotocol = \"{}\"\n\n",
        asked.join(", "),
        quoted.join(", "),
        protocol.as_str(),
    )
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::compile::compile;
    use super::super::super::super::load::diagnostic::Severity;
    use super::super::super::super::load::sources::{SourceFile, Sources};
    use super::*;

    const INVENTORY: &str =
        "version = 1\n[agents.a]\n[endpoints.mistral]\nhosts = [\"m.example\"]\n\n";

    fn bundle(more: &str) -> Sources {
        let text = format!("{INVENTORY}{more}");
        Sources { files: vec![SourceFile { path: "policy.toml".to_owned(), text }] }
    }

    #[test]
    fn hosts_become_endpoints_that_a_bundle_can_have_whatever_an_agent_asked_for() {
        let policy = compile(&bundle("")).unwrap().policy;
        let long = format!("{}.{}.example", "a".repeat(60), "b".repeat(60));
        let hosts = [
            "api.x.ai",
            "api.together.xyz",
            "api.together.ai",
            "api.mistral.ai",
            "status.example.com",
            "status-example-com",
            long.as_str(),
            "10.0.0.1",
            "*.example.com",
            "a\"]\n[agents.b]\nmatch = [{ any = true }]",
            "",
        ];
        let hosts: BTreeMap<String, u64> = hosts.map(|host| (host.to_owned(), 2)).into();
        let text = text(&hosts, Some(&policy));
        let found = compile(&bundle(&text)).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert!(found.warnings.iter().all(|found| found.severity == Severity::Warning));
        let policy = found.policy;
        let at = |host: &str| policy.endpoint(host, 443).map(|at| (at.name.as_str(), at.protocol));
        assert_eq!(at("api.x.ai"), Some(("xai", Protocol::OpenAi)));
        assert_eq!(at("api.together.ai"), Some(("together", Protocol::OpenAi)));
        assert_eq!(at("api.together.xyz"), Some(("together", Protocol::OpenAi)));
        assert_eq!(at("api.mistral.ai"), Some(("mistral-2", Protocol::OpenAi)));
        assert_eq!(at("status.example.com"), Some(("status-example-com", Protocol::Http)));
        assert_eq!(policy.agents().count(), 1, "{text}");
        assert!(text.contains("# cannot be an endpoint: \"10.0.0.1\" (2 times)"), "{text}");
    }
}
