// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Permits that let out more than whoever wrote them may think: what no mask can read, what a detector finds and no mask
//! hides, and actions that nobody thought of.
//!
//! Warnings only, and silent where a rule excludes it. What a `forbid` stops needs no mask: it does not go out.

use std::collections::BTreeSet;

use crate::model::{DetectorName, Mode};

use super::super::decide::compared::Reads;
use super::super::decide::scope::Scope;
use super::super::load::inventory::{Endpoint, Inventory, Tls};
use super::super::load::rules::{Rule, is_possible};
use super::super::load::schema;
use super::remark::{Remark, has_no_condition};
use super::truth::Known;

/// What a chat may hold beside text, and no mask can read.
const UNREADABLE_PARTS: [&str; 3] = ["image_url", "input_audio", "file"];

/// The remarks of this module, in the order of the rules.
pub(super) fn unmasked<'r>(inventory: &Inventory, rules: &'r [Rule]) -> Vec<Remark<'r>> {
    let permits = rules.iter().filter(|rule| rule.is_permit && rule.mode == Mode::Enforce);
    let of = |rule: &'r Rule| {
        let parts = masks_what_it_cannot_read(inventory, rules, rule);
        let any = permits_every_action(inventory, rule);
        parts.into_iter().chain(found_and_sent(inventory, rule)).chain(any)
    };
    permits.flat_map(of).collect()
}

/// A permit whose mask is for the requests of chats that may hold images, audio or files.
fn masks_what_it_cannot_read<'r>(
    inventory: &Inventory,
    rules: &'r [Rule],
    permit: &'r Rule,
) -> Option<Remark<'r>> {
    if permit.obligations.mask_request.is_empty() || !permit.admits_action("chat") {
        return None;
    }
    let agents = inventory.agents.iter();
    let agents: Vec<_> = agents.map(|(name, agent)| (name, agent.groups.as_slice())).collect();
    let chats: Vec<&Endpoint> =
        inventory.endpoints.iter().filter(|endpoint| is_possible("chat", endpoint)).collect();
    let scope = |rule: &Rule| Scope::of(rule, &agents, chats.iter().copied());
    let permitted = scope(permit);
    if !chats.iter().any(|endpoint| permit.admits_endpoint(endpoint)) {
        return None;
    }
    let is_stopped = |known: &Known<'_>| {
        let forbids = rules.iter().filter(|rule| {
            !rule.is_permit && rule.mode == Mode::Enforce && rule.admits_action("chat")
        });
        known.holds(&permit.cedar) == Some(false)
            || forbids
                .filter(|forbid| known.holds(&forbid.cedar) == Some(true))
                .any(|forbid| permitted.is_within_but_for_actions(&scope(forbid)))
    };
    let passing = UNREADABLE_PARTS.into_iter().filter(|part| {
        let members = BTreeSet::from(["text", *part]);
        !is_stopped(&Known { fact: "parts", members })
    });
    let passing: Vec<String> = passing.map(|part| format!("\"{part}\"")).collect();
    let message = format!(
        "permit `{}` masks chats and lets through what no mask can read: {}",
        permit.id,
        passing.join(", ")
    );
    let label = "exclude it: `[\"text\", \"refusal\"].containsAll(context.parts)`";
    (!passing.is_empty()).then(|| (permit, message, label.to_owned()))
}

/// Detectors that a permit asks for, that no mask of it names, and that it lets pass when they find something.
fn found_and_sent<'r>(inventory: &Inventory, permit: &'r Rule) -> Vec<Remark<'r>> {
    let masks = permit.obligations.mask_request.iter();
    let masks = masks.filter_map(|name| inventory.masks.get(name));
    let masked: BTreeSet<&DetectorName> = masks.flat_map(|mask| &mask.detectors).collect();
    let asked = Reads::of(&permit.cedar).detectors.into_iter();
    let passing = asked.filter(|name| {
        let known = Known { fact: schema::DETECTED, members: BTreeSet::from([name.as_str()]) };
        !masked.contains(&DetectorName::new(name.as_str()))
            && known.holds(&permit.cedar) != Some(false)
    });
    let say = |name: String| {
        let message = format!("permit `{}` sends on what detector `{name}` finds", permit.id);
        let label = "no mask of this rule names it: only the record hides it";
        (permit, message, label.to_owned())
    };
    passing.map(say).collect()
}

/// A permit for whatever there is.
fn permits_every_action<'r>(inventory: &Inventory, permit: &'r Rule) -> Option<Remark<'r>> {
    let is_every = schema::ACTIONS.iter().all(|action| permit.admits_action(action.name));
    let is_opened = |endpoint: &Endpoint| endpoint.tls == Tls::Inspect;
    let mut endpoints = inventory.endpoints.iter().filter(|it| permit.admits_endpoint(it));
    let is_meant = is_every && has_no_condition(permit) && endpoints.any(is_opened);
    let message = format!("permit `{}` allows every action without a condition", permit.id);
    let label = "also actions of later versions; list the actions you mean";
    is_meant.then(|| (permit, message, label.to_owned()))
}
