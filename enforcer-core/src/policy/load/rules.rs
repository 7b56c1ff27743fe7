// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `*.cedar`: from text to checked rules.
//!
//! Cedar's strict validator knows the types of all facts. What it does not know is checked here: which
//! agents, endpoints and groups exist, which annotations there are and what they may ask for, and texts that
//! are compared with facts of few possible values. Errs towards refusing the bundle.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    ActionConstraint, EntityUid, Expression, Policy, PolicyId, PolicySet, Schema, ValidationError,
    ValidationMode, ValidationWarning, Validator,
};

use crate::model::{DetectorName, Mode, Obligations, RecordDepth, RuleId, limits};
use crate::protocol::codec;

use super::super::decide::compared::{Compared, Reads};
use super::super::decide::comparison::Plain;
use super::annotations::{ANNOTATIONS, On, annotation};
use super::behind_in::BehindIn;
use super::closest::did_you_mean;
use super::diagnostic::Diagnostic;
use super::diagnostic::{Place, Severity};
use super::draft::Draft;
use super::inventory::{Endpoint, Inventory, LATER, Named, Tls};
use super::sources::{INVENTORY_FILE, SourceFile};
use super::statement::{Statement, split};
use super::translate::{UnknownFacts, list, translate};
use super::{schema, sheet};

/// One checked rule.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Rule {
    pub(in crate::policy) id: RuleId,
    pub(in crate::policy) file: String,
    pub(in crate::policy) place: Place,
    pub(in crate::policy) is_permit: bool,
    /// In observe mode it decides nothing, and is recorded where it would have.
    pub(in crate::policy) mode: Mode,
    pub(in crate::policy) obligations: Obligations,
    /// How much is kept, where the rule itself says so.
    pub(in crate::policy) record: Option<RecordDepth>,
    pub(in crate::policy) message: Option<String>,
    pub(in crate::policy) cedar: Policy,
    /// It decides about tool calls that a model asks for, too: it names that action, or reads one of its facts. A rule
    /// about every action is about what agents send.
    pub(in crate::policy) decides_asked: bool,
    /// What of the condition Cedar need not be asked about.
    pub(in crate::policy) plain: Plain,
    /// What has to hold beside the scope; none if nothing has to.
    pub(in crate::policy) condition: Option<Expression>,
}

/// The conditions of a rule as one expression, which costs a fraction of evaluating the rule as a whole: Cedar
/// would put it together anew each time. Nothing comes back if it cannot be cut out.
#[expect(clippy::option_option, reason = "the inner one says that there is no condition")]
fn condition(draft: &Draft<'_>) -> Option<Option<Expression>> {
    let conditions = draft.statement.conditions(&draft.file.text)?;
    if conditions.is_empty() {
        return Some(None);
    }
    // The line ends keep a comment at the end of a condition from taking the bracket along.
    let parts = conditions.iter().map(|(is_unless, text)| {
        let not = if *is_unless { "!" } else { "" };
        format!("{not}(\n{text}\n)")
    });
    Some(Some(parts.collect::<Vec<_>>().join(" && ").parse().ok()?))
}

/// Whether a rule is about tool calls, and not only about all that agents send.
fn decides_asked(rule: &Policy) -> bool {
    let is_named = |uid: &EntityUid| uid.id().unescaped() == schema::TOOL_CALL;
    let is_open = match rule.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => return is_named(&uid),
        ActionConstraint::In(uids) if uids.iter().any(is_named) => return true,
        ActionConstraint::In(uids) => uids.iter().any(|uid| uid.id().unescaped() == schema::ANY),
    };
    let own = || schema::action(schema::TOOL_CALL).map(|action| action.facts).unwrap_or_default();
    let reads = Reads::of(rule);
    is_open && (reads.all_facts || own().iter().any(|fact| reads.facts.contains(fact.name)))
}

/// Everything the checks of one bundle need.
pub(in crate::policy) struct Checker<'c> {
    pub(in crate::policy) inventory: &'c Inventory,
    pub(in crate::policy) validator: &'c Validator,
    pub(in crate::policy) found: &'c mut Vec<Diagnostic>,
}

/// What was read of all rule files.
#[derive(Debug)]
pub(in crate::policy) struct Rules {
    /// Those without problems.
    pub(in crate::policy) rules: Vec<Rule>,
    /// Ids of all of them; nothing if some could not be read.
    pub(in crate::policy) ids: Option<BTreeSet<String>>,
}

/// Reads the rules of all files. The problems are in `checker.found`.
pub(in crate::policy) fn read(files: &[&SourceFile], checker: &mut Checker<'_>) -> Rules {
    let mut rules = Vec::new();
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    let mut are_all_read = true;
    for file in files {
        for statement in split(&file.text) {
            let index = rules.len();
            let Some(draft) = checker.parse(file, statement, index) else {
                are_all_read = false;
                continue;
            };
            if let Some(id) = draft.cedar.annotation("id") {
                match ids.entry(id.to_owned()) {
                    Entry::Vacant(free) => drop(free.insert(draft.place())),
                    Entry::Occupied(first) => checker.found.push(
                        draft
                            .error(draft.annotation_value("id"), format!("rule id `{id}` is taken"))
                            .label("used again here")
                            .help(format!("the first one is at {}", first.get())),
                    ),
                }
            }
            rules.extend(checker.check(&draft));
        }
    }
    let ids = are_all_read.then(|| ids.into_keys().collect());
    Rules { rules, ids }
}

