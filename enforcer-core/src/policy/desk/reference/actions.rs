// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Actions, their groups and their facts, from the Cedar schema and the tables beside it.

use super::super::super::load::schema::{self, FactKind, FactSpec, Otherwise};
use super::table::{code, table};

/// An action or a group of actions, as the schema declares it.
#[derive(Debug, Default)]
pub(in crate::policy) struct Declared<'t> {
    pub(in crate::policy) name: &'t str,
    groups: Vec<&'t str>,
    about: String,
    facts: Vec<(&'t str, &'t str, String)>,
}

/// Reads the declarations of the schema. Comments above a declaration are what it means.
pub(in crate::policy) fn declared(schema: &str) -> Vec<Declared<'_>> {
    let mut all: Vec<Declared<'_>> = Vec::new();
    let mut about: Vec<&str> = Vec::new();
    for line in schema.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("//") {
            about.push(comment.trim());
        } else {
            let about = std::mem::take(&mut about).join(" ");
            if let Some(rest) = line.strip_prefix("action ") {
                let end = rest.find([' ', ';']).unwrap_or(rest.len());
                let groups = rest.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
                let groups = groups.into_iter().flat_map(|(groups, _)| groups.split(", "));
                let name = rest.get(..end).unwrap_or_default();
                all.push(Declared { name, groups: groups.collect(), about, facts: Vec::new() });
            } else if let (Some((name, kind)), Some(action), false) =
                (line.split_once(": "), all.last_mut(), about.is_empty())
            {
                action.facts.push((name, kind.trim_end_matches(','), about));
            }
        }
    }
    all
}

pub(super) fn write(text: &mut String) {
    let all = declared(schema::schema_text());
    let is_group = |name: &str| schema::ACTION_GROUPS.iter().any(|(group, _)| *group == name);
    text.push_str("\n## Actions\n\nWhat a request is, as Enforcer understood it. ");
    text.push_str(
        "`connect` happens on endpoints with `tls = \"passthrough\"`, `http` and `opaque` on\nall others, the \
         rest where `protocol` names an API that is understood.\n\n",
    );
    let yes =
        |names: &[&str], name: &str| if names.contains(&name) { "yes" } else { "" }.to_owned();
    let rows = all.iter().filter(|declared| !is_group(declared.name)).map(|declared| {
        let name = declared.name;
        [
            format!("[`{name}`](#{name})"),
            yes(schema::REQUEST_MASKABLE, name),
            yes(schema::RESPONSE_MASKABLE, name),
            yes(schema::METERED, name),
            declared.about.clone(),
        ]
    });
    let head = [
        "action",
        "request can be masked",
        "answer can be masked",
        "tokens are counted",
        "description",
    ];
    table(text, head, rows);
    text.push_str("\n### Groups of actions\n\n");
    let rows = schema::ACTION_GROUPS.iter().map(|(group, members)| {
        let about = all.iter().find(|declared| declared.name == *group);
        let members: Vec<String> = members.iter().map(|member| code(member)).collect();
        let about = about.map(|declared| declared.about.clone()).unwrap_or_default();
        [code(group), members.join(", "), about]
    });
    table(text, ["group", "members", "description"], rows);
    text.push_str(
        "\n### Requests of each protocol\n\nWhich request has which action is listed in [apis.md](apis.md). Only these methods and exact paths\ncount; \
         every other request is `http`. Where the facts of a request to a model are in the body, a query that the API\ndoes not \
         have, or a field that names another model, provider or place (`models`, `fallbacks`, `provider`,\n`api_base`, …), makes the \
         request `opaque`.\n",
    );
    for declared in all.iter().filter(|declared| !is_group(declared.name)) {
        facts(text, declared);
    }
}

fn facts(text: &mut String, declared: &Declared<'_>) {
    let groups: Vec<String> = declared.groups.iter().map(|group| code(group)).collect();
    let (name, groups) = (declared.name, groups.join(", "));
    text.push_str(&format!("\n### `{name}`\n\n{} In {groups}.\n\n", declared.about));
    let specs = schema::action(name).map_or(&[][..], |action| action.facts);
    let rows = declared.facts.iter().map(|(fact, kind, about)| {
        let plain = fact.trim_end_matches('?');
        let spec = specs.iter().find(|spec| spec.name == plain);
        let about = match plain {
            "cause" => format!("Why: {}.", causes()),
            _ => about.clone(),
        };
        [
            code(&format!("context.{plain}")),
            code(kind),
            spec.map_or("empty".to_owned(), otherwise),
            about,
        ]
    });
    table(text, ["fact", "type", "if a case leaves it out", "description"], rows);
}

fn otherwise(spec: &FactSpec) -> String {
    match (spec.otherwise, spec.kind) {
        (Otherwise::Absent, _) => "not there; ask with `has`".to_owned(),
        (Otherwise::Required, _) => "needed".to_owned(),
        (Otherwise::Text(text), _) => code(&format!("\"{text}\"")),
        (Otherwise::Default(_), FactKind::Bool) => "false".to_owned(),
        (Otherwise::Default(number), FactKind::Long) => number.to_string(),
        (Otherwise::Default(_), FactKind::String | FactKind::StringSet) => "empty".to_owned(),
    }
}

/// What `context.cause` of `opaque` may be, as one line.
fn causes() -> String {
    schema::CAUSES.iter().map(|cause| code(cause)).collect::<Vec<_>>().join(", ")
}
