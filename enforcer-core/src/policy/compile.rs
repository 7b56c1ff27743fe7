// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From sources to a policy: the order in which a bundle is read, checked and looked at.

use super::decide::policy::Policy;
use super::desk::{cases, warnings};
use super::load::bundle::{self, Bundle};
use super::load::diagnostic::{Diagnostic, Diagnostics, Severity, in_order};
use super::load::rules::Rules;
use super::load::sources::{INVENTORY_FILE, Sources};

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

/// Checks a bundle and makes a policy of it, or lists everything that is wrong with its inventory and rules.
///
/// # Errors
/// Every problem, and what is odd beside them.
pub fn compile(sources: &Sources) -> Result<Compiled, Diagnostics> {
    finish(sources, bundle::read(sources)?)
}

/// Checks a bundle with its cases.
#[must_use]
pub fn check(sources: &Sources) -> Checked {
    let bundle = match bundle::read(sources) {
        Ok(bundle) => bundle,
        Err(Diagnostics(found)) => return Checked { policy: None, found },
    };
    let names = cases::Names::new(&bundle.inventory, bundle.rules.ids.as_ref());
    let of_cases = cases::problems(&names, sources);
    let (policy, mut found) = match finish(sources, bundle) {
        Ok(Compiled { policy, warnings }) => (Some(policy), warnings),
        Err(Diagnostics(found)) => (None, found),
    };
    let policy = policy.filter(|_| of_cases.is_empty());
    found.extend(of_cases);
    Checked { policy, found: in_order(found) }
}

fn finish(sources: &Sources, bundle: Bundle) -> Result<Compiled, Diagnostics> {
    let Bundle { inventory, rules: Rules { rules, .. }, validator, mut found } = bundle;
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

fn has_errors(found: &[Diagnostic]) -> bool {
    found.iter().any(|found| found.severity == Severity::Error)
}
