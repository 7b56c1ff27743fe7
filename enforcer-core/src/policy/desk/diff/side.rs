// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is compared.

use super::super::super::decide::policy::Policy;
use super::super::super::load::sources::Sources;

/// One of the two bundles.
#[derive(Clone, Copy, Debug)]
pub struct Side<'s> {
    /// Compiled.
    pub policy: &'s Policy,
    /// As written.
    pub sources: &'s Sources,
}
