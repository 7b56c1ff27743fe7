// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From sources to a policy: the order in which a bundle is read and checked.

use cedar_policy::Validator;

use crate::model::PolicyVersion;

use super::diagnostic::in_order;
use super::rules::Checker;
use super::{
    CASES_FOLDER, Diagnostic, Diagnostics, INVENTORY_FILE, Policy, RULES_SUFFIX, Severity,
    inventory, rules,
};

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Path relative to the bundle, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The files of a bundle, read by the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// All of them, in any order.
    pub files: Vec<SourceFile>,
}

impl Sources {
    /// Hash of everything that decides; cases do not.
    #[must_use]
    pub fn version(&self) -> PolicyVersion {
        let mut deciding: Vec<&SourceFile> =
            self.rule_files().into_iter().chain(self.inventory()).collect();
        deciding.sort_by(|left, right| left.path.cmp(&right.path));
        let mut hasher = blake3::Hasher::new();
        for file in deciding {
            for part in [&file.path, &file.text] {
                // The length goes first, so that text cannot move between two parts.
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
        PolicyVersion::new(hasher.finalize().to_hex().chars().take(16).collect::<String>())
    }

    /// The file at a path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    fn inventory(&self) -> Option<&SourceFile> {
        self.file(INVENTORY_FILE)
    }

    fn rule_files(&self) -> Vec<&SourceFile> {
        let is_rules = |file: &&SourceFile| {
            file.path.ends_with(RULES_SUFFIX) && !file.path.starts_with(CASES_FOLDER)
        };
        let mut files: Vec<&SourceFile> = self.files.iter().filter(is_rules).collect();
        files.sort_by(|left, right| left.path.cmp(&right.path));
        files
    }

    pub(super) fn case_files(&self) -> Vec<&SourceFile> {
        let is_cases = |file: &&SourceFile| {
            file.path.starts_with(CASES_FOLDER) && file.path.ends_with(".toml")
        };
        let mut files: Vec<&SourceFile> = self.files.iter().filter(is_cases).collect();
        files.sort_by(|left, right| left.path.cmp(&right.path));
        files
    }
}

/// A policy and what is odd about it.
#[derive(Debug)]
pub struct Compiled {
    /// Ready to decide.
    pub policy: Policy,
    /// Things that work and do nothing.
    pub warnings: Vec<Diagnostic>,
}

/// Checks a bundle and makes a policy of it, or lists everything that is wrong with it.
pub fn compile(sources: &Sources) -> Result<Compiled, Diagnostics> {
    let mut found = Vec::new();
    let schema = rules::parse_schema().map_err(|message| broken(format!("schema: {message}")))?;
    let inventory = match sources.inventory() {
        Some(file) => inventory::read(file, &mut found),
        None => {
            let missing = Diagnostic::without_place(INVENTORY_FILE, "the bundle has no inventory");
            found.push(missing.help("a bundle is a folder with `policy.toml` and `*.cedar` files"));
            None
        }
    };
    let files = sources.rule_files();
    if files.is_empty() {
        let none = Diagnostic::without_place(
            INVENTORY_FILE,
            "the bundle has no rules, so it denies everything",
        );
        found.push(none.as_warning().help("write them in `*.cedar` files beside it"));
    }
    let validator = Validator::new(schema);
    let mut checker =
        Checker { inventory: inventory.as_ref(), validator: &validator, found: &mut found };
    let rules = rules::read(&files, &mut checker);
    let mut policy = None;
    if !has_errors(&found)
        && let Some(inventory) = inventory
    {
        found.extend(unused(sources, &inventory, &rules));
        match Policy::new(sources.version(), inventory, rules, validator.schema()) {
            Ok(built) => policy = Some(built),
            Err(message) => found.push(Diagnostic::without_place(INVENTORY_FILE, message)),
        }
    }
    let found = in_order(found);
    match policy {
        Some(policy) => Ok(Compiled { policy, warnings: found }),
        None => Err(Diagnostics(found)),
    }
}

fn broken(message: String) -> Diagnostics {
    Diagnostics(vec![Diagnostic::without_place(INVENTORY_FILE, message)])
}

fn has_errors(found: &[Diagnostic]) -> bool {
    found.iter().any(|found| found.severity == Severity::Error)
}

/// Warnings for what no rule asks for.
fn unused(
    sources: &Sources,
    inventory: &inventory::Inventory,
    rules: &[rules::Rule],
) -> Vec<Diagnostic> {
    let Some(file) = sources.inventory() else { return Vec::new() };
    let mut found = Vec::new();
    for (name, mask) in &inventory.masks {
        let uses = |rule: &rules::Rule| {
            rule.obligations.mask_request.contains(name)
                || rule.obligations.mask_response.contains(name)
        };
        if !rules.iter().any(uses) {
            let unused = Diagnostic::error(
                file,
                mask.span.clone(),
                format!("no rule asks for mask `{name}`"),
            );
            found.push(unused.as_warning().help(format!("add `@mask(\"{name}\")` to a permit")));
        }
    }
    for (name, agent) in &inventory.agents {
        if !rules.iter().any(|rule| rule.is_permit && rule.admits_agent(name, &agent.groups)) {
            let message = format!("no rule permits anything to agent `{name}`");
            let unused = Diagnostic::error(file, agent.span.clone(), message);
            found.push(unused.as_warning().label("everything it tries is denied"));
        }
    }
    for (endpoint, span) in inventory.endpoints.iter().zip(&inventory.endpoint_spans) {
        if !rules.iter().any(|rule| rule.is_permit && rule.admits_endpoint(endpoint)) {
            let message = format!("no rule permits anything on endpoint `{}`", endpoint.name);
            let unused = Diagnostic::error(file, span.clone(), message);
            found.push(unused.as_warning().label("everything sent there is denied"));
        }
    }
    if inventory.captures_endpoints.is_some() {
        found.extend(unknown_addresses(file, inventory));
    }
    found
}

/// Warnings for endpoints whose addresses nobody can look up.
fn unknown_addresses<'a>(
    file: &'a SourceFile,
    inventory: &'a inventory::Inventory,
) -> impl Iterator<Item = Diagnostic> + 'a {
    let all = inventory.endpoints.iter().zip(&inventory.endpoint_spans);
    all.filter_map(move |(endpoint, span)| {
        let wildcard = endpoint.hosts.iter().find(|host| host.exact().is_none())?;
        let message = format!("`{wildcard}` has no addresses that could be looked up");
        let unknown = Diagnostic::error(file, span.clone(), message).as_warning();
        Some(unknown.label("agents that capture endpoints are not seen there"))
    })
}
