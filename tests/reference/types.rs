// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The types of what is written as JSON, read from the sources: names, comments, and the attributes of serde that
//! say how they are written.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use enforcer_tests::repository;
use syn::{Attribute, Expr, Fields, Item, Lit, Meta, Type};

/// One type.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) docs: String,
    pub(crate) shape: Shape,
}

/// How a type is written.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// An object.
    Object(Vec<Field>),
    /// As what it wraps.
    Same(Written),
    /// One of several; the variant's name is the value of this key, or the only key of an object, or the text.
    OneOf { tag: Option<String>, variants: Vec<Variant> },
}

/// One field of an object.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) docs: String,
    pub(crate) written: Written,
    /// Not always there.
    pub(crate) is_optional: bool,
    /// Its fields stand beside the others.
    pub(crate) is_flat: bool,
}

/// One of several.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) word: String,
    pub(crate) docs: String,
    pub(crate) content: Content,
}

/// What a variant holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Nothing,
    Value(Written),
    Fields(Vec<Field>),
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    Name(String),
    List(Box<Written>),
    /// An object whose keys are values of the first.
    Map(Box<Written>, Box<Written>),
    Pair(Box<Written>, Box<Written>),
}

/// Every type of these folders and files, by name. Of two with one name neither is known.
pub(crate) fn read(places: &[&str]) -> BTreeMap<String, Named> {
    let mut found = BTreeMap::new();
    let mut twice = Vec::new();
    for place in places {
        let path = repository().join(place);
        let mut files = vec![path.clone()];
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            files = entries.map(|entry| entry.unwrap().path()).collect();
        }
        files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
        for file in files {
            for (name, named) in types_of(&file) {
                if found.insert(name.clone(), named).is_some() {
                    twice.push(name);
                }
            }
        }
    }
    for name in twice {
        found.remove(&name);
    }
    found
}

fn types_of(file: &Path) -> Vec<(String, Named)> {
    let text = fs::read_to_string(file).unwrap();
    let parsed =
        syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let words: BTreeMap<String, BTreeMap<String, String>> =
        parsed.items.iter().filter_map(words_of).collect();
    let mut found = Vec::new();
    for item in parsed.items {
        let (ident, attributes, shape) = match item {
            Item::Struct(item) if is_serialized(&item.attrs) => {
                let serde = Serde::of(&item.attrs);
                let shape = match &item.fields {
                    Fields::Unnamed(fields) => match fields.unnamed.first() {
                        Some(field) if fields.unnamed.len() == 1 => Shape::Same(written(&field.ty)),
                        _ => continue,
                    },
                    fields => match fields_of(fields) {
                        // As what it wraps, whatever the wrapped field is called.
                        fields if serde.has("transparent") => match fields.into_iter().next() {
                            Some(field) => Shape::Same(field.written),
                            None => continue,
                        },
                        fields => Shape::Object(fields),
                    },
                };
                (item.ident, item.attrs, shape)
            }
            Item::Enum(item) => {
                let serde = Serde::of(&item.attrs);
                let words = match (words.get(&item.ident.to_string()), is_serialized(&item.attrs)) {
                    (Some(words), false) => words.clone(),
                    (_, true) => BTreeMap::new(),
                    (None, false) => continue,
                };
                let is_snake = serde.value("rename_all").as_deref() == Some("snake_case");
                let variants = item.variants.iter().map(|variant| {
                    let name = variant.ident.to_string();
                    let renamed = Serde::of(&variant.attrs).value("rename");
                    let word = renamed.or_else(|| words.get(&name).cloned());
                    Variant {
                        word: word.unwrap_or(if is_snake { snake(&name) } else { name }),
                        docs: docs(&variant.attrs),
                        content: content(&variant.fields),
                    }
                });
                let shape = Shape::OneOf { tag: serde.value("tag"), variants: variants.collect() };
                (item.ident, item.attrs, shape)
            }
            _ => continue,
        };
        found.push((ident.to_string(), Named { docs: docs(&attributes), shape }));
    }
    found
}

/// The words of a type that is recorded as a text: what its method `word` answers for each variant.
fn words_of(item: &Item) -> Option<(String, BTreeMap<String, String>)> {
    let Item::Impl(item) = item else { return None };
    let method = item.items.iter().find_map(|item| match item {
        syn::ImplItem::Fn(method) if method.sig.ident == "word" => Some(method),
        _ => None,
    })?;
    let Some(syn::Stmt::Expr(Expr::Match(cases), None)) = method.block.stmts.last() else {
        return None;
    };
    let words = cases.arms.iter().filter_map(|arm| {
        let syn::Pat::Path(path) = &arm.pat else { return None };
        let Expr::Lit(literal) = arm.body.as_ref() else { return None };
        let Lit::Str(word) = &literal.lit else { return None };
        Some((path.path.segments.last()?.ident.to_string(), word.value()))
    });
    Some((last_word(&item.self_ty), words.collect()))
}

