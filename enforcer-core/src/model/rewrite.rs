// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What becomes of the facts that the agent chose, for the record and for people.

/// What becomes of what the agent chose, by the name of the fact.
pub(crate) trait Rewrite {
    fn text(&mut self, fact: &'static str, text: &str) -> String;

    fn number(&mut self, _fact: &'static str, number: i64) -> i64 {
        number
    }
}
