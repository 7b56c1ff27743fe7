// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Arguments of a call as facts.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::model::limits::{TOOL_CALL_SCALARS_BYTES_MAX, TOOL_CALL_SCALARS_MAX};
use crate::protocol::json_tree::Node;

/// Arguments as facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) text: String,
    pub(super) scalars: BTreeSet<String>,
    pub(super) is_whole: bool,
}

impl Arguments {
    /// Of a text that should be JSON. What is not, or is read differently by two readers, has no scalars.
    pub(super) fn json(text: &str) -> Self {
        if text.trim().is_empty() {
            return Self::free("");
        }
        match Node::read(text.as_bytes()) {
            Ok(node) => Self::of(&node.to_value()),
            Err(_cause) => Self { is_whole: false, ..Self::free(text) },
        }
    }

    /// Of a free text.
    pub(super) fn free(text: &str) -> Self {
        Self { text: text.to_owned(), scalars: BTreeSet::new(), is_whole: true }
    }

    /// Of a value.
    pub(super) fn of(value: &Value) -> Self {
        let mut scalars = Scalars::default();
        let is_whole = scalars.add("", value).is_some();
        let scalars = if is_whole { scalars.found } else { BTreeSet::new() };
        Self { text: value.to_string(), scalars, is_whole }
    }
}

#[derive(Default)]
struct Scalars {
    found: BTreeSet<String>,
    bytes: usize,
}

impl Scalars {
    /// Adds all scalars of a value; nothing comes back once there are too many.
    fn add(&mut self, name: &str, value: &Value) -> Option<()> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.add(name, item)),
            Value::Object(members) => members.iter().try_for_each(|(member, value)| {
                if name.is_empty() {
                    return self.add(member, value);
                }
                self.add(&format!("{name}.{member}"), value)
            }),
            Value::String(text) => self.put(name, text),
            Value::Null | Value::Bool(_) | Value::Number(_) => self.put(name, &value.to_string()),
        }
    }

    fn put(&mut self, name: &str, value: &str) -> Option<()> {
        self.bytes = self.bytes.saturating_add(name.len() + value.len() + 1);
        let has_room =
            self.found.len() < TOOL_CALL_SCALARS_MAX && self.bytes <= TOOL_CALL_SCALARS_BYTES_MAX;
        has_room.then(|| {
            self.found.insert(format!("{name}={value}"));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_found_at_any_depth_and_read_without_escapes() {
        let check = |text: &str, expect: &[&str], is_whole: bool| {
            let found = Arguments::json(text);
            let scalars: Vec<&str> = found.scalars.iter().map(String::as_str).collect();
            assert_eq!((scalars.as_slice(), found.is_whole), (expect, is_whole), "{text}");
        };
        check(r#"{"path":"\u002fetc/passwd","n":3}"#, &["n=3", "path=/etc/passwd"], true);
        check(r#"{"a":{"b":[true,{"c":null}]}}"#, &["a.b.c=null", "a.b=true"], true);
        check(r#"{"cmd":["rm","-rf"]}"#, &["cmd=-rf", "cmd=rm"], true);
        check("", &[], true);
        check(r#"{"path":"/tmp","path":"/etc/passwd"}"#, &[], false);
        check(r#"{"path":"/etc/passwd""#, &[], false);
        check(r#"{path:"/etc/passwd"}"#, &[], false);
    }

    #[test]
    fn the_text_has_no_blanks_and_no_needless_escapes() {
        let text = Arguments::json(" { \"a\" : \"\\u0072m\\/\" } ").text;
        assert_eq!(text, r#"{"a":"rm/"}"#);
        assert_eq!(Arguments::json("no JSON").text, "no JSON");
    }

    #[test]
    fn too_many_scalars_are_none() {
        let many: Vec<usize> = (0..=TOOL_CALL_SCALARS_MAX).collect();
        let found = Arguments::of(&Value::from(many));
        assert!(!found.is_whole && found.scalars.is_empty());
        let fits: Vec<usize> = (0..TOOL_CALL_SCALARS_MAX).collect();
        assert!(Arguments::of(&Value::from(fits)).is_whole);
    }
}
