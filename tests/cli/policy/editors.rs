// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The JSON Schema that editors use says of `policy.toml` what the loader says of it.

use std::collections::BTreeSet;
use std::fs;

use enforcer_core::policy::{
    Diagnostic, Severity, SourceFile, Sources, compile, inventory_schema_text,
};
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::{enforcer_policy, fixtures, root};

/// An inventory that has every key of the language.
const EVERY_KEY: &str = r#"version = 1
mode = "observe"
record = "facts"
[agents.named]
match = [{ exe = "/opt/agent", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", unit = "a.service", cgroup = "/a", container = "web", user = "svc", group = "svc", parent = "/bin/sh" }]
groups = ["g"]
capture = "all"
launch = "plain"
[agents.shadow]
match = [{ any = true }]
capture = "endpoints"
[endpoints.openai]
hosts = ["api.openai.com"]
ports = [443]
protocol = "openai"
groups = ["models"]
[endpoints.pypi]
hosts = ["pypi.example"]
tls = "passthrough"
[detectors.employee]
pattern = 'EMP-\d{6}'
[masks.pii]
detectors = ["email", "employee"]
style = "hash"
[budgets.daily]
per = "agent"
tokens = 10
requests = 10
answer_tokens = 10
window = "1d"
[approvals.leads]
by = ["group:leads"]
hold = "90s"
expire = "30m"
[credentials.key]
secret = "env:KEY"
header = "authorization"
value = "Bearer {secret}"
"#;

/// What the loader says if a thing has the wrong form, and an editor therefore has to say, too.
const FORM: &[&str] = &[
    "expected ",
    "missing key",
    "unknown capture",
    "unknown key",
    "unknown launch",
    "unknown mode",
    "unknown per",
    "unknown protocol",
    "unknown style",
    "unknown tls",
    "unknown version",
];

fn schema() -> Value {
    serde_json::from_str(inventory_schema_text()).expect("JSON")
}

fn json_of(toml: &str) -> Option<Value> {
    toml::from_str(toml).ok()
}

/// An inventory as TOML: every table is written in one line.
fn toml_of(inventory: &Value) -> String {
    let top = inventory.as_object().expect("a table");
    top.iter().map(|(key, value)| format!("{key} = {}\n", inline(value))).collect()
}

fn inline(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{key:?} = {}", inline(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        plain => plain.to_string(),
    }
}

/// What the loader refuses an inventory for.
fn loader(text: String) -> Vec<Diagnostic> {
    let file = SourceFile { path: "policy.toml".to_owned(), text };
    let found = compile(&Sources { files: vec![file] }).err();
    let found = found.into_iter().flat_map(|found| found.0);
    found.filter(|found| found.severity == Severity::Error).collect()
}

/// What a JSON Schema refuses a value for; knows the keywords that the schema uses and no other.
fn refusals(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (keyword, wanted) in schema.as_object().expect("a schema") {
        let is_fine = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "definitions" => true,
            "$ref" => {
                let path = wanted.as_str().and_then(|path| path.strip_prefix('#'));
                let schema = path.and_then(|path| root.pointer(path)).expect("a definition");
                found.extend(refusals(root, schema, value, at));
                true
            }
            "type" => has_type(value, wanted.as_str().expect("one type")),
            "enum" => wanted.as_array().expect("values").contains(value),
            "pattern" => {
                let pattern = Regex::new(wanted.as_str().expect("a pattern")).expect("a pattern");
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "minimum" => value.as_i64().is_none_or(|number| number >= wanted.as_i64().unwrap_or(0)),
            "maximum" => value.as_i64().is_none_or(|number| number <= wanted.as_i64().unwrap_or(0)),
            "minLength" => value.as_str().is_none_or(|text| !text.is_empty()),
            "minItems" => value.as_array().is_none_or(|items| !items.is_empty()),
            "minProperties" => value.as_object().is_none_or(|members| !members.is_empty()),
            "required" => {
                let names = wanted.as_array().expect("names").iter().filter_map(Value::as_str);
                value
                    .as_object()
                    .is_none_or(|all| names.into_iter().all(|name| all.contains_key(name)))
            }
            "anyOf" => wanted
                .as_array()
                .expect("schemas")
                .iter()
                .any(|schema| refusals(root, schema, value, at).is_empty()),
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    found.extend(refusals(root, wanted, item, at));
                }
                true
            }
            "properties" | "additionalProperties" | "propertyNames" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    found.extend(of_member(root, schema, keyword, (name, member), at));
                }
                true
            }
            other => panic!("the schema uses `{other}`, which is not checked here"),
        };
        if !is_fine {
            found.push(format!("{at}: {keyword} {wanted}, found {value}"));
        }
    }
    found
}

