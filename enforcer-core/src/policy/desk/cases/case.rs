// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A case as it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::model::{AgentName, EndpointName, ExchangeId, Facts};

use super::request::Request;
use super::sent::Sent;

/// One part of a decision, as a case writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Said {
    /// One word or sentence.
    Text(String),
    /// Names.
    Texts(BTreeSet<String>),
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) if text.is_empty() => f.write_str("none"),
            Self::Text(text) => f.write_str(text),
            Self::Texts(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
                write!(f, "[{}]", texts.join(", "))
            }
        }
    }
}

/// Whether a case has to say what it expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectations {
    /// It may lack.
    Open,
    /// It is an error if it lacks.
    Required,
}

/// What a case judges.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    Exchange(ExchangeId),
    Facts(Facts),
    Request { agent: AgentName, endpoint: EndpointName, request: Request },
}

/// A case as written. What it does not say is not checked.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) subject: Subject,
    pub(super) expect: BTreeMap<&'static str, Said>,
    pub(super) sent: Sent,
}
