// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policy: from the sources of a bundle to a pure function from facts to a decision.
//!
//! `policy.toml` is the inventory, `*.cedar` are the rules, `cases/*.toml` say what is expected of them.
//! [`compile`] reads everything strictly and reports all problems at once, each with its place; what comes
//! out is immutable and decides without clock, disk or network. This room does not read files, does not
//! mask and does not carry out obligations. It errs towards refusing: a bundle with a problem is not
//! loaded, a rule that errs denies, an unknown agent or endpoint is denied.

mod bundle;
pub mod cases;
mod compared;
mod container;
mod diagnostic;
mod draft;
mod evaluate;
mod explain;
mod hosts;
mod inventory;
mod masks;
mod rules;
mod schema;
mod selector;
pub mod sheet;
mod statement;
#[cfg(test)]
mod tests;
mod translate;

pub use bundle::{Compiled, SourceFile, Sources, compile};
pub use container::{Container, SHORT_ID_DIGITS, container_id, machine_scope};
pub use diagnostic::{Diagnostic, Diagnostics, Place, Severity};
pub use evaluate::{Mode, Policy};
pub use explain::{Explanation, Outcome, RuleOutcome};
pub use hosts::HostPattern;
pub use inventory::{Endpoint, Protocol, Tls};
pub use schema::{
    ACTIONS, ActionSpec, FactKind, FactSpec, FactValue, Otherwise, action, operation, schema_text,
};
pub use selector::Selector;

/// Name of the inventory inside a bundle.
pub const INVENTORY_FILE: &str = "policy.toml";
/// What rule files end in.
pub const RULES_SUFFIX: &str = ".cedar";
/// The folder of cases inside a bundle, with its separator.
pub const CASES_FOLDER: &str = "cases/";