fn of_member(
    root: &Value,
    schema: &Value,
    keyword: &str,
    (name, member): (&str, &Value),
    at: &str,
) -> Vec<String> {
    let at = format!("{at}.{name}");
    let own = schema["properties"].get(name);
    match (keyword, own) {
        ("properties", Some(own)) => refusals(root, own, member, &at),
        ("propertyNames", _) => refusals(root, &schema[keyword], &json!(name), &at),
        ("additionalProperties", None) if schema[keyword] == json!(false) => {
            vec![format!("{at}: no such key")]
        }
        ("additionalProperties", None) => refusals(root, &schema[keyword], member, &at),
        _ => Vec::new(),
    }
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        other => panic!("the schema uses the type `{other}`"),
    }
}

fn editor(inventory: &Value) -> Vec<String> {
    let schema = schema();
    refusals(&schema, &schema, inventory, "")
}

/// The tables of the full inventory, by JSON pointer, and the keys that the schema has for each.
fn tables() -> Vec<(&'static str, BTreeSet<String>)> {
    let schema = schema();
    let keys = |pointer: &str| -> BTreeSet<String> {
        let keys = schema.pointer(pointer).and_then(Value::as_object).expect(pointer);
        keys.keys().cloned().collect()
    };
    let of = |pointer, name: &str| (pointer, keys(&format!("/definitions/{name}/properties")));
    let all = vec![
        ("", keys("/properties")),
        of("/agents/named", "agent"),
        of("/agents/named/match/0", "selector"),
        of("/endpoints/openai", "endpoint"),
        of("/detectors/employee", "detector"),
        of("/masks/pii", "mask"),
        of("/budgets/daily", "budget"),
        of("/approvals/leads", "approval"),
        of("/credentials/key", "credential"),
    ];
    let definitions = schema.get("definitions").and_then(Value::as_object).expect("definitions");
    let of_tables = definitions.values().filter(|of| of.get("properties").is_some()).count();
    assert_eq!(all.len(), of_tables + 1, "the top has no definition");
    all
}

fn with(pointer: &str, key: &str, value: Option<Value>) -> Value {
    let mut inventory = json_of(EVERY_KEY).expect("TOML");
    let table = inventory.pointer_mut(pointer).and_then(Value::as_object_mut).expect(pointer);
    match value {
        Some(value) => drop(table.insert(key.to_owned(), value)),
        None => drop(table.remove(key)),
    }
    inventory
}

/// The words in the help of a diagnostic: "known: `a`, `b`".
fn known(found: &[Diagnostic], message: &str) -> BTreeSet<String> {
    let found = found.iter().find(|found| found.message.starts_with(message));
    let help = found.and_then(|found| found.help.as_deref()).expect(message);
    let words = help.strip_prefix("known: ").unwrap_or_else(|| panic!("{message}: {help}"));
    words.split(", ").map(|word| word.trim_matches('`').to_owned()).collect()
}

