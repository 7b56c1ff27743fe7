// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `policy.toml`, from its JSON Schema.

use serde_json::{Map, Value};

use super::super::super::load::schema;
use super::table::{code, table};

const HEAD: &str = "
## policy.toml

Editors check the file while it is written: put `enforcer policy schema inventory > policy.schema.json` beside it and
`#:schema ./policy.schema.json` on its first line.

";

/// Definitions of the schema that are not sections of their own, and where they stand.
const INNER: [(&str, &str, &str); 1] = [(
    "agents",
    "selector",
    "Entries of `match`. The entry with the most keys decides, then the agent's name; order never matters.",
)];

pub(super) fn write(text: &mut String) {
    text.push_str(HEAD);
    let schema: Value = serde_json::from_str(schema::inventory_schema_text()).unwrap_or_default();
    let sections = members(schema.get("properties"));
    let plain = sections.iter().filter(|(_, section)| reference(section).is_none());
    table(text, ["key", "value", "if left out", "meaning"], rows(plain, &schema));
    for (name, section) in &sections {
        let Some(definition) = reference(section) else { continue };
        text.push_str(&format!("\n### `[{name}.NAME]`\n\n{}\n\n", about(section)));
        keys(text, &schema, definition);
        for (_, definition, head) in INNER.iter().filter(|(of, _, _)| of == name) {
            text.push_str(&format!("\n{head}\n\n"));
            keys(text, &schema, definition);
        }
    }
}

fn keys(text: &mut String, schema: &Value, definition: &str) {
    let definition = schema.get("definitions").and_then(|all| all.get(definition));
    let definition = definition.unwrap_or(&Value::Null);
    let keys = members(definition.get("properties"));
    table(text, ["key", "value", "if left out", "meaning"], rows(keys.iter(), definition));
}

fn members(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The definition that the tables of a section follow.
fn reference(section: &Value) -> Option<&str> {
    section.get("additionalProperties")?.get("$ref")?.as_str()?.strip_prefix("#/definitions/")
}

fn rows<'k>(
    keys: impl Iterator<Item = (&'k String, &'k Value)>,
    table: &Value,
) -> Vec<[String; 4]> {
    let needed = table.get("required").and_then(Value::as_array);
    let is_needed = |key: &str| needed.is_some_and(|all| all.iter().any(|name| name == key));
    keys.map(|(key, of)| {
        let otherwise = match of.get("default") {
            _ if is_needed(key) => "needed".to_owned(),
            Some(value) => code(&value.to_string()),
            None => String::new(),
        };
        [code(key), value(of), otherwise, about(of)]
    })
    .collect()
}

fn about(of: &Value) -> String {
    of.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn value(of: &Value) -> String {
    if let Some(values) = of.get("enum").and_then(Value::as_array) {
        return values.iter().map(|value| code(&value.to_string())).collect::<Vec<_>>().join(", ");
    }
    match of.get("type").and_then(Value::as_str) {
        Some("array") => match of.get("items").and_then(|items| items.get("type")?.as_str()) {
            Some("integer") => "list of numbers".to_owned(),
            Some(_) => "list of texts".to_owned(),
            None if of.get("items").is_some_and(is_variable) => "list of variables".to_owned(),
            None if of.get("items").is_some_and(is_name) => "list of names".to_owned(),
            None => "list of tables".to_owned(),
        },
        Some("integer") => "number".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        _ => "text".to_owned(),
    }
}

fn is_name(items: &Value) -> bool {
    items.get("$ref").is_some_and(|of| of == "#/definitions/name")
}

fn is_variable(items: &Value) -> bool {
    items.get("$ref").is_some_and(|of| of == "#/definitions/variable")
}
