// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a request asks.

use std::collections::BTreeSet;

use crate::model::{Called, DetectorName, Operation};

/// What a request asks, and what the detectors found in its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Understood {
    /// The action and its facts.
    pub operation: Operation,
    /// What is asked with it, each judged as a request of its own.
    pub calls: Vec<Called>,
    /// Detectors that found something anywhere in the body.
    pub detected: BTreeSet<DetectorName>,
}