#[test]
fn the_schema_has_every_key_and_every_word_that_the_loader_knows_and_no_other() {
    let schema = schema();
    let mut words = 0;
    for (pointer, keys) in tables() {
        let found = loader(toml_of(&with(pointer, "zzzzzzzz", Some(json!(1)))));
        assert_eq!(known(&found, "unknown key `zzzzzzzz`"), keys, "{pointer}");
    }
    let definitions = schema["definitions"].as_object().expect("definitions");
    let properties = definitions.iter().map(|(name, definition)| (name.as_str(), definition));
    for (name, definition) in properties.chain([("top", &schema)]) {
        for (key, of) in definition["properties"].as_object().into_iter().flatten() {
            let Some(values) = of["enum"].as_array().filter(|_| of["type"] == "string") else {
                continue;
            };
            let (pointer, _) =
                tables().into_iter().find(|(_, keys)| *keys == names(definition)).expect(name);
            let found = loader(toml_of(&with(pointer, key, Some(json!("zzzzzzzz")))));
            let values = values.iter().filter_map(Value::as_str).map(str::to_owned);
            let found = known(&found, &format!("unknown {key} `zzzzzzzz`"));
            assert_eq!(found, values.collect::<BTreeSet<_>>(), "{name}.{key}");
            words += 1;
        }
    }
    assert!(words >= 7, "mode, capture, launch, protocol, tls, style, per: {words}");
}

fn names(definition: &Value) -> BTreeSet<String> {
    definition["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

#[test]
fn the_schema_refuses_no_inventory_that_the_loader_takes_and_every_one_of_a_wrong_form() {
    assert_eq!(loader(EVERY_KEY.to_owned()), []);
    assert_eq!(editor(&json_of(EVERY_KEY).expect("TOML")), Vec::<String>::new());
    let samples = [
        json!("zz zz"),
        json!(""),
        json!(0),
        json!(1),
        json!(-1),
        json!(70_000),
        json!(1.5),
        json!(true),
        json!(false),
        json!([]),
        json!(["zz zz"]),
        json!([1]),
        json!([{}]),
        json!({}),
        json!({ "zz": 1 }),
        json!({ "zz": {} }),
    ];
    let (mut judged, mut refused) = (0, 0);
    for (pointer, keys) in tables() {
        for key in keys {
            let values = samples.iter().cloned().map(Some).chain([None]);
            for value in values {
                let inventory = with(pointer, &key, value);
                let (loader, editor) = (loader(toml_of(&inventory)), editor(&inventory));
                let text = format!("{pointer} {key}: {loader:#?} {editor:#?}");
                assert!(editor.is_empty() || !loader.is_empty(), "a false alarm: {text}");
                let is_form =
                    |found: &Diagnostic| FORM.iter().any(|form| found.message.starts_with(form));
                assert!(!loader.iter().any(is_form) || !editor.is_empty(), "not told: {text}");
                judged += 1;
                refused += usize::from(!editor.is_empty());
            }
        }
    }
    assert!(judged > 600 && refused > 400, "{refused} of {judged} refused");
}

#[test]
fn shipped_inventories_fit_the_schema_and_broken_ones_are_never_the_only_ones_that_do_not() {
    let bundles = fs::read_dir(root().join("policies")).expect("bundles");
    let bundles = bundles.map(|entry| entry.expect("an entry").path());
    let mut fit = 0;
    for path in bundles.chain(fixtures("broken")).chain(fixtures("odd")) {
        let Ok(text) = fs::read_to_string(path.join("policy.toml")) else { continue };
        let Some(inventory) = json_of(&text) else { continue };
        let (editor, loader) = (editor(&inventory), loader(text));
        assert!(editor.is_empty() || !loader.is_empty(), "{}: {editor:#?}", path.display());
        fit += usize::from(editor.is_empty());
    }
    assert!(fit >= 6, "{fit} inventories fit");
}

#[test]
fn the_command_prints_the_schema_for_editors() {
    let done = enforcer_policy(&["schema", "inventory"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    let printed: Map<String, Value> = serde_json::from_str(&done.out).expect("JSON");
    assert_eq!(Value::Object(printed), schema());
}
