// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policy: from the sources of a bundle to a pure function from facts to a decision.
//!
//! `policy.toml` is the inventory, `*.cedar` are the rules, `cases/*.toml` say what is expected of them.
//! [`compile`] reads everything strictly and reports all problems at once, each with its place; what comes
//! out is immutable and decides without clock, disk or network. This room does not read files, does not
//! mask and does not carry out obligations. It errs towards refusing: a bundle with a problem is not
//! loaded, a rule that errs denies, an unknown agent or endpoint is denied.

mod compile;
mod decide;
mod desk;
mod load;
#[cfg(test)]
mod tests;

pub use compile::{Checked, Compiled, check, compile};
pub use decide::environment::{Environment, PLACEHOLDER, RunAs};
pub use decide::explain::{Explanation, Outcome, Part, RuleOutcome, lacking};
pub use decide::policy::{AskedCalls, Policy};
pub use desk::probe::{Probe, Trial};
pub use desk::reference::reference;
pub use desk::{cases, diff, providers, suggest};
pub use load::annotations::{ANNOTATIONS, Annotation, On};
pub use load::closest::suggestion;
pub use load::container::{Container, SHORT_ID_DIGITS, container_id, machine_scope};
pub use load::diagnostic::{Diagnostic, Diagnostics, Place, Severity};
pub use load::environment::NamePattern;
pub use load::hosts::HostPattern;
pub use load::inventory::{Endpoint, Protocol, Tls};
pub use load::schema::{
    ACTIONS, ActionSpec, FactKind, FactSpec, FactValue, Otherwise, action, inventory_schema_text,
    operation, schema_text,
};
pub use load::sections::{Approval, Approver, Budget, Credential, Per, Secret};
pub use load::selector::Selector;
pub use load::sheet;
pub use load::sources::{CASES_FOLDER, INVENTORY_FILE, RULES_SUFFIX, SourceFile, Sources};
