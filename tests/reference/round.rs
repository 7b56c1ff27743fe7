// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tries the fields of a page on the program: what the page names is read and written again, and nothing else is.

use std::collections::BTreeSet;

use serde_json::Value;

/// The values that a page names and that the program wrote.
#[derive(Debug, Default)]
pub(crate) struct Round {
    documented: BTreeSet<String>,
    written: BTreeSet<String>,
}

impl Round {
    /// Has the program read a value and write it again.
    pub(crate) fn trip<T: serde::Serialize + serde::de::DeserializeOwned>(
        &mut self,
        name: &str,
        sample: &Value,
    ) {
        let read: T = serde_json::from_value(sample.clone())
            .unwrap_or_else(|error| panic!("{name}: {error}: {sample:#}"));
        leaves(name, sample, &mut self.documented);
        leaves(name, &serde_json::to_value(&read).unwrap(), &mut self.written);
    }

    /// Fails if the page names more or less than was written.
    pub(crate) fn expect_all(&self, least: usize) {
        // A value that needs no word is left out where it is that value, but not where it is another one.
        let names: BTreeSet<&str> = self.written.iter().map(|leaf| name(leaf)).collect();
        let unwritten: Vec<&String> =
            self.documented.iter().filter(|leaf| !names.contains(name(leaf))).collect();
        let undocumented: Vec<&String> = self.written.difference(&self.documented).collect();
        assert!(unwritten.is_empty(), "documented and not written: {unwritten:#?}");
        assert!(undocumented.is_empty(), "written and not documented: {undocumented:#?}");
        assert!(self.written.len() >= least, "{} values were tried", self.written.len());
    }
}

/// The path of a value, without the value.
fn name(leaf: &str) -> &str {
    leaf.split_once(" = ").map_or(leaf, |(name, _)| name)
}

/// Every value with its path.
fn leaves(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => {
            values.iter().for_each(|value| leaves(&format!("{path}[]"), value, found));
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                leaves(&format!("{path}.{key}"), value, found);
            }
        }
        value => {
            found.insert(format!("{path} = {value}"));
        }
    }
}
