// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules on the action `http` for requests that have an action of their own, because the protocol of the endpoint
//! knows them: such a rule never matches them.
//!
//! Warnings only. Read are the paths that a rule compares with; patterns are not.

use std::collections::BTreeSet;

use super::super::decide::compared::Compared;
use super::super::load::inventory::{Endpoint, Inventory, Tls};
use super::super::load::rules::Rule;
use super::remark::Remark;
use crate::protocol::codec;

/// Methods of the doors that there are.
const METHODS: [&str; 3] = ["DELETE", "GET", "POST"];

/// The remarks of this module, one for each rule at most, in the order of the rules.
pub(super) fn behind_doors<'r>(inventory: &Inventory, rules: &'r [Rule]) -> Vec<Remark<'r>> {
    let of_http = rules.iter().filter(|rule| rule.admits_action("http"));
    of_http.filter_map(|rule| behind_a_door(inventory, rule)).collect()
}

fn behind_a_door<'r>(inventory: &Inventory, rule: &'r Rule) -> Option<Remark<'r>> {
    let mut compared = Compared::default();
    compared.walk(&rule.cedar.to_json().ok()?);
    let texts = |fact: &str| -> BTreeSet<&str> {
        let of_fact = compared.texts.iter().filter(|(name, _)| name == fact);
        of_fact.map(|(_, text)| text.as_str()).collect()
    };
    let (paths, mut methods) = (texts("path"), texts("method"));
    if methods.is_empty() {
        methods.extend(METHODS);
    }
    let is_opened =
        |endpoint: &&Endpoint| endpoint.tls == Tls::Inspect && rule.admits_endpoint(endpoint);
    let mut endpoints = inventory.endpoints.iter().filter(is_opened);
    endpoints.find_map(|endpoint| {
        let family = codec::family(endpoint.protocol)?;
        paths.iter().find_map(|path| {
            let known = methods.iter().filter_map(|method| {
                Some((method, family.route(method, path)?.action()))
            });
            let known: Vec<_> = known.collect();
            if known.iter().any(|(_, action)| rule.admits_action(action)) {
                return None;
            }
            let (method, action) = known.first()?;
            let (id, name) = (&rule.id, &endpoint.name);
            let message = format!(
                "rule `{id}` never matches `{method} {path}` on endpoint `{name}`: there it is the action `{action}`"
            );
            Some((rule, message, format!("name `Action::\"{action}\"`, too")))
        })
    })
}
