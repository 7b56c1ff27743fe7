// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From names of masks to a masker: unions, kept ready.
//!
//! Two masks may name the same detector with different styles; the one that shows less wins: label, then
//! hash, then partial. Errs towards masking more: an unknown mask, or a union that cannot be built, becomes
//! the union of all masks of the bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};

use crate::mask::{DetectorSet, HashKey, Masker, Style};
use crate::model::{DetectorName, MaskName, limits};

use super::inventory::{Inventory, chain};

/// All maskers of a bundle.
#[derive(Debug)]
pub(super) struct Maskers {
    everything: Masker,
    key: HashKey,
    ready: RwLock<BTreeMap<BTreeSet<MaskName>, Masker>>,
}

impl Maskers {
    pub(super) fn new(inventory: &Inventory) -> Result<Self, String> {
        let all: BTreeSet<MaskName> = inventory.masks.keys().cloned().collect();
        let everything = build(inventory, &all)?;
        Ok(Self { everything, key: HashKey::default(), ready: RwLock::default() })
    }

    /// The same maskers with this key for their hashes.
    pub(super) fn with_key(&self, key: HashKey) -> Self {
        let everything = self.everything.with_key(key);
        Self { everything, key, ready: RwLock::default() }
    }

    pub(super) const fn key(&self) -> HashKey {
        self.key
    }

    pub(super) fn everything(&self) -> Masker {
        self.everything.clone()
    }

    pub(super) fn of(&self, inventory: &Inventory, masks: &BTreeSet<MaskName>) -> Masker {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(masker) = ready.get(masks) {
            return masker.clone();
        }
        drop(ready);
        let Ok(masker) = build(inventory, masks) else { return self.everything() };
        let masker = masker.with_key(self.key);
        let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        if ready.len() < limits::MASKERS_MAX {
            ready.insert(masks.clone(), masker.clone());
        }
        masker
    }
}

fn build(inventory: &Inventory, masks: &BTreeSet<MaskName>) -> Result<Masker, String> {
    let mut styles: BTreeMap<&DetectorName, Style> = BTreeMap::new();
    for name in masks {
        let mask = inventory.masks.get(name).ok_or_else(|| format!("unknown mask `{name}`"))?;
        for detector in &mask.detectors {
            let style = styles.entry(detector).or_insert(mask.style);
            if shows(mask.style) < shows(*style) {
                *style = mask.style;
            }
        }
    }
    let mut layers = Vec::new();
    for (detector, style) in styles {
        let spec = inventory.spec(detector);
        layers.push((spec.ok_or_else(|| format!("unknown detector `{detector}`"))?, style));
    }
    Masker::new(layers).map_err(|error| chain(&error))
}

/// How much of the original a style shows.
const fn shows(style: Style) -> u8 {
    match style {
        Style::Label => 0,
        Style::Hash => 1,
        Style::Partial => 2,
    }
}

/// Every detector of the bundle and every built-in one.
///
/// All of them, not only those that a rule asks for: facts are recorded, and a later bundle that asks for
/// another detector has to find its finding in the record when it replays.
pub(super) fn detectors(inventory: &Inventory) -> Result<DetectorSet, String> {
    let names = inventory.detector_names();
    let specs = names.iter().filter_map(|name| inventory.spec(name)).collect();
    DetectorSet::compile(specs).map_err(|error| chain(&error))
}
