// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One kind of exchange, and what all exchanges of it have in common.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::model::limits::{SUGGEST_EXAMPLES_MAX, SUGGEST_VALUES_MAX};
use crate::model::{AgentName, DetectorName, EndpointName, Facts};

use super::super::super::load::schema::{ActionSpec, FactKind};

/// One kind of exchange.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) agent: AgentName,
    pub(super) endpoint: EndpointName,
    pub(super) action: &'static str,
    /// It was refused.
    pub(super) is_refused: bool,
}

/// The values of one fact.
#[derive(Debug)]
pub(super) enum Values {
    /// Seen as true, seen as false.
    Bool(bool, bool),
    /// The least and the greatest.
    Long(i64, i64),
    /// Texts, or members of sets; nothing if there are too many to list.
    Texts(Option<BTreeSet<String>>),
}

/// Exchanges of one kind.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) count: u64,
    pub(super) facts: BTreeMap<&'static str, Values>,
    /// Longest common beginning of `path`, up to a slash.
    pub(super) path: Option<String>,
    pub(super) detected: BTreeMap<DetectorName, u64>,
    /// Facts of which a part is hidden in the record: no rule can name their values.
    pub(super) hidden: BTreeSet<&'static str>,
    pub(super) examples: Vec<Facts>,
}

impl Observed {
    pub(super) fn take(&mut self, action: &ActionSpec, facts: &Facts) {
        self.count += 1;
        for name in &facts.detected {
            *self.detected.entry(name.clone()).or_default() += 1;
        }
        if self.examples.len() < SUGGEST_EXAMPLES_MAX && !self.examples.contains(facts) {
            self.examples.push(facts.clone());
        }
        let operation = serde_json::to_value(&facts.operation).unwrap_or_default();
        for spec in action.facts {
            let Some(value) = operation.get(spec.name) else { continue };
            let is_hidden = facts.hidden.contains(spec.name);
            if is_hidden {
                self.hidden.insert(spec.name);
            }
            if spec.name == "path" {
                let path = value.as_str().unwrap_or_default();
                // A placeholder begins with a bracket, and what is before it is as it was sent.
                let known = path.split('[').next().filter(|_| is_hidden);
                self.begin(known.unwrap_or(path));
            }
            match self.facts.get_mut(spec.name) {
                Some(values) => values.widen(value),
                None => {
                    let mut values = Values::none(spec.kind, value);
                    values.widen(value);
                    self.facts.insert(spec.name, values);
                }
            }
        }
    }

    fn begin(&mut self, path: &str) {
        let common = match &self.path {
            None => path.to_owned(),
            Some(before) => {
                let same =
                    before.chars().zip(path.chars()).take_while(|(left, right)| left == right);
                let same: String = same.map(|(c, _)| c).collect();
                match same.rfind('/') {
                    Some(slash) if same != *before || same != path => {
                        same.get(..=slash).unwrap_or("/").to_owned()
                    }
                    _ => same,
                }
            }
        };
        self.path = Some(common);
    }
}

impl Values {
    fn none(kind: FactKind, first: &Value) -> Self {
        match kind {
            FactKind::Bool => Self::Bool(false, false),
            FactKind::Long => {
                let first = first.as_i64().unwrap_or_default();
                Self::Long(first, first)
            }
            FactKind::String | FactKind::StringSet => Self::Texts(Some(BTreeSet::new())),
        }
    }

    fn widen(&mut self, value: &Value) {
        match self {
            Self::Bool(is_true, is_false) => match value.as_bool() {
                Some(true) => *is_true = true,
                _ => *is_false = true,
            },
            Self::Long(least, most) => {
                let value = value.as_i64().unwrap_or_default();
                (*least, *most) = ((*least).min(value), (*most).max(value));
            }
            Self::Texts(texts) => {
                let Some(listed) = texts else { return };
                match value {
                    Value::String(text) => drop(listed.insert(text.clone())),
                    other => {
                        let items = other.as_array().into_iter().flatten();
                        listed.extend(items.filter_map(Value::as_str).map(str::to_owned));
                    }
                }
                if listed.len() > SUGGEST_VALUES_MAX {
                    *texts = None;
                }
            }
        }
    }
}
