// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A rule that Cedar could parse, the places of its parts, and what its scope admits.

use std::collections::BTreeSet;
use std::ops::Range;

use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, ResourceConstraint};

use super::diagnostic::Diagnostic;
use super::diagnostic::Place;
use super::inventory::{Endpoint, Inventory};
use super::schema;
use super::sources::SourceFile;
use super::statement::{Annotation, Statement};

/// A rule that Cedar could parse, and where it stands.
pub(super) struct Draft<'s> {
    pub(in crate::policy) file: &'s SourceFile,
    pub(in crate::policy) statement: Statement,
    pub(in crate::policy) cedar: Policy,
}

impl<'s> Draft<'s> {
    pub(in crate::policy) fn error(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(self.file, span, message)
    }

    pub(in crate::policy) fn head(&self) -> Range<usize> {
        self.statement.head()
    }

    pub(in crate::policy) fn place(&self) -> String {
        let place = Place::of(&self.file.text, self.statement.span.start);
        format!("{}:{}", self.file.path, place.line)
    }

    pub(in crate::policy) fn annotation(&self, key: &str) -> Option<Annotation> {
        let is_key = |span: &Range<usize>| self.file.text.get(span.clone()) == Some(key);
        self.statement.annotations().into_iter().find(|annotation| is_key(&annotation.key))
    }

    pub(super) fn annotation_value(&self, key: &str) -> Range<usize> {
        match self.annotation(key) {
            Some(annotation) => annotation.value.unwrap_or(annotation.key),
            None => self.head(),
        }
    }

    pub(super) fn annotation_key(&self, key: &str) -> Range<usize> {
        self.annotation(key).map_or_else(|| self.head(), |annotation| annotation.key)
    }

    pub(in crate::policy) fn entity(&self, uid: &EntityUid) -> Range<usize> {
        let (kind, id) = (uid.type_name().to_string(), uid.id().unescaped().to_owned());
        self.statement.entity(&self.file.text, &kind, &id).unwrap_or_else(|| self.head())
    }

    pub(in crate::policy) fn quoted(&self, value: &str) -> Range<usize> {
        self.statement.quoted(&self.file.text, value).unwrap_or_else(|| self.head())
    }

    /// Whether the scope admits this action alone, so that no group can stand there.
    pub(super) fn is_the_action(&self, uid: &EntityUid) -> bool {
        matches!(self.cedar.action_constraint(), ActionConstraint::Eq(only) if only == *uid)
    }

    pub(in crate::policy) fn is_permit(&self) -> bool {
        self.cedar.effect() == Effect::Permit
    }

    /// Names of the actions that the scope of the rule admits.
    pub(in crate::policy) fn actions(&self) -> BTreeSet<&'static str> {
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
    pub(in crate::policy) fn endpoints<'i>(
        &self,
        inventory: &'i Inventory,
    ) -> (Vec<&'i Endpoint>, bool) {
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
