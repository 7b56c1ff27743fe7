// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules on the action `http` for requests that have an action of their own, because the protocol of the endpoint
//! knows them: such a rule never matches them.
//!
//! Warnings only. Read are the paths that a rule compares with, and what patterns of paths begin with.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::decide::compared::{Compared, fact_name};
use super::super::load::inventory::{Endpoint, Inventory, Tls};
use super::super::load::rules::Rule;
use super::remark::Remark;
use crate::protocol::codec;

/// Methods of the doors that there are.
const METHODS: [&str; 3] = ["DELETE", "GET", "POST"];

/// Bytes that a pattern begins with, at least: shorter ones (`/v1/`) are about whatever there is.
const BEGINNING_BYTES_MIN: usize = 5;

/// The remarks of this module, one for each rule at most, in the order of the rules.
pub(super) fn behind_doors<'r>(inventory: &Inventory, rules: &'r [Rule]) -> Vec<Remark<'r>> {
    let of_http = rules.iter().filter(|rule| rule.admits_action("http"));
    of_http.filter_map(|rule| behind_a_door(inventory, rule)).collect()
}

fn behind_a_door<'r>(inventory: &Inventory, rule: &'r Rule) -> Option<Remark<'r>> {
    let tree = rule.cedar.to_json().ok()?;
    let mut compared = Compared::default();
    compared.walk(&tree);
    let texts = |fact: &str| -> BTreeSet<&str> {
        let of_fact = compared.texts.iter().filter(|(name, _)| name == fact);
        of_fact.map(|(_, text)| text.as_str()).collect()
    };
    let (paths, mut methods, mut beginnings) = (texts("path"), texts("method"), Vec::new());
    if methods.is_empty() {
        methods.extend(METHODS);
    }
    patterns(&tree, &mut beginnings);
    let is_opened =
        |endpoint: &&Endpoint| endpoint.tls == Tls::Inspect && rule.admits_endpoint(endpoint);
    let mut endpoints = inventory.endpoints.iter().filter(is_opened);
    endpoints.find_map(|endpoint| {
        let family = codec::family(endpoint.protocol)?;
        let at = |path: &str| {
            let of = |method: &&str| Some(((*method).to_owned(), family.route(method, path)?));
            let known = methods.iter().filter_map(of);
            known.map(|(method, route)| (format!("{method} {path}"), route.action())).collect()
        };
        let below = |beginning: &String| {
            let doors = family.doors.iter().filter(|door| {
                methods.contains(door.method) && door.path.starts_with(beginning.as_str())
            });
            doors.map(|door| (format!("{} {}", door.method, door.path), door.action)).collect()
        };
        let known = paths.iter().map(|path| at(path)).chain(beginnings.iter().map(below));
        let never = |known: Vec<(String, &'static str)>| {
            let is_met = known.iter().any(|(_, action)| rule.admits_action(action));
            if is_met { None } else { known.into_iter().next() }
        };
        let (request, action) = known.into_iter().find_map(never)?;
        let (id, name) = (&rule.id, &endpoint.name);
        let message = format!(
            "rule `{id}` never matches `{request}` on endpoint `{name}`: there it is the action `{action}`"
        );
        Some((rule, message, format!("name `Action::\"{action}\"`, too")))
    })
}

/// What the patterns begin with that a rule compares the path with (`context.path like "/v1/files/*"`). One that could
/// begin with anything is not looked at.
fn patterns(tree: &Value, found: &mut Vec<String>) {
    match tree {
        Value::Array(items) => items.iter().for_each(|item| patterns(item, found)),
        Value::Object(fields) => {
            for (operator, operands) in fields {
                let is_path = operands.get("left").and_then(fact_name).as_deref() == Some("path");
                if operator == "like" && is_path {
                    let pattern = operands.get("pattern").and_then(Value::as_array);
                    let literal = |part: &Value| Some(part.get("Literal")?.as_str()?.to_owned());
                    let beginning: String =
                        pattern.into_iter().flatten().map_while(literal).collect();
                    if beginning.len() >= BEGINNING_BYTES_MIN {
                        found.push(beginning);
                    }
                }
                patterns(operands, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