/// Whether an action can happen on an endpoint at all.
pub(in crate::policy) fn is_possible(action: &str, endpoint: &Endpoint) -> bool {
    match (endpoint.tls, endpoint.protocol) {
        (Tls::Passthrough, _) => action == "connect",
        (Tls::Inspect, protocol) => {
            let has =
                |family: &codec::Family| family.doors.iter().any(|door| door.action == action);
            match (action, codec::family(protocol)) {
                ("http" | "opaque", _) => true,
                (schema::TOOL_CALL, family) => family.is_some(),
                (_, family) => family.is_some_and(has),
            }
        }
    }
}

impl Checker<'_> {
    fn parse<'s>(
        &mut self,
        file: &'s SourceFile,
        statement: Statement,
        index: usize,
    ) -> Option<Draft<'s>> {
        if statement.depth > limits::RULE_DEPTH_MAX
            || statement.tokens.len() > limits::RULE_TOKENS_MAX
        {
            let span = statement.head();
            self.found.push(Diagnostic::error(file, span, "the rule is too large").help(format!(
                "a rule has at most {} words and signs, nested at most {} deep; split it",
                limits::RULE_TOKENS_MAX,
                limits::RULE_DEPTH_MAX
            )));
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
        let impossible = self.check_types(draft);
        let mut obligations = self.obligations(draft);
        let mode = self.mode(draft);
        let inventory = self.inventory;
        self.check_instances(draft, inventory);
        self.check_obligations(draft, inventory, &mut obligations);
        self.check_compared_texts(draft, inventory);
        // That a rule can never match is worth saying only if nothing else explains it.
        if !self.has_errors_since(errors_before) {
            self.found.extend(impossible);
        }
        if inventory.is_sound && !self.has_errors_since(errors_before) {
            self.check_is_possible(draft, inventory);
        }
        let condition = condition(draft);
        if condition.is_none() && !self.has_errors_since(errors_before) {
            self.found.push(draft.error(draft.head(), "the conditions of the rule cannot be read"));
        }
        let has_errors = self.has_errors_since(errors_before);
        let id = id.filter(|_| !has_errors)?;
        let condition = condition?;
        Some(Rule {
            id,
            file: draft.file.path.clone(),
            place: Place::of(&draft.file.text, draft.statement.span.start),
            is_permit: draft.is_permit(),
            mode,
            record: draft.cedar.annotation("record").and_then(RecordDepth::from_name),
            obligations,
            message,
            cedar: draft.cedar.clone(),
            decides_asked: decides_asked(&draft.cedar),
            plain: Plain::of(&draft.cedar),
            condition,
        })
    }

    fn check_annotation_keys(&mut self, draft: &Draft<'_>) {
        for (key, _) in draft.cedar.annotations() {
            let span = draft.annotation_key(key);
            let Some(known) = annotation(key) else {
                let found = draft.error(span, format!("unknown annotation `@{key}`"));
                let names = ANNOTATIONS.iter().map(|annotation| annotation.name);
                self.found.push(found.label("would have no effect").suggest(key, names));
                continue;
            };
            if !draft.is_permit() && known.on == On::Permit {
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
                draft.error(draft.head(), "the rule has no `@id`").label("this rule").help(
                    "name it, for example `@id(\"support-chat\")`; records and denials say it",
                ),
            );
            return None;
        };
        if !sheet::is_name(id) {
            self.found.push(
                draft
                    .error(draft.annotation_value("id"), format!("`{id}` is not a rule id"))
                    .help(sheet::name_help()),
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
                    .error(
                        draft.annotation_key("message"),
                        "`@message` on a permit is told to nobody",
                    )
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

    pub(super) fn has_errors_since(&self, before: usize) -> bool {
        self.found.iter().skip(before).any(|found| found.severity == Severity::Error)
    }

    /// Cedar's own validation: types, attributes, actions. Gives back why the rule can never match.
    fn check_types(&mut self, draft: &Draft<'_>) -> Option<Diagnostic> {
        let set = PolicySet::from_policies([draft.cedar.clone()]).ok()?;
        let result = self.validator.validate(&set, ValidationMode::Strict);
        let mut unknown_facts = UnknownFacts::default();
        let mut behind_in = BehindIn::default();
        for error in result.validation_errors() {
            // Reported with the other names: Cedar would suggest what is wider than what was written.
            if matches!(error, ValidationError::UnrecognizedActionId(_)) {
                continue;
            }
            let translated = translate(draft.file, &draft.statement, error);
            if !unknown_facts.take(&translated) && !behind_in.take(&error.to_string(), &translated)
            {
                self.found.push(translated);
            }
        }
        self.found.extend(unknown_facts.report(draft));
        self.found.extend(behind_in.report(draft));
        let (mut by_scope, mut by_condition) = (None, None);
        for warning in result.validation_warnings() {
            match warning {
                ValidationWarning::InvalidActionApplication(_) => {
                    let why = "no action applies to its principal, action and resource together";
                    by_scope = Some(never_matches(draft, why));
                }
                ValidationWarning::ImpossiblePolicy(_) => {
                    let why = "its condition is false for every request";
                    by_condition = Some(never_matches(draft, why));
                }
                ValidationWarning::BidiCharsInString(_)
                | ValidationWarning::BidiCharsInIdentifier(_) => {
                    self.found.push(translate(draft.file, &draft.statement, warning));
                }
                _ => {
                    let translated = translate(draft.file, &draft.statement, warning);
                    self.found.push(translated.as_warning());
                }
            }
        }
        by_scope.or(by_condition)
    }

    /// Agents, endpoints and groups: Cedar knows their types, the inventory knows which exist.
    fn check_instances(&mut self, draft: &Draft<'_>, inventory: &Inventory) {
        let uids: BTreeSet<EntityUid> = draft.cedar.entity_literals().into_iter().collect();
        for uid in uids {
            let id = uid.id().unescaped().to_owned();
            let (what, named, known): (&str, Named, Vec<&str>) =
                match uid.type_name().to_string().as_str() {
                    "Agent" => {
                        let names = inventory.agents.keys().map(|name| name.as_str());
                        ("agent", Named::Agents, names.collect())
                    }
                    "Group" => {
                        let groups = inventory.groups.iter().map(String::as_str);
                        ("group of agents", Named::Groups, groups.collect())
                    }
                    "Endpoint" => {
                        let names =
                            inventory.endpoints.iter().map(|endpoint| endpoint.name.as_str());
                        ("endpoint", Named::Endpoints, names.collect())
                    }
                    "EndpointGroup" => {
                        let groups = inventory.endpoint_groups.iter().map(String::as_str);
                        ("group of endpoints", Named::Groups, groups.collect())
                    }
                    "Action" => {
                        self.check_action(draft, &uid, &id);
                        continue;
                    }
                    _ => continue,
                };
            if !known.contains(&id.as_str()) && inventory.has_all(named) {
                let found = draft.error(draft.entity(&uid), format!("unknown {what} `{id}`"));
                let found = found.label(format!("not in {}", INVENTORY_FILE));
                self.found.push(match named_otherwise(&uid, &id, inventory) {
                    Some(meant) => found.help(did_you_mean(&meant)),
                    None => found.suggest(&id, known),
                });
            }
        }
    }

    /// An action belongs to the language, whatever the inventory says.
    fn check_action(&mut self, draft: &Draft<'_>, uid: &EntityUid, id: &str) {
        if schema::ACTIONS_LATER.contains(&id) {
            let message = format!("action `{id}` is {LATER}");
            let found = draft.error(draft.entity(uid), message);
            self.found.push(found.help("no protocol of this version has it"));
        } else if !schema::action_names().any(|name| name == id) {
            let found = draft.error(draft.entity(uid), format!("unknown action `{id}`"));
            let help = schema::closest_action(id, draft.is_the_action(uid));
            let help = help.map_or_else(
                || "`enforcer policy schema` lists the actions".to_owned(),
                did_you_mean,
            );
            self.found.push(found.label("not in the language").help(help));
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
        let message =
            format!("the rule can never match: {} never happens {place}", list("action", &actions));
        self.found.push(draft.error(draft.head(), message).label("this rule").help(
            "`connect` needs a passed-through endpoint, `http` and `opaque` an inspected one, and all others \
             a protocol that has them",
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
                "detected" if !inventory.has_all(Named::Detectors) => continue,
                "detected" => ("detector", detectors.as_slice()),
                "cause" => ("cause", schema::CAUSES),
                "kind" => ("kind of tool", schema::KINDS),
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

/// The entity of another kind that a name of the inventory belongs to: a group that was written as one of its members,
/// or the other way around.
fn named_otherwise(uid: &EntityUid, id: &str, inventory: &Inventory) -> Option<String> {
    let is_agent = || inventory.agents.keys().any(|name| name.as_str() == id);
    let is_endpoint = || inventory.endpoints.iter().any(|endpoint| endpoint.name.as_str() == id);
    let kind = match uid.type_name().to_string().as_str() {
        "Agent" if inventory.groups.contains(id) => "Group",
        "Group" if is_agent() => "Agent",
        "Endpoint" if inventory.endpoint_groups.contains(id) => "EndpointGroup",
        "EndpointGroup" if is_endpoint() => "Endpoint",
        _ => return None,
    };
    Some(format!("{kind}::\"{id}\""))
}

fn never_matches(draft: &Draft<'_>, why: &str) -> Diagnostic {
    draft
        .error(draft.head(), format!("the rule can never match: {why}"))
        .label("this rule")
        .help("groups stand behind `in`, single names behind `==`")
}

/// The schema as Cedar reads it.
pub(in crate::policy) fn parse_schema() -> Result<Schema, String> {
    Schema::from_cedarschema_str(schema::schema_text())
        .map(|(schema, _)| schema)
        .map_err(|error| error.to_string())
}
