// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Pages of types: what each field is, when it is there, what it means; and values for them, to try the page.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::types::{Content, Field, Named, Shape, Variant, Written};

/// A type that is a text or a number: its name in the sources, what it is for readers, and a value.
pub(crate) type Plain = (&'static str, &'static str, &'static str);

/// The types that a page describes.
#[derive(Debug)]
pub(crate) struct Page<'t> {
    pub(crate) types: &'t BTreeMap<String, Named>,
    pub(crate) plain: &'t [Plain],
}

impl Page<'_> {
    fn plain(&self, name: &str) -> Option<&Plain> {
        self.plain.iter().find(|(plain, ..)| *plain == name)
    }

    pub(crate) fn named(&self, name: &str) -> &Named {
        self.types.get(name).unwrap_or_else(|| panic!("no type `{name}` was found in the sources"))
    }

    /// Which values a field has, for readers.
    fn kind(&self, written: &Written) -> String {
        match written {
            Written::Name(name) => match (self.plain(name), self.types.get(name)) {
                (Some((_, kind, _)), _) => (*kind).to_owned(),
                (None, Some(Named { shape: Shape::Same(inner), .. })) => self.kind(inner),
                (None, _) => format!("[{name}](#{})", name.to_lowercase()),
            },
            Written::List(inner) => format!("list of {}", self.kind(inner)),
            Written::Map(key, inner) => {
                format!("object: {} to {}", self.kind(key), self.kind(inner))
            }
            Written::Pair(first, second) => {
                format!("pair of {} and {}", self.kind(first), self.kind(second))
            }
        }
    }

    /// Adds the table of an object.
    pub(crate) fn table(&self, fields: &[Field], text: &mut String) {
        if fields.is_empty() {
            return;
        }
        text.push_str("\n| field | value | meaning |\n|---|---|---|\n");
        self.rows(fields, text);
    }

    fn rows(&self, fields: &[Field], text: &mut String) {
        for field in fields {
            if let Some(inner) = self.flat(field) {
                self.rows(inner, text);
                continue;
            }
            let kind = self.kind(&field.written);
            let optional = if field.is_optional { ", not always" } else { "" };
            let meaning = field.docs.replace('|', "\\|");
            text.push_str(&format!("| `{}` | {kind}{optional} | {meaning} |\n", field.name));
        }
    }

    /// The fields that stand in the place of this one.
    fn flat(&self, field: &Field) -> Option<&[Field]> {
        let Written::Name(name) = &field.written else { return None };
        match &self.named_if(name, field.is_flat)?.shape {
            Shape::Object(fields) => Some(fields),
            Shape::Same(_) | Shape::OneOf { .. } => Some(&[]),
        }
    }

    fn named_if(&self, name: &str, wanted: bool) -> Option<&Named> {
        wanted.then(|| self.named(name))
    }

    /// Adds what one of several holds.
    pub(crate) fn variant(&self, variant: &Variant, text: &mut String) {
        match &variant.content {
            Content::Nothing => {}
            Content::Fields(fields) => self.table(fields, text),
            Content::Value(Written::Name(name)) => match &self.named(name).shape {
                Shape::Object(fields) => self.table(fields, text),
                Shape::Same(_) | Shape::OneOf { .. } => panic!("`{name}` is no object"),
            },
            Content::Value(_) => panic!("a variant that holds a list"),
        }
    }

    /// Adds a section for each type that these need, and that they need in turn.
    pub(crate) fn sections(&self, roots: &[Field], text: &mut String) {
        let mut names = BTreeSet::new();
        self.needed(roots, &mut names);
        for name in names {
            self.section(&name, text);
        }
    }

    /// Adds the section of one type.
    pub(crate) fn section(&self, name: &str, text: &mut String) {
        let named = self.named(name);
        text.push_str(&format!("\n### {name}\n\n{}\n", named.docs));
        match &named.shape {
            Shape::Object(fields) => self.table(fields, text),
            Shape::Same(_) => {}
            Shape::OneOf { tag, variants } => self.choices(tag.as_deref(), variants, text),
        }
    }

    fn choices(&self, tag: Option<&str>, variants: &[Variant], text: &mut String) {
        match tag {
            Some(tag) => {
                text.push_str(&format!("\nThe field `{tag}` says which, beside the others:\n"))
            }
            None => text.push_str("\n| value | meaning |\n|---|---|\n"),
        }
        for variant in variants {
            let Variant { word, docs, content } = variant;
            match (tag, content) {
                (Some(tag), _) => {
                    text.push_str(&format!("\n`{tag}` is `{word}`: {docs}\n"));
                    self.variant(variant, text);
                }
                (None, Content::Nothing) => text.push_str(&format!("| `\"{word}\"` | {docs} |\n")),
                (None, Content::Value(inner)) => {
                    let kind = self.kind(inner);
                    text.push_str(&format!("| `{{\"{word}\": …}}` with {kind} | {docs} |\n"));
                }
                (None, Content::Fields(_)) => panic!("fields in `{word}`"),
            }
        }
    }

    fn needed(&self, fields: &[Field], names: &mut BTreeSet<String>) {
        for field in fields {
            match self.flat(field) {
                Some(inner) => self.needed(inner, names),
                None => self.needs(&field.written, names),
            }
        }
    }

    fn needs(&self, written: &Written, names: &mut BTreeSet<String>) {
        let name = match written {
            Written::Name(name) => name,
            Written::List(inner) => return self.needs(inner, names),
            Written::Map(first, second) | Written::Pair(first, second) => {
                self.needs(first, names);
                return self.needs(second, names);
            }
        };
        if self.plain(name).is_some() {
            return;
        }
        match &self.named(name).shape {
            Shape::Same(inner) => self.needs(inner, names),
            Shape::Object(fields) if names.insert(name.clone()) => self.needed(fields, names),
            Shape::OneOf { tag, variants } if names.insert(name.clone()) => {
                for variant in variants {
                    match (&variant.content, tag) {
                        (Content::Nothing, _) => {}
                        (Content::Fields(fields), _) => self.needed(fields, names),
                        // Its table stands here and needs no section of its own.
                        (Content::Value(Written::Name(inner)), Some(_)) => {
                            let Shape::Object(fields) = &self.named(inner).shape else { continue };
                            self.needed(fields, names);
                        }
                        (Content::Value(inner), _) => self.needs(inner, names),
                    }
                }
            }
            Shape::Object(_) | Shape::OneOf { .. } => {}
        }
    }

    /// Objects of these fields, all of them there; together they hold every choice there is.
    pub(crate) fn objects(&self, fields: &[Field]) -> Vec<Map<String, Value>> {
        let mut objects = vec![Map::new()];
        for field in fields {
            if let Some(inner) = self.flat(field) {
                objects = product(&objects, &self.objects(inner));
                continue;
            }
            let values = self.values(&field.written).into_iter();
            let values = values.map(|value| Map::from_iter([(field.name.clone(), value)]));
            objects = product(&objects, &values.collect::<Vec<_>>());
        }
        objects
    }

    /// Values of a type, which together hold every choice there is.
    pub(crate) fn values(&self, written: &Written) -> Vec<Value> {
        let name = match written {
            Written::Name(name) => name,
            // One list that holds every choice.
            Written::List(inner) => return vec![Value::Array(self.values(inner))],
            Written::Map(key, inner) => {
                let value = self.values(inner).into_iter().next().unwrap_or_default();
                let keys = self.values(key).into_iter();
                let object = keys.filter_map(|key| Some((key.as_str()?.to_owned(), value.clone())));
                return vec![Value::Object(object.collect())];
            }
            Written::Pair(first, second) => {
                let (first, second) = (self.values(first), self.values(second));
                return vec![json!([first.first(), second.first()])];
            }
        };
        if let Some((_, _, value)) = self.plain(name) {
            return vec![serde_json::from_str(value).unwrap()];
        }
        match &self.named(name).shape {
            Shape::Same(inner) => self.values(inner),
            Shape::Object(fields) => self.objects(fields).into_iter().map(Value::Object).collect(),
            Shape::OneOf { tag, variants } => variants
                .iter()
                .flat_map(|variant| self.variants_values(tag.as_deref(), variant))
                .collect(),
        }
    }

    /// Values of one choice.
    pub(crate) fn variants_values(&self, tag: Option<&str>, variant: &Variant) -> Vec<Value> {
        let word = &variant.word;
        let contents = match &variant.content {
            Content::Nothing => None,
            Content::Fields(fields) => {
                Some(self.objects(fields).into_iter().map(Value::Object).collect())
            }
            Content::Value(inner) => Some(self.values(inner)),
        };
        match (tag, contents) {
            (None, None) => vec![json!(word)],
            (None, Some(contents)) => {
                contents.into_iter().map(|content| json!({word.as_str(): content})).collect()
            }
            (Some(tag), contents) => {
                let contents = contents.unwrap_or_else(|| vec![json!({})]);
                let tagged = contents.into_iter().map(|content| {
                    let Value::Object(fields) = content else { panic!("`{word}` is no object") };
                    let mut object = Map::from_iter([(tag.to_owned(), json!(word))]);
                    object.extend(fields);
                    Value::Object(object)
                });
                tagged.collect()
            }
        }
    }
}

/// As few objects as hold every one of each: the shorter list is repeated.
fn product(left: &[Map<String, Value>], right: &[Map<String, Value>]) -> Vec<Map<String, Value>> {
    let count = left.len().max(right.len());
    let pairs = left.iter().cycle().zip(right.iter().cycle()).take(count);
    pairs.map(|(left, right)| left.clone().into_iter().chain(right.clone()).collect()).collect()
}
