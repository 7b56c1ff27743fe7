// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policy: from the sources of a bundle to a pure function from facts to a decision.
//!
//! `policy.toml` is the inventory, `*.cedar` are the rules, `cases/*.toml` say what is expected of them.
//! [`compile`] reads everything strictly and reports all problems at once, each with its place; what comes
//! out is immutable and decides without clock, disk or network. This room does not read files, does not
//! mask and does not carry out obligations. It errs towards refusing: a bundle with a problem is not
//! loaded, a rule that errs denies, an unknown agent or endpoint is denied.

mod annotations;
mod behind_in;
mod bundle;
pub mod cases;
mod closest;
mod compared;
mod comparison;
mod container;
mod contradiction;
mod diagnostic;
pub mod diff;
mod draft;
mod environment;
mod evaluate;
mod explain;
mod hosts;
mod inventory;
mod masks;
mod obligations;
mod probe;
pub mod providers;
mod question;
mod reference;
mod rules;
mod schema;
mod scope;
mod sections;
mod selector;
pub mod sheet;
mod slices;
mod statement;
pub mod suggest;
#[cfg(test)]
mod tests;
mod translate;
mod truth;
mod unmasked;
mod unused;
mod warnings;

pub use annotations::{ANNOTATIONS, Annotation, On};
pub use bundle::{Checked, Compiled, SourceFile, Sources, check, compile};
pub use closest::suggestion;
pub use container::{Container, SHORT_ID_DIGITS, container_id, machine_scope};
pub use diagnostic::{Diagnostic, Diagnostics, Place, Severity};
pub use environment::{Environment, NamePattern, PLACEHOLDER, RunAs};
pub use evaluate::Policy;
pub use explain::{Explanation, Outcome, Part, RuleOutcome, lacking};
pub use hosts::HostPattern;
pub use inventory::{Endpoint, Protocol, Tls};
pub use probe::{Probe, Trial};
pub use reference::reference;
pub use schema::{
    ACTIONS, ActionSpec, FactKind, FactSpec, FactValue, Otherwise, action, inventory_schema_text,
    operation, schema_text,
};
pub use sections::{Approval, Approver, Budget, Credential, Per, Secret};
pub use selector::Selector;

/// Name of the inventory inside a bundle.
pub const INVENTORY_FILE: &str = "policy.toml";
/// What rule files end in.
pub const RULES_SUFFIX: &str = ".cedar";
/// The folder of cases inside a bundle, with its separator.
pub const CASES_FOLDER: &str = "cases/";
