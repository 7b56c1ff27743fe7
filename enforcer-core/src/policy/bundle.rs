// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From sources to a policy: the order in which a bundle is read and checked.

use cedar_policy::Validator;

use crate::model::PolicyVersion;

use super::diagnostic::in_order;
use super::rules::Checker;
use super::{
    CASES_FOLDER, Diagnostic, Diagnostics, INVENTORY_FILE, Policy, RULES_SUFFIX, Severity,
    inventory, rules, warnings,
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
    /// The beginning of the [digest](Self::digest): enough to tell bundles apart.
    #[must_use]
    pub fn version(&self) -> PolicyVersion {
        PolicyVersion::new(self.digest().chars().take(16).collect::<String>())
    }

    /// BLAKE3 hash of everything that decides, as 64 hexadecimal digits; cases decide nothing.
    #[must_use]
    pub fn digest(&self) -> String {
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
        hasher.finalize().to_hex().to_string()
    }

    /// The file at a path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(super) fn inventory(&self) -> Option<&SourceFile> {
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
        found.extend(warnings::warnings(sources, &inventory, &rules));
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
