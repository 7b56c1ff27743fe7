// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the sources of a bundle to its checked inventory and rules.

use cedar_policy::Validator;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::inventory::{self, Inventory};
use super::rules::{self, Checker, Rules};
use super::sources::{INVENTORY_FILE, Sources};

/// A bundle as far as it could be read.
#[derive(Debug)]
pub(in crate::policy) struct Bundle {
    pub(in crate::policy) inventory: Inventory,
    pub(in crate::policy) rules: Rules,
    pub(in crate::policy) validator: Validator,
    pub(in crate::policy) found: Vec<Diagnostic>,
}

/// Reads the inventory and the rules of a bundle; problems are in `found`.
///
/// # Errors
/// The schema of this version cannot be read, so nothing can be checked.
pub(in crate::policy) fn read(sources: &Sources) -> Result<Bundle, Diagnostics> {
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
    Ok(Bundle { inventory, rules, validator, found })
}

fn broken(message: String) -> Diagnostics {
    Diagnostics(vec![Diagnostic::without_place(INVENTORY_FILE, message)])
}
