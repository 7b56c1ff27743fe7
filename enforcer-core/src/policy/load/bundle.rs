// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From sources to a policy: the order in which a bundle is read and checked.

use cedar_policy::Validator;

use crate::model::PolicyVersion;

use super::super::decide::evaluate::Policy;
use super::super::desk::{cases, warnings};
use super::super::{CASES_FOLDER, INVENTORY_FILE, RULES_SUFFIX};
use super::diagnostic::in_order;
use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::inventory::Inventory;
use super::rules::{Checker, Rules};
use super::{inventory, rules};

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

    pub(in crate::policy) fn inventory(&self) -> Option<&SourceFile> {
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

    pub(in crate::policy) fn case_files(&self) -> Vec<&SourceFile> {
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

/// What is to be said of a bundle, cases included.
#[derive(Debug)]
pub struct Checked {
    /// Ready to decide; none if anything in the bundle is wrong.
    pub policy: Option<Policy>,
    /// Everything that is wrong or odd, in the order of files and places.
    pub found: Vec<Diagnostic>,
}

/// A bundle as far as it could be read.
struct Draft {
    inventory: Inventory,
    rules: Rules,
    validator: Validator,
    found: Vec<Diagnostic>,
}

/// Checks a bundle and makes a policy of it, or lists everything that is wrong with its inventory and rules.
///
/// # Errors
/// Every problem, and what is odd beside them.
pub fn compile(sources: &Sources) -> Result<Compiled, Diagnostics> {
    finish(sources, read(sources)?)
}

/// Checks a bundle with its cases.
#[must_use]
pub fn check(sources: &Sources) -> Checked {
    let draft = match read(sources) {
        Ok(draft) => draft,
        Err(Diagnostics(found)) => return Checked { policy: None, found },
    };
    let names = cases::Names::new(&draft.inventory, draft.rules.ids.as_ref());
    let of_cases = cases::problems(&names, sources);
    let (policy, mut found) = match finish(sources, draft) {
        Ok(Compiled { policy, warnings }) => (Some(policy), warnings),
        Err(Diagnostics(found)) => (None, found),
    };
    let policy = policy.filter(|_| of_cases.is_empty());
    found.extend(of_cases);
    Checked { policy, found: in_order(found) }
}

fn read(sources: &Sources) -> Result<Draft, Diagnostics> {
    let mut found = Vec::new();
    let schema = rules::parse_schema().map_err(|message| broken(format!("schema: {message}")))?;
    let inventory = match sources.inventory() {
        Some(file) => inventory::read(file, &mut found),
        None => {
            let missing = Diagnostic::without_place(INVENTORY_FILE, "the bundle has no inventory");
            found.push(missing.help("a bundle is a folder with `policy.toml` and `*.cedar` files"));
            Inventory::absent()
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
    let mut checker = Checker { inventory: &inventory, validator: &validator, found: &mut found };
    let rules = rules::read(&files, &mut checker);
    Ok(Draft { inventory, rules, validator, found })
}

fn finish(sources: &Sources, draft: Draft) -> Result<Compiled, Diagnostics> {
    let Draft { inventory, rules: Rules { rules, .. }, validator, mut found } = draft;
    let mut policy = None;
    if !has_errors(&found) {
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
