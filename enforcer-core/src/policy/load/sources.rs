// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The files of a bundle, as they were read by the caller.

use crate::model::PolicyVersion;

/// Name of the inventory inside a bundle.
pub const INVENTORY_FILE: &str = "policy.toml";
/// What rule files end in.
pub const RULES_SUFFIX: &str = ".cedar";
/// The folder of cases inside a bundle, with its separator.
pub const CASES_FOLDER: &str = "cases/";

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

    pub(super) fn rule_files(&self) -> Vec<&SourceFile> {
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
