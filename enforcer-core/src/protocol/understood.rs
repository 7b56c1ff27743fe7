// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a request asks.

use std::collections::BTreeSet;

use crate::model::{DetectorName, Operation};

/// What a request asks, and what the detectors found in its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Understood {
    /// The action and its facts.
    pub operation: Operation,
    /// Detectors that found something anywhere in the body.
    pub detected: BTreeSet<DetectorName>,
}
