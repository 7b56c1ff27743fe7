// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the annotations of a permit oblige to, and whether that can be carried out where the rule applies.

use std::collections::BTreeSet;

use crate::model::{
    ApprovalName, BudgetName, CredentialName, MaskName, Mode, Obligations, RecordDepth,
};

use super::draft::Draft;
use super::inventory::{Inventory, Named, Tls};
use super::rules::Checker;
use super::schema;
use super::translate::list;

/// Obligations that need an opened connection, and what they would do to one.
const OPENED: &[&str] =
    &["mask", "mask_request", "mask_response", "approve", "budget", "credential"];

/// The names in the value of an annotation: `"a, b"`.
fn names<'d>(draft: &'d Draft<'_>, key: &str) -> impl Iterator<Item = &'d str> {
    let value = draft.cedar.annotation(key).unwrap_or_default();
    value.split(',').map(str::trim).filter(|name| !name.is_empty())
}

impl Checker<'_> {
    pub(super) fn mode(&mut self, draft: &Draft<'_>) -> Mode {
        match draft.cedar.annotation("mode") {
            None | Some("enforce") => Mode::Enforce,
            Some("observe") => Mode::Observe,
            Some(other) => {
                let span = draft.annotation_value("mode");
                let found = draft.error(span, format!("unknown mode `{other}`"));
                self.found.push(found.suggest(other, ["enforce", "observe"]));
                Mode::Enforce
            }
        }
    }

    pub(super) fn obligations(&mut self, draft: &Draft<'_>) -> Obligations {
        let masks = |key: &str| -> BTreeSet<MaskName> {
            names(draft, "mask").chain(names(draft, key)).map(MaskName::new).collect()
        };
        let otherwise = self.inventory.record;
        Obligations {
            mask_request: masks("mask_request"),
            mask_response: masks("mask_response"),
            approvals: names(draft, "approve").map(ApprovalName::new).collect(),
            budgets: names(draft, "budget").map(BudgetName::new).collect(),
            credentials: names(draft, "credential").map(CredentialName::new).collect(),
            record: self.record(draft).unwrap_or(otherwise),
        }
    }

    /// How much the rule itself wants to be kept, if it says so.
    fn record(&mut self, draft: &Draft<'_>) -> Option<RecordDepth> {
        let name = draft.cedar.annotation("record")?;
        let depth = RecordDepth::from_name(name);
        if depth.is_none() {
            let span = draft.annotation_value("record");
            let found = draft.error(span, format!("unknown depth of record `{name}`"));
            self.found.push(found.suggest(name, RecordDepth::ALL.map(RecordDepth::as_str)));
        }
        depth
    }

    /// Whether what the rule demands is in the inventory, and can be done where the rule applies. What is not
    /// in the inventory is taken out of `obligations`.
    pub(super) fn check_obligations(
        &mut self,
        draft: &Draft<'_>,
        inventory: &Inventory,
        obligations: &mut Obligations,
    ) {
        let masks: Vec<&str> = inventory.masks.keys().map(MaskName::as_str).collect();
        let approvals: Vec<&str> = inventory.approvals.keys().map(ApprovalName::as_str).collect();
        let budgets: Vec<&str> = inventory.budgets.keys().map(BudgetName::as_str).collect();
        let credentials: Vec<&str> =
            inventory.credentials.keys().map(CredentialName::as_str).collect();
        for (key, named, known) in [
            ("mask", Named::Masks, &masks),
            ("mask_request", Named::Masks, &masks),
            ("mask_response", Named::Masks, &masks),
            ("approve", Named::Approvals, &approvals),
            ("budget", Named::Budgets, &budgets),
            ("credential", Named::Credentials, &credentials),
        ] {
            if inventory.has_all(named) {
                self.check_names(draft, key, named.what(), known);
            }
        }
        if draft.is_permit() && !draft.actions().is_empty() {
            for key in OPENED.iter().filter(|key| draft.cedar.annotation(key).is_some()) {
                self.check_can_act(draft, inventory, key, obligations);
            }
        }
        self.check_credentials(draft, inventory, obligations);
        obligations.mask_request.retain(|name| inventory.masks.contains_key(name));
        obligations.mask_response.retain(|name| inventory.masks.contains_key(name));
        obligations.approvals.retain(|name| inventory.approvals.contains_key(name));
        obligations.budgets.retain(|name| inventory.budgets.contains_key(name));
        obligations.credentials.retain(|name| inventory.credentials.contains_key(name));
    }

    fn check_names(&mut self, draft: &Draft<'_>, key: &str, what: &str, known: &[&str]) {
        let Some(value) = draft.cedar.annotation(key) else { return };
        for name in value.split(',').map(str::trim) {
            if !known.contains(&name) {
                let span = draft.annotation_value(key);
                let found = draft.error(span, format!("unknown {what} `{name}`"));
                let found = found.label("not in policy.toml");
                self.found.push(found.suggest(name, known.iter().copied()));
            }
        }
    }

    fn check_can_act(
        &mut self,
        draft: &Draft<'_>,
        inventory: &Inventory,
        key: &str,
        obligations: &Obligations,
    ) {
        let counts_tokens = inventory.has_all(Named::Budgets)
            && obligations.budgets.iter().any(|name| {
                let budget = inventory.budgets.get(name).map(|entry| &entry.value);
                budget.is_some_and(|budget| budget.tokens.is_some())
            });
        let actions = draft.actions();
        let (able, why): (&dyn Fn(&str) -> bool, &str) = match key {
            "mask_request" => (
                &|action| schema::REQUEST_MASKABLE.contains(&action),
                "its requests are not understood well enough to be masked",
            ),
            "mask" | "mask_response" => (
                &|action| schema::RESPONSE_MASKABLE.contains(&action),
                "its answers are not understood well enough to be masked",
            ),
            "budget" if counts_tokens => (
                &|action| schema::METERED.contains(&action),
                "what it costs in tokens is not known",
            ),
            _ if actions.contains(schema::TOOL_CALL) => (
                &|action| action != "connect" && action != schema::TOOL_CALL,
                "a tool call that a model asks for is a part of an answer, and is held only until it is complete",
            ),
            _ => (&|action| action != "connect", "a passed-through connection is never opened"),
        };
        let unable: Vec<&str> = actions.iter().copied().filter(|name| !able(name)).collect();
        let span = draft.annotation_key(key);
        if !unable.is_empty() {
            let message = format!("`@{key}` cannot act on {}: {why}", list("action", &unable));
            self.found.push(draft.error(span, message).help(instead(key, &unable, able)));
            return;
        }
        if !inventory.has_all(Named::Endpoints) {
            return;
        }
        let (endpoints, is_named) = draft.endpoints(inventory);
        let passed: Vec<&str> = endpoints
            .iter()
            .filter(|endpoint| is_named && endpoint.tls == Tls::Passthrough)
            .map(|endpoint| endpoint.name.as_str())
            .collect();
        if !passed.is_empty() {
            let message = format!(
                "`@{key}` cannot act on {}, which is passed through",
                list("endpoint", &passed)
            );
            let help =
                "a passed-through connection is never opened; remove `tls = \"passthrough\"`";
            self.found.push(draft.error(span, message).help(help));
        }
    }

    /// Two credentials of one rule for the same header can never both be put in.
    fn check_credentials(
        &mut self,
        draft: &Draft<'_>,
        inventory: &Inventory,
        obligations: &Obligations,
    ) {
        if !inventory.has_all(Named::Credentials) {
            return;
        }
        let mut headers = BTreeSet::new();
        for name in &obligations.credentials {
            let Some(entry) = inventory.credentials.get(name) else { continue };
            if !headers.insert(entry.value.header.as_str()) {
                let message = format!("two credentials want the header `{}`", entry.value.header);
                let found = draft.error(draft.annotation_value("credential"), message);
                self.found.push(found.help("one rule puts in one credential for each header"));
            }
        }
    }
}

/// What to write where an obligation cannot act on some actions.
fn instead(key: &str, unable: &[&str], able: &dyn Fn(&str) -> bool) -> String {
    if key == "mask" && unable.iter().all(|action| schema::REQUEST_MASKABLE.contains(action)) {
        return "`@mask_request` masks only what is sent".to_owned();
    }
    let able: Vec<&str> =
        schema::ACTIONS.iter().map(|action| action.name).filter(|name| able(name)).collect();
    match able.as_slice() {
        [one] => format!("limit the rule to `action == Action::\"{one}\"`"),
        more if more.len() <= 7 => format!("limit the rule to {}", list("action", more)),
        _ => "permit the rest by a rule of its own".to_owned(),
    }
}
