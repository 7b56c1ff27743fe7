// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What works and does nothing: names that nothing refers to, rules that never take effect.
//!
//! Warnings only. A bundle is often written before all of its rules are, so none of this refuses it.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::model::DetectorName;

use super::compared::Compared;
use super::diagnostic::Place;
use super::inventory::Inventory;
use super::rules::Rule;
use super::sheet::{self, Section, Sheet, Word};
use super::statement;
use super::unused::unused;
use super::{Diagnostic, INVENTORY_FILE, SourceFile, Sources, contradiction, schema};

/// Everything that is worth saying about a sound bundle.
pub(super) fn warnings(
    sources: &Sources,
    inventory: &Inventory,
    rules: &[Rule],
) -> Vec<Diagnostic> {
    let Some(file) = sources.inventory() else { return Vec::new() };
    let mut found = nobody(inventory);
    found.extend(unused(file, inventory, rules));
    found.extend(groups(file, inventory, rules));
    found.extend(detectors(file, inventory, rules));
    found.extend(impossible(sources, rules));
    found.extend(overridden(sources, inventory, rules));
    found
}

fn warning(file: &SourceFile, span: Range<usize>, message: String) -> Diagnostic {
    Diagnostic::error(file, span, message).as_warning()
}

fn nobody(inventory: &Inventory) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut say = |message: &str, help: &str| {
        let nobody = Diagnostic::without_place(INVENTORY_FILE, message);
        found.push(nobody.as_warning().help(help));
    };
    if inventory.agents.is_empty() {
        say("the bundle has no agents, so it guards nobody", "add `[agents.NAME]`");
    }
    if inventory.endpoints.is_empty() {
        say("the bundle has no endpoints, so nothing can be reached", "add `[endpoints.NAME]`");
    }
    found
}

/// Groups that no rule names.
fn groups(file: &SourceFile, inventory: &Inventory, rules: &[Rule]) -> Vec<Diagnostic> {
    let mut named: BTreeSet<(String, String)> = BTreeSet::new();
    for rule in rules {
        let entities = rule.cedar.entity_literals().into_iter();
        named.extend(
            entities.map(|uid| {
                (uid.type_name().basename().to_owned(), uid.id().unescaped().to_owned())
            }),
        );
    }
    let mut found = Vec::new();
    for (section, kind, all) in [
        ("agents", "Group", &inventory.groups),
        ("endpoints", "EndpointGroup", &inventory.endpoint_groups),
    ] {
        for group in all.iter().filter(|name| !named.contains(&(kind.to_owned(), (*name).clone())))
        {
            let span = written(file, section, group).map_or(0..0, |word| word.span);
            let message = format!("no rule names group `{group}` of {section}");
            let side = if section == "agents" { "principal" } else { "resource" };
            let unused = warning(file, span, message);
            found.push(unused.help(format!("a rule names it as `{side} in {kind}::\"{group}\"`")));
        }
    }
    found
}

/// Where a group is written for the first time.
fn written(file: &SourceFile, section: &str, group: &str) -> Option<Word> {
    let table = sheet::parse(file).ok()?;
    let mut sheet = Sheet::new(file);
    let top = Section { table: table.get_ref(), head: 0..0 };
    let named = sheet.named(&top, section);
    named.into_iter().find_map(|(_, section)| {
        sheet.texts(&section, "groups")?.into_iter().find(|word| word.text == group)
    })
}

