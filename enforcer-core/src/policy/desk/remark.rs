// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said about a rule as a whole.

use super::super::load::rules::Rule;

/// Something about a rule: what, and why.
pub(super) type Remark<'r> = (&'r Rule, String, String);

/// Whether the scope of a rule is all that it asks for.
pub(super) fn has_no_condition(rule: &Rule) -> bool {
    let tree = rule.cedar.to_json().ok();
    let conditions = tree.as_ref().and_then(|tree| tree.get("conditions")?.as_array());
    conditions.is_some_and(Vec::is_empty)
}
