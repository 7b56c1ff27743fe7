// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From names of masks to a masker: unions, kept ready.
//!
//! Two masks may name the same detector with different styles; the one that shows less wins: label, then
//! hash, then partial. Errs towards masking more: an unknown mask, or a union that cannot be built, becomes
//! what hides everything that must not stand in the record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};

use crate::mask::{Builtin, DetectorSet, HashKey, Masker, Style};
use crate::model::{DetectorName, MaskName, limits};

use super::super::load::inventory::{Inventory, chain};
use super::super::load::rules::Rule;
use super::compared::Reads;

/// All maskers of a bundle.
#[derive(Debug)]
pub(super) struct Maskers {
    everything: Masker,
    key: HashKey,
    ready: RwLock<BTreeMap<BTreeSet<MaskName>, Masker>>,
}

/// Detectors, and how what they find is replaced.
type Styles = BTreeMap<DetectorName, Style>;

impl Maskers {
    pub(in crate::policy) fn new(inventory: &Inventory, rules: &[Rule]) -> Result<Self, String> {
        let everything = build(inventory, &hidden(inventory, rules)?)?.with_placed_secrets();
        Ok(Self { everything, key: HashKey::default(), ready: RwLock::default() })
    }

    /// The same maskers with this key for their hashes.
    pub(super) fn with_key(&self, key: HashKey) -> Self {
        let everything = self.everything.with_key(key);
        Self { everything, key, ready: RwLock::default() }
    }

    pub(in crate::policy) const fn key(&self) -> HashKey {
        self.key
    }

    pub(in crate::policy) fn everything(&self) -> Masker {
        self.everything.clone()
    }

    pub(in crate::policy) fn of(
        &self,
        inventory: &Inventory,
        masks: &BTreeSet<MaskName>,
    ) -> Masker {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(masker) = ready.get(masks) {
            return masker.clone();
        }
        drop(ready);
        let masker = styles(inventory, masks).and_then(|styles| build(inventory, &styles));
        let Ok(masker) = masker else { return self.everything() };
        let masker = masker.with_key(self.key);
        let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        if ready.len() < limits::MASKERS_MAX {
            ready.insert(masks.clone(), masker.clone());
        }
        masker
    }
}

/// The detectors of some masks. Of two styles the one that shows less wins.
fn styles(inventory: &Inventory, masks: &BTreeSet<MaskName>) -> Result<Styles, String> {
    let mut styles = Styles::new();
    for name in masks {
        let mask = inventory.masks.get(name).ok_or_else(|| format!("unknown mask `{name}`"))?;
        for detector in &mask.detectors {
            let style = styles.entry(detector.clone()).or_insert(mask.style);
            if shows(mask.style) < shows(*style) {
                *style = mask.style;
            }
        }
    }
    Ok(styles)
}

/// Everything that is hidden in the record: what the masks of the bundle find, in their styles, and as labels what its
/// other detectors find, the built-in ones that a rule asks for, and those of secrets.
fn hidden(inventory: &Inventory, rules: &[Rule]) -> Result<Styles, String> {
    let mut styles = styles(inventory, &inventory.masks.keys().cloned().collect())?;
    let mut asked = Reads::default();
    rules.iter().for_each(|rule| asked.join(&Reads::of(&rule.cedar)));
    let is_asked = |name: &str| asked.all_detectors || asked.detectors.contains(name);
    let builtin = Builtin::ALL.into_iter().filter(|it| it.is_secret() || is_asked(it.name()));
    let builtin = builtin.map(|it| DetectorName::new(it.name()));
    for name in inventory.detectors.keys().cloned().chain(builtin) {
        styles.entry(name).or_insert(Style::Label);
    }
    Ok(styles)
}

fn build(inventory: &Inventory, styles: &Styles) -> Result<Masker, String> {
    let mut layers = Vec::new();
    for (detector, style) in styles {
        let spec = inventory.spec(detector);
        layers.push((spec.ok_or_else(|| format!("unknown detector `{detector}`"))?, *style));
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
pub(in crate::policy) fn detectors(inventory: &Inventory) -> Result<DetectorSet, String> {
    let names = inventory.detector_names();
    let specs = names.iter().filter_map(|name| inventory.spec(name)).collect();
    DetectorSet::compile(specs).map_err(|error| chain(&error))
}
