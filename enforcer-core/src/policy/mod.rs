// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policy: from the sources of a bundle to a pure function from facts to a decision.
//!
//! `policy.toml` is the inventory, `*.cedar` are the rules, `cases/*.toml` say what is expected of them.
//! [`compile`] reads everything strictly and reports all problems at once, each with its place; what comes
//! out is immutable and decides without clock, disk or network. This room does not read files, does not
//! mask and does not carry out obligations. It errs towards refusing: a bundle with a problem is not
//! loaded, a rule that errs denies, an unknown agent or endpoint is denied.

mod decide;
mod desk;
mod load;
#[cfg(test)]
mod tests;

pub use decide::evaluate::Policy;
pub use decide::explain::{Explanation, Outcome, Part, RuleOutcome, lacking};
pub use desk::probe::{Probe, Trial};
pub use desk::reference::reference;
pub use desk::{cases, diff, providers, suggest};
pub use load::annotations::{ANNOTATIONS, Annotation, On};
pub use load::bundle::{Checked, Compiled, SourceFile, Sources, check, compile};
pub use load::closest::suggestion;
pub use load::container::{Container, SHORT_ID_DIGITS, container_id, machine_scope};
pub use load::diagnostic::{Diagnostic, Diagnostics, Place, Severity};
pub use load::environment::{Environment, NamePattern, PLACEHOLDER, RunAs};
pub use load::hosts::HostPattern;
pub use load::inventory::{Endpoint, Protocol, Tls};
pub use load::schema::{
    ACTIONS, ActionSpec, FactKind, FactSpec, FactValue, Otherwise, action, inventory_schema_text,
    operation, schema_text,
};
pub use load::sections::{Approval, Approver, Budget, Credential, Per, Secret};
pub use load::selector::Selector;
pub use load::sheet;

/// Name of the inventory inside a bundle.
pub const INVENTORY_FILE: &str = "policy.toml";
/// What rule files end in.
pub const RULES_SUFFIX: &str = ".cedar";
/// The folder of cases inside a bundle, with its separator.
pub const CASES_FOLDER: &str = "cases/";
