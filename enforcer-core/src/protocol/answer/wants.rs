// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How an answer is to be read.

use crate::mask::Masker;
use crate::model::limits::CHOICES_MAX;

use super::calls::Calls;

/// What is kept of an answer.
#[derive(Clone, Debug, Default)]
pub enum Keep {
    /// The answer, masked by this.
    Masked(Masker),
    /// Nothing.
    #[default]
    Nothing,
}

/// How an answer is to be read.
#[derive(Clone, Debug)]
pub struct Wants {
    /// Masks what the agent gets; with none it gets what the provider sends.
    pub deliver: Option<Masker>,
    /// What is kept.
    pub keep: Keep,
    /// What is done with calls of tools.
    pub calls: Calls,
    /// Choices that were asked for.
    pub choices: u64,
    /// True if the agent gets every byte as it comes, whatever it is (observe mode).
    pub is_observed: bool,
    /// True if what cannot be read ends the answer also where nothing has to be masked.
    pub is_strict: bool,
}

impl Default for Wants {
    fn default() -> Self {
        let (deliver, keep, calls) = (None, Keep::Nothing, Calls::Unjudged);
        Self { deliver, keep, calls, choices: CHOICES_MAX, is_observed: false, is_strict: true }
    }
}
