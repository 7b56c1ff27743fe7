// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What works and does nothing: names that nothing refers to, rules that never take effect.
//!
//! Warnings only. A bundle is often written before all of its rules are, so none of this refuses it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::model::{DetectorName, Mode};

use super::super::decide::compared::Compared;
use super::super::decide::scope::Scope;
use super::super::load::diagnostic::Diagnostic;
use super::super::load::diagnostic::Place;
use super::super::load::inventory::Inventory;
use super::super::load::rules::Rule;
use super::super::load::sheet::{self, Section, Sheet, Word};
use super::super::load::sources::INVENTORY_FILE;
use super::super::load::sources::{SourceFile, Sources};
use super::super::load::statement;
use super::contradiction;
use super::doors::behind_doors;
use super::remark::{Remark, has_no_condition};
use super::unmasked::unmasked;
use super::unused::unused;

/// Everything that is worth saying about a sound bundle.
pub(in crate::policy) fn warnings(
    sources: &Sources,
    inventory: &Inventory,
    rules: &[Rule],
) -> Vec<Diagnostic> {
    let Some(file) = sources.inventory() else { return Vec::new() };
    let mut found = nobody(inventory);
    found.extend(unused(file, inventory, rules));
    found.extend(groups(file, inventory, rules));
    found.extend(detectors(file, inventory, rules));
    let unmasked = unmasked(inventory, rules);
    let doors = behind_doors(inventory, rules);
    let remarks = [impossible(rules), overridden(inventory, rules), unmasked, doors].concat();
    found.extend(at_rules(sources, &remarks));
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
fn impossible(rules: &[Rule]) -> Vec<Remark<'_>> {
    let found = rules.iter().filter_map(|rule| Some((rule, contradiction::find(&rule.cedar)?)));
    found
        .map(|(rule, fact)| {
            let message = format!("rule `{}` can never match", rule.id);
            (rule, message, format!("its conditions on `context.{fact}` exclude each other"))
        })
        .collect()
}

/// Permits that a forbid without condition covers.
fn overridden<'r>(inventory: &Inventory, rules: &'r [Rule]) -> Vec<Remark<'r>> {
    let agents = inventory.agents.iter();
    let agents: Vec<_> = agents.map(|(name, agent)| (name, agent.groups.as_slice())).collect();
    let scope = |rule: &Rule| Scope::of(rule, &agents, &inventory.endpoints);
    let is_total =
        |rule: &&Rule| !rule.is_permit && rule.mode == Mode::Enforce && has_no_condition(rule);
    let forbids: Vec<(&Rule, Scope)> =
        rules.iter().filter(is_total).map(|rule| (rule, scope(rule))).collect();
    if forbids.is_empty() {
        return Vec::new();
    }
    let covered = rules.iter().filter(|rule| rule.is_permit).filter_map(|rule| {
        let scope = scope(rule);
        let (forbid, _) = forbids.iter().find(|(_, all)| scope.is_within(all))?;
        let message = format!("permit `{}` never takes effect", rule.id);
        Some((rule, message, format!("`{}` forbids all of it", forbid.id)))
    });
    covered.collect()
}

/// Warnings at the heads of rules, behind their annotations.
fn at_rules(sources: &Sources, remarks: &[Remark<'_>]) -> Vec<Diagnostic> {
    let named: BTreeSet<&str> = remarks.iter().map(|(rule, _, _)| rule.file.as_str()).collect();
    let heads = |file: &SourceFile| -> BTreeMap<Place, Range<usize>> {
        let statements = statement::split(&file.text);
        let begin = |found: &statement::Statement| Place::of(&file.text, found.span.start);
        statements.iter().map(|found| (begin(found), found.head())).collect()
    };
    let files = named.into_iter().filter_map(|name| sources.file(name));
    let heads: BTreeMap<&str, _> = files.map(|file| (file.path.as_str(), heads(file))).collect();
    let at_rule = |(rule, message, label): &Remark<'_>| {
        let head = heads.get(rule.file.as_str())?.get(&rule.place)?.clone();
        let said = warning(sources.file(&rule.file)?, head, message.clone());
        Some(said.label(label.clone()))
    };
    remarks.iter().filter_map(at_rule).collect()
}
