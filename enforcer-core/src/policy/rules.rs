// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `*.cedar`: from text to checked rules.
//!
//! Cedar's strict validator knows the types of all facts. What it does not know is checked here: which
//! agents, endpoints and groups exist, which annotations there are and what they may ask for, and texts that
//! are compared with facts of few possible values. Errs towards refusing the bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicyId, PolicySet, ResourceConstraint, Schema,
    ValidationMode, ValidationWarning, Validator,
};
use serde_json::Value;

use crate::model::{DetectorName, MaskName, Obligations, RecordDepth, RuleId, limits};

use super::diagnostic::Place;
use super::inventory::{Endpoint, Inventory, Protocol, Tls};
use super::statement::{Statement, split};
use super::{Diagnostic, SourceFile, schema, sheet};

/// One checked rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) id: RuleId,
    pub(super) file: String,
    pub(super) place: Place,
    pub(super) is_permit: bool,
    pub(super) obligations: Obligations,
    pub(super) message: Option<String>,
    pub(super) cedar: Policy,
}

/// Annotations of the language that this version cannot act on.
const LATER: &[&str] = &["approve", "budget", "credential", "mode"];
const KNOWN: &[&str] = &["id", "mask", "mask_request", "mask_response", "message", "record"];

/// A rule that Cedar could parse, and where it stands.
struct Draft<'s> {
    file: &'s SourceFile,
    statement: Statement,
    cedar: Policy,
}

/// Everything the checks of one bundle need.
pub(super) struct Checker<'c> {
    pub(super) inventory: Option<&'c Inventory>,
    pub(super) validator: &'c Validator,
    pub(super) found: &'c mut Vec<Diagnostic>,
}

/// Reads the rules of all files. Rules with problems are left out; the problems are in `checker.found`.
pub(super) fn read(files: &[&SourceFile], checker: &mut Checker<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut ids: BTreeMap<RuleId, String> = BTreeMap::new();
    for file in files {
        for statement in split(&file.text) {
            let index = rules.len();
            let Some(draft) = checker.parse(file, statement, index) else { continue };
            let Some(rule) = checker.check(&draft) else { continue };
            let here = format!("{}:{}", rule.file, rule.place.line);
            if let Some(first) = ids.get(&rule.id) {
                let span = draft.annotation_value("id");
                checker.found.push(
                    Diagnostic::error(file, span, format!("rule id `{}` is taken", rule.id))
                        .label("used again here")
                        .help(format!("the first one is at {first}")),
                );
                continue;
            }
            ids.insert(rule.id.clone(), here);
            rules.push(rule);
        }
    }
    rules
}

impl<'s> Draft<'s> {
    fn error(&self, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.file, span, message)
    }

    fn head(&self) -> Range<usize> {
        self.statement.head()
    }

    fn annotation(&self, key: &str) -> Option<super::statement::Annotation> {
        let is_key = |span: &Range<usize>| self.file.text.get(span.clone()) == Some(key);
        self.statement.annotations().into_iter().find(|annotation| is_key(&annotation.key))
    }

    fn annotation_value(&self, key: &str) -> Range<usize> {
        match self.annotation(key) {
            Some(annotation) => annotation.value.unwrap_or(annotation.key),
            None => self.head(),
        }
    }

    fn annotation_key(&self, key: &str) -> Range<usize> {
        self.annotation(key).map_or_else(|| self.head(), |annotation| annotation.key)
    }

    fn entity(&self, uid: &EntityUid) -> Range<usize> {
        let (kind, id) = (uid.type_name().to_string(), uid.id().unescaped().to_owned());
        self.statement.entity(&self.file.text, &kind, &id).unwrap_or_else(|| self.head())
    }

    fn quoted(&self, value: &str) -> Range<usize> {
        self.statement.quoted(&self.file.text, value).unwrap_or_else(|| self.head())
    }

    fn is_permit(&self) -> bool {
        self.cedar.effect() == Effect::Permit
    }

    /// Names of the actions that the scope of the rule admits.
    fn actions(&self) -> BTreeSet<&'static str> {
        let all = || schema::ACTIONS.iter().map(|action| action.name).collect();
        let uids = match self.cedar.action_constraint() {
            ActionConstraint::Any => return all(),
            ActionConstraint::Eq(uid) => {
                let name = schema::action(uid.id().unescaped()).map(|action| action.name);
                return name.into_iter().collect();
            }
            ActionConstraint::In(uids) => uids,
        };
        let members = |uid: &EntityUid| {
            let name = uid.id().unescaped().to_owned();
            let group = schema::ACTION_GROUPS.iter().find(|(group, _)| *group == name);
            let single = schema::action(&name).map(|action| action.name);
            group.map(|(_, members)| *members).unwrap_or_default().iter().copied().chain(single)
        };
        uids.iter().flat_map(members).collect()
    }

    /// The endpoints that the scope of the rule admits, and whether the scope names them.
    fn endpoints<'i>(&self, inventory: &'i Inventory) -> (Vec<&'i Endpoint>, bool) {
        let all = inventory.endpoints.iter();
        match self.cedar.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => (all.collect(), false),
            ResourceConstraint::Eq(uid)
            | ResourceConstraint::In(uid)
            | ResourceConstraint::IsIn(_, uid) => {
                let id = uid.id().unescaped();
                let is_group = uid.type_name().basename() == "EndpointGroup";
                let is_named = |endpoint: &&Endpoint| {
                    if is_group {
                        endpoint.groups.iter().any(|group| group == id)
                    } else {
                        endpoint.name.as_str() == id
                    }
                };
                (all.filter(is_named).collect(), true)
            }
        }
    }
}