/// Detectors of the bundle that no mask uses and no rule asks about.
fn detectors(file: &SourceFile, inventory: &Inventory, rules: &[Rule]) -> Vec<Diagnostic> {
    let mut used: BTreeSet<DetectorName> =
        inventory.masks.values().flat_map(|mask| mask.detectors.iter().cloned()).collect();
    for rule in rules {
        let mut seen = Compared::default();
        if let Ok(tree) = rule.cedar.to_json() {
            seen.walk(&tree);
        }
        let texts = seen.texts.into_iter().filter(|(fact, _)| fact == "detected");
        used.extend(texts.map(|(_, text)| DetectorName::new(text)));
    }
    let Ok(table) = sheet::parse(file) else { return Vec::new() };
    let mut sheet = Sheet::new(file);
    let top = Section { table: table.get_ref(), head: 0..0 };
    let all = sheet.named(&top, "detectors");
    let unused =
        all.into_iter().filter(|(word, _)| !used.contains(&DetectorName::new(&*word.text)));
    let say = |(word, _): (Word, Section<'_>)| {
        let message = format!("no mask uses detector `{}` and no rule asks about it", word.text);
        warning(file, word.span, message).label("only recorded")
    };
    unused.map(say).collect()
}

/// Rules whose own conditions exclude each other.
fn impossible(sources: &Sources, rules: &[Rule]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for rule in rules {
        let Some(fact) = contradiction::find(&rule.cedar) else { continue };
        let message = format!("rule `{}` can never match", rule.id);
        let label = format!("its conditions on `context.{fact}` exclude each other");
        found.extend(at_rule(sources, rule, message).map(|said| said.label(label)));
    }
    found
}

/// Permits that a forbid without condition covers.
fn overridden(sources: &Sources, inventory: &Inventory, rules: &[Rule]) -> Vec<Diagnostic> {
    let forbids: Vec<(&Rule, Scope)> = rules
        .iter()
        .filter(|rule| !rule.is_permit && has_no_condition(rule))
        .map(|rule| (rule, Scope::of(rule, inventory)))
        .collect();
    let mut found = Vec::new();
    if forbids.is_empty() {
        return found;
    }
    for rule in rules.iter().filter(|rule| rule.is_permit) {
        let scope = Scope::of(rule, inventory);
        let Some((forbid, _)) = forbids.iter().find(|(_, all)| scope.is_within(all)) else {
            continue;
        };
        let message = format!("permit `{}` never takes effect", rule.id);
        let label = format!("`{}` forbids all of it", forbid.id);
        found.extend(at_rule(sources, rule, message).map(|said| said.label(label)));
    }
    found
}

fn has_no_condition(rule: &Rule) -> bool {
    let tree = rule.cedar.to_json().ok();
    let conditions = tree.as_ref().and_then(|tree| tree.get("conditions")?.as_array());
    conditions.is_some_and(Vec::is_empty)
}

/// What the scope of a rule admits.
struct Scope {
    agents: BTreeSet<usize>,
    actions: BTreeSet<usize>,
    endpoints: BTreeSet<usize>,
}

impl Scope {
    fn of(rule: &Rule, inventory: &Inventory) -> Self {
        let chosen = |all: Vec<bool>| {
            let all = all.into_iter().enumerate().filter(|(_, is_in)| *is_in);
            all.map(|(index, _)| index).collect()
        };
        let agents = inventory.agents.iter();
        let endpoints = inventory.endpoints.iter();
        let actions = schema::ACTIONS.iter();
        Self {
            agents: chosen(agents.map(|(n, agent)| rule.admits_agent(n, &agent.groups)).collect()),
            actions: chosen(actions.map(|action| rule.admits_action(action.name)).collect()),
            endpoints: chosen(endpoints.map(|found| rule.admits_endpoint(found)).collect()),
        }
    }

    fn is_within(&self, other: &Self) -> bool {
        self.agents.is_subset(&other.agents)
            && self.actions.is_subset(&other.actions)
            && self.endpoints.is_subset(&other.endpoints)
    }
}

/// A warning at the head of a rule.
fn at_rule(sources: &Sources, rule: &Rule, message: String) -> Option<Diagnostic> {
    let file = sources.file(&rule.file)?;
    let statements = statement::split(&file.text).into_iter();
    let is_it =
        |found: &statement::Statement| Place::of(&file.text, found.span.start) == rule.place;
    let head = statements.into_iter().find(is_it).map(|found| found.head())?;
    Some(warning(file, head, message))
}
