// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the text of a bundle to what was checked of it: the inventory, the rules, and a diagnostic with a place
//! for every problem.

pub(super) mod annotations;
pub(super) mod behind_in;
pub(super) mod bundle;
pub(super) mod closest;
pub(super) mod container;
pub(super) mod diagnostic;
pub(super) mod draft;
pub(super) mod environment;
pub(super) mod hosts;
pub(super) mod inventory;
pub(super) mod obligations;
pub(super) mod rules;
pub(super) mod schema;
pub(super) mod sections;
pub(super) mod selector;
pub mod sheet;
pub(super) mod sources;
pub(super) mod statement;
pub(super) mod translate;