/// Whether an action can happen on an endpoint at all.
fn is_possible(action: &str, endpoint: &Endpoint) -> bool {
    match (endpoint.tls, endpoint.protocol) {
        (Tls::Passthrough, _) => action == "connect",
        (Tls::Inspect, Protocol::OpenAi) => action != "connect",
        (Tls::Inspect, Protocol::Http) => matches!(action, "http" | "opaque"),
    }
}

impl Checker<'_> {
    fn parse<'s>(
        &mut self,
        file: &'s SourceFile,
        statement: Statement,
        index: usize,
    ) -> Option<Draft<'s>> {
        if statement.depth > limits::RULE_DEPTH_MAX || statement.tokens.len() > limits::RULE_TOKENS_MAX {
            let span = statement.head();
            self.found.push(
                Diagnostic::error(file, span, "the rule is too large").help(format!(
                    "a rule has at most {} words and signs, nested at most {} deep; split it",
                    limits::RULE_TOKENS_MAX,
                    limits::RULE_DEPTH_MAX
                )),
            );
            return None;
        }
        let source = file.text.get(statement.span.clone())?;
        match Policy::parse(Some(PolicyId::new(index.to_string())), source) {
            Ok(cedar) => Some(Draft { file, statement, cedar }),
            Err(errors) => {
                for error in errors.iter() {
                    self.found.push(translate(file, &statement, error));
                }
                None
            }
        }
    }

    fn check(&mut self, draft: &Draft<'_>) -> Option<Rule> {
        let errors_before = self.found.len();
        self.check_annotation_keys(draft);
        let id = self.rule_id(draft);
        let message = self.message(draft);
        self.check_types(draft);
        let mut obligations = self.obligations(draft);
        if let Some(inventory) = self.inventory {
            self.check_instances(draft, inventory);
            self.check_masks(draft, inventory, &mut obligations);
            self.check_compared_texts(draft, inventory);
            if self.found.len() == errors_before {
                self.check_is_possible(draft, inventory);
            }
        }
        let has_errors = self
            .found
            .iter()
            .skip(errors_before)
            .any(|found| found.severity == super::Severity::Error);
        let id = id.filter(|_| !has_errors)?;
        Some(Rule {
            id,
            file: draft.file.path.clone(),
            place: Place::of(&draft.file.text, draft.statement.span.start),
            is_permit: draft.is_permit(),
            obligations,
            message,
            cedar: draft.cedar.clone(),
        })
    }

    fn check_annotation_keys(&mut self, draft: &Draft<'_>) {
        for (key, _) in draft.cedar.annotations() {
            let span = draft.annotation_key(key);
            if LATER.contains(&key) {
                self.found.push(
                    draft
                        .error(span, format!("annotation `@{key}` is not supported by this version yet"))
                        .help("remove it: it would have no effect"),
                );
            } else if !KNOWN.contains(&key) {
                self.found.push(
                    draft
                        .error(span, format!("unknown annotation `@{key}`"))
                        .label("would have no effect")
                        .suggest(key, KNOWN.iter().copied()),
                );
            } else if !draft.is_permit() && !matches!(key, "id" | "message") {
                self.found.push(
                    draft
                        .error(span, format!("`@{key}` on a forbid has no effect"))
                        .label("an obligation of a permit")
                        .help("obligations belong to what is allowed; put it on the permit"),
                );
            }
        }
    }

    fn rule_id(&mut self, draft: &Draft<'_>) -> Option<RuleId> {
        let Some(id) = draft.cedar.annotation("id") else {
            self.found.push(
                draft
                    .error(draft.head(), "the rule has no `@id`")
                    .label("this rule")
                    .help("name it, for example `@id(\"support-chat\")`; records and denials say it"),
            );
            return None;
        };
        if !sheet::is_name(id) {
            self.found.push(
                draft
                    .error(draft.annotation_value("id"), format!("`{id}` is not a rule id"))
                    .help("1 to 63 letters, digits, `.`, `_` or `-`, the first one a letter or digit"),
            );
            return None;
        }
        Some(RuleId::new(id))
    }

    fn message(&mut self, draft: &Draft<'_>) -> Option<String> {
        let message = draft.cedar.annotation("message")?;
        let span = draft.annotation_value("message");
        if draft.is_permit() {
            self.found.push(
                draft
                    .error(draft.annotation_key("message"), "`@message` on a permit is told to nobody")
                    .help("a message says why something is refused; put it on a forbid"),
            );
        }
        let length = message.chars().count();
        if length == 0 || length > limits::RULE_MESSAGE_CHARS_MAX {
            let range = format!("1 to {} characters", limits::RULE_MESSAGE_CHARS_MAX);
            self.found.push(draft.error(span, format!("a message has {range}, not {length}")));
        } else if message.chars().any(char::is_control) {
            self.found.push(draft.error(span, "a message is one line without control characters"));
        }
        Some(message.to_owned())
    }

    fn obligations(&mut self, draft: &Draft<'_>) -> Obligations {
        let names = |key: &str| -> BTreeSet<MaskName> {
            let value = draft.cedar.annotation(key).unwrap_or_default();
            value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(MaskName::new).collect()
        };
        let both = names("mask");
        let with = |key: &str| both.iter().cloned().chain(names(key)).collect();
        let record = match draft.cedar.annotation("record") {
            None | Some("full") => RecordDepth::Full,
            Some("facts") => RecordDepth::Facts,
            Some(other) => {
                let span = draft.annotation_value("record");
                let found = draft.error(span, format!("unknown depth of record `{other}`"));
                self.found.push(found.suggest(other, ["facts", "full"]));
                RecordDepth::Full
            }
        };
        Obligations { mask_request: with("mask_request"), mask_response: with("mask_response"), record }
    }

    /// Cedar's own validation: types, attributes, actions, rules that can never be satisfied.
    fn check_types(&mut self, draft: &Draft<'_>) {
        let Ok(set) = PolicySet::from_policies([draft.cedar.clone()]) else { return };
        let result = self.validator.validate(&set, ValidationMode::Strict);
        let has_errors = result.validation_errors().next().is_some();
        for error in result.validation_errors() {
            self.found.push(translate(draft.file, &draft.statement, error));
        }
        for warning in result.validation_warnings() {
            let translated = translate(draft.file, &draft.statement, warning);
            match warning {
                ValidationWarning::ImpossiblePolicy(_)
                | ValidationWarning::InvalidActionApplication(_) => {
                    if !has_errors {
                        self.found.push(impossible(draft, translated));
                    }
                }
                ValidationWarning::BidiCharsInString(_)
                | ValidationWarning::BidiCharsInIdentifier(_) => self.found.push(translated),
                _ => self.found.push(translated.as_warning()),
            }
        }
    }

    /// Agents, endpoints and groups: Cedar knows their types, the inventory knows which exist.
    fn check_instances(&mut self, draft: &Draft<'_>, inventory: &Inventory) {
        let uids: BTreeSet<EntityUid> = draft.cedar.entity_literals().into_iter().collect();
        for uid in uids {
            let id = uid.id().unescaped().to_owned();
            let (what, known): (&str, Vec<&str>) = match uid.type_name().to_string().as_str() {
                "Agent" => ("agent", inventory.agents.keys().map(|name| name.as_str()).collect()),
                "Group" => ("group of agents", inventory.groups.iter().map(String::as_str).collect()),
                "Endpoint" => {
                    let names = inventory.endpoints.iter().map(|endpoint| endpoint.name.as_str());
                    ("endpoint", names.collect())
                }
                "EndpointGroup" => {
                    let groups = inventory.endpoint_groups.iter().map(String::as_str);
                    ("group of endpoints", groups.collect())
                }
                _ => continue,
            };
            if !known.contains(&id.as_str()) {
                let found = draft
                    .error(draft.entity(&uid), format!("unknown {what} `{id}`"))
                    .label(format!("not in {}", super::INVENTORY_FILE));
                self.found.push(found.suggest(&id, known));
            }
        }
    }

    fn check_masks(
        &mut self,
        draft: &Draft<'_>,
        inventory: &Inventory,
        obligations: &mut Obligations,
    ) {
        for key in ["mask", "mask_request", "mask_response"] {
            let Some(value) = draft.cedar.annotation(key) else { continue };
            let span = draft.annotation_value(key);
            for name in value.split(',').map(str::trim) {
                if !inventory.masks.contains_key(&MaskName::new(name)) {
                    let known = inventory.masks.keys().map(MaskName::as_str);
                    let found = draft.error(span.clone(), format!("unknown mask `{name}`"));
                    self.found.push(found.label("not in policy.toml").suggest(name, known));
                }
            }
            self.check_can_mask(draft, inventory, key);
        }
        let exists = |name: &MaskName| inventory.masks.contains_key(name);
        obligations.mask_request.retain(exists);
        obligations.mask_response.retain(exists);
    }

    fn check_can_mask(&mut self, draft: &Draft<'_>, inventory: &Inventory, key: &str) {
        if !draft.is_permit() {
            return;
        }
        let span = draft.annotation_key(key);
        let actions = draft.actions();
        let unmaskable: Vec<&str> = actions.iter().copied().filter(|name| *name != "chat").collect();
        if !unmaskable.is_empty() {
            let message = format!(
                "`@{key}` cannot act on {}: only chats are understood well enough to be masked",
                list("action", &unmaskable)
            );
            let help = "limit the rule to `action == Action::\"chat\"` and permit the rest apart";
            self.found.push(draft.error(span, message).help(help));
            return;
        }
        let (endpoints, is_named) = draft.endpoints(inventory);
        let passed: Vec<&str> = endpoints
            .iter()
            .filter(|endpoint| is_named && endpoint.tls == Tls::Passthrough)
            .map(|endpoint| endpoint.name.as_str())
            .collect();
        if !passed.is_empty() {
            let message =
                format!("`@{key}` cannot act on {}, which is passed through", list("endpoint", &passed));
            let help = "a passed-through connection is never opened; remove `tls = \"passthrough\"`";
            self.found.push(draft.error(span, message).help(help));
        }
    }

    /// A rule whose scope holds no action that could ever happen there.
    fn check_is_possible(&mut self, draft: &Draft<'_>, inventory: &Inventory) {
        let (endpoints, is_named) = draft.endpoints(inventory);
        let actions = draft.actions();
        let can_happen =
            |endpoint: &&Endpoint| actions.iter().any(|action| is_possible(action, endpoint));
        if endpoints.is_empty() || actions.is_empty() || endpoints.iter().any(can_happen) {
            return;
        }
        let actions: Vec<&str> = actions.into_iter().collect();
        let place = if is_named { "on this endpoint" } else { "on any endpoint" };
        let message = format!("the rule can never match: {} never happens {place}", list("action", &actions));
        self.found.push(draft.error(draft.head(), message).label("this rule").help(
            "`chat` needs an inspected endpoint with `protocol = \"openai\"`, `connect` a passed-through one",
        ));
    }

    /// Texts compared with facts that have few possible values, and facts that are asked for by `has`.
    fn check_compared_texts(&mut self, draft: &Draft<'_>, inventory: &Inventory) {
        let Ok(tree) = draft.cedar.to_json() else { return };
        let mut seen = Compared::default();
        if let Some(conditions) = tree.get("conditions") {
            seen.walk(conditions);
        }
        let detectors = inventory.detector_names();
        let detectors: Vec<&str> = detectors.iter().map(DetectorName::as_str).collect();
        for (fact, text) in &seen.texts {
            let (what, known) = match fact.as_str() {
                "detected" => ("detector", detectors.as_slice()),
                "cause" => ("cause", schema::CAUSES),
                "method" if text.chars().any(|c| c.is_ascii_lowercase()) => {
                    let upper = text.to_ascii_uppercase();
                    let found = draft.error(draft.quoted(text), "methods are upper case");
                    self.found.push(found.help(format!("did you mean `{upper}`?")));
                    continue;
                }
                _ => continue,
            };
            if !known.contains(&text.as_str()) {
                let found = draft.error(draft.quoted(text), format!("unknown {what} `{text}`"));
                self.found.push(found.suggest(text, known.iter().copied()));
            }
        }
        let facts: BTreeSet<&str> = schema::ACTIONS
            .iter()
            .flat_map(|action| action.facts.iter().map(|fact| fact.name))
            .chain(["detected"])
            .collect();
        for name in seen.asked.iter().filter(|name| !facts.contains(name.as_str())) {
            let span = draft.statement.word(&draft.file.text, name);
            let span = span.unwrap_or_else(|| draft.quoted(name));
            let found = draft.error(span, format!("no action has a fact `{name}`"));
            self.found.push(found.suggest(name, facts.iter().copied()));
        }
    }
}