fn content(fields: &Fields) -> Content {
    match fields {
        Fields::Unit => Content::Nothing,
        Fields::Unnamed(fields) => {
            let first = fields.unnamed.first().unwrap();
            assert_eq!(fields.unnamed.len(), 1, "a variant of several values");
            Content::Value(written(&first.ty))
        }
        Fields::Named(_) => Content::Fields(fields_of(fields)),
    }
}

fn fields_of(fields: &Fields) -> Vec<Field> {
    let mut found = Vec::new();
    for field in fields {
        let serde = Serde::of(&field.attrs);
        if serde.has("skip") {
            continue;
        }
        let name = field.ident.as_ref().unwrap().to_string();
        let (ty, is_option) = match generic(&field.ty) {
            Some((outer, inner)) if outer == "Option" => (*inner.first().unwrap(), true),
            _ => (&field.ty, false),
        };
        found.push(Field {
            name: serde.value("rename").unwrap_or(name),
            docs: docs(&field.attrs),
            written: written(ty),
            is_optional: is_option || serde.value("skip_serializing_if").is_some(),
            is_flat: serde.has("flatten"),
        });
    }
    found
}

fn written(ty: &Type) -> Written {
    if let Type::Tuple(tuple) = ty {
        let mut parts = tuple.elems.iter().map(written);
        let (first, second) = (parts.next().unwrap(), parts.next().unwrap());
        return Written::Pair(Box::new(first), Box::new(second));
    }
    match generic(ty) {
        Some((outer, inner)) => match (outer.as_str(), inner.as_slice()) {
            ("Box" | "Arc", [inner]) => written(inner),
            ("Vec" | "BTreeSet", [inner]) => Written::List(Box::new(written(inner))),
            ("BTreeMap", [key, inner]) => {
                Written::Map(Box::new(written(key)), Box::new(written(inner)))
            }
            (other, _) => panic!("`{other}<…>` is not known here"),
        },
        None => Written::Name(last_word(ty)),
    }
}

/// `Outer<A, B>`, if it is written like that.
fn generic(ty: &Type) -> Option<(String, Vec<&Type>)> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        syn::GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    Some((last.ident.to_string(), types.collect()))
}

fn last_word(ty: &Type) -> String {
    let Type::Path(path) = ty else { panic!("only names of types are known here") };
    path.path.segments.last().unwrap().ident.to_string()
}

fn is_serialized(attributes: &[Attribute]) -> bool {
    let derives = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
    derives.flat_map(words).any(|(word, _)| word == "Serialize" || word == "serde")
}

/// The attributes of serde on one item.
struct Serde(Vec<(String, Option<String>)>);

impl Serde {
    fn of(attributes: &[Attribute]) -> Self {
        let serde = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
        Self(serde.flat_map(words).collect())
    }

    fn has(&self, word: &str) -> bool {
        self.0.iter().any(|(found, _)| found == word)
    }

    fn value(&self, word: &str) -> Option<String> {
        self.0.iter().find(|(found, _)| found == word)?.1.clone()
    }
}

/// The words in the parentheses of an attribute, with what stands behind `=`.
fn words(attribute: &Attribute) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    attribute
        .parse_nested_meta(|meta| {
            let word = meta.path.segments.last().map(|last| last.ident.to_string());
            let value = match meta.input.peek(syn::Token![=]) {
                true => Some(meta.value()?.parse::<syn::LitStr>()?.value()),
                false => None,
            };
            found.push((word.unwrap_or_default(), value));
            Ok(())
        })
        .unwrap();
    found
}

/// The comment of an item, on one line, without the brackets of links.
fn docs(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes {
        if let Meta::NameValue(meta) = &attribute.meta
            && meta.path.is_ident("doc")
            && let Expr::Lit(literal) = &meta.value
            && let Lit::Str(text) = &literal.lit
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    let text = lines.join(" ").trim().to_owned();
    let link = regex::Regex::new(r"\[`([^`\]]+)`\](\([^)]*\))?").unwrap();
    link.replace_all(&text, |found: &regex::Captures<'_>| {
        let name = found[1].rsplit("::").next().unwrap_or_default().to_owned();
        format!("`{name}`")
    })
    .into_owned()
}

fn snake(name: &str) -> String {
    let mut text = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}