fn impossible(draft: &Draft<'_>, translated: Diagnostic) -> Diagnostic {
    let why = match translated.message.as_str() {
        text if text.contains("applicable action") => {
            "no action applies to this combination of principal, action and resource"
        }
        _ => "its condition is false for every possible request",
    };
    draft
        .error(draft.head(), format!("the rule can never match: {why}"))
        .label("this rule")
        .help("groups stand behind `in`, single names behind `==`")
}

fn list(what: &str, names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("{what}{plural} {}", quoted.join(", "))
}

/// Texts of a rule that are compared with a fact, and facts it asks for with `has`.
#[derive(Debug, Default)]
struct Compared {
    texts: BTreeSet<(String, String)>,
    asked: BTreeSet<String>,
}

impl Compared {
    fn walk(&mut self, tree: &Value) {
        match tree {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(fields) => {
                for (operator, value) in fields {
                    self.look_at(operator, value);
                    self.walk(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn look_at(&mut self, operator: &str, operands: &Value) {
        let (left, right) = (operands.get("left"), operands.get("right"));
        match operator {
            "==" | "!=" | "contains" | "containsAll" | "containsAny" => {
                for (fact, other) in [(left, right), (right, left)] {
                    let Some(fact) = fact.and_then(fact_name) else { continue };
                    let mut texts = Vec::new();
                    if let Some(other) = other {
                        collect_texts(other, &mut texts);
                    }
                    self.texts.extend(texts.into_iter().map(|text| (fact.clone(), text)));
                }
            }
            "has" if left.is_some_and(is_context) => {
                let name = operands.get("attr").and_then(Value::as_str);
                self.asked.extend(name.map(str::to_owned));
            }
            _ => {}
        }
    }
}

fn is_context(tree: &Value) -> bool {
    tree.get("Var").and_then(Value::as_str) == Some("context")
}

fn fact_name(tree: &Value) -> Option<String> {
    let access = tree.get(".")?;
    let name = access.get("attr")?.as_str()?;
    access.get("left").is_some_and(is_context).then(|| name.to_owned())
}

fn collect_texts(tree: &Value, texts: &mut Vec<String>) {
    if let Some(Value::String(text)) = tree.get("Value") {
        texts.push(text.clone());
    }
    if let Some(Value::Array(items)) = tree.get("Set") {
        items.iter().for_each(|item| collect_texts(item, texts));
    }
}

/// A problem that Cedar found, in our words' frame and with the place in the whole file.
fn translate(
    file: &SourceFile,
    statement: &Statement,
    error: &dyn miette::Diagnostic,
) -> Diagnostic {
    let label = error.labels().and_then(|mut labels| labels.next());
    let start = statement.span.start;
    let (span, text) = match &label {
        Some(label) => {
            let begin = (start + label.offset()).min(statement.span.end);
            let end = (begin + label.len()).min(statement.span.end);
            (begin..end, label.label().unwrap_or_default().to_owned())
        }
        None => (statement.head(), String::new()),
    };
    let message = error.to_string();
    let message = match message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")) {
        Some((_, rest)) => rest.to_owned(),
        None => message,
    };
    let mut found = Diagnostic::error(file, span, message).label(text);
    found.help = error.help().map(|help| help.to_string());
    found
}

/// The schema as Cedar reads it.
pub(super) fn parse_schema() -> Result<Schema, String> {
    Schema::from_cedarschema_str(schema::schema_text())
        .map(|(schema, _)| schema)
        .map_err(|error| error.to_string())
}
