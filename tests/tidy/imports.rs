// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which file of the core imports which: no two import each other, and the wings of the policy keep their order.
//!
//! A file imports another if a `use` or a path in its code leads to an item that the other defines, through
//! however many re-exports, or to the other as a module. A parent that only declares its children and re-exports
//! what they define does not import them; one whose own code uses a child does, and then the child may use
//! nothing that the parent itself defines. Code below `#[cfg(test)]` does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use enforcer_tests::repository;

use crate::modules::{Import, Modules};
use crate::text::expect_none;

const CORE: &str = "enforcer-core/src";
/// Circles that are known and will be opened; one that is gone is removed here, too.
const KNOWN_CIRCLES: &[(&str, &str)] = &[];
/// What the wing `load` may name of the wing `decide`: what a rule is made of, and what its conditions compare.
const PARTS_OF_A_RULE: &[(&str, &str)] =
    &[("compared.rs", "Compared"), ("compared.rs", "Reads"), ("comparison.rs", "Plain")];

type Imports<'m> = BTreeMap<&'m str, BTreeSet<Import>>;

/// The modules of the core as it is.
fn core() -> Modules {
    Modules::read(&format!("{CORE}/lib.rs"), &|path| {
        fs::read_to_string(repository().join(path)).ok()
    })
}

/// Pairs of files that import each other.
fn circles<'m>(imports: &'m Imports<'_>) -> BTreeSet<(&'m str, &'m str)> {
    let names = |from: &str, to: &str| {
        imports.get(from).is_some_and(|found| found.iter().any(|import| import.file == to))
    };
    let pairs = imports
        .iter()
        .flat_map(|(from, found)| found.iter().map(|import| (*from, import.file.as_str())));
    pairs.filter(|(from, to)| from < to && names(to, from)).collect()
}

#[test]
fn no_two_files_of_the_core_import_each_other() {
    let modules = core();
    let imports = modules.imports();
    assert!(imports.len() > 100, "only {} files of the core were found", imports.len());
    let known: BTreeSet<(String, String)> = KNOWN_CIRCLES
        .iter()
        .map(|(one, other)| (format!("{CORE}/{one}"), format!("{CORE}/{other}")))
        .collect();
    let found: BTreeSet<(String, String)> = circles(&imports)
        .into_iter()
        .map(|(one, other)| (one.to_owned(), other.to_owned()))
        .collect();
    expect_none("`use …::*`, which hides what is imported", &modules.globs());
    let show = |(one, other): &(String, String)| format!("{one} ↔ {other}");
    expect_none(
        "files that import each other",
        &found.difference(&known).map(show).collect::<Vec<_>>(),
    );
    expect_none(
        "known circles that are gone",
        &known.difference(&found).map(show).collect::<Vec<_>>(),
    );
}

/// Imports of a wing of the policy that lead into another one and are not among `allowed`.
fn across(imports: &Imports<'_>, from: &str, to: &str, allowed: &[(&str, &str)]) -> Vec<String> {
    let (from, to) = (format!("{CORE}/policy/{from}/"), format!("{CORE}/policy/{to}/"));
    let is_allowed = |import: &Import| {
        allowed
            .iter()
            .any(|(file, item)| import.file == format!("{to}{file}") && import.item == *item)
    };
    let files: Vec<_> = imports.iter().filter(|(file, _)| file.starts_with(&from)).collect();
    assert!(!files.is_empty(), "no file below {from}");
    let found = files.into_iter().flat_map(|(file, found)| {
        let across = found.iter().filter(|import| import.file.starts_with(&to));
        across
            .filter(|import| !is_allowed(import))
            .map(move |import| format!("{file}: `{}` of {}", import.item, import.file))
    });
    found.collect()
}

#[test]
fn the_wings_of_the_policy_keep_their_order() {
    let modules = core();
    let imports = modules.imports();
    let problems = [
        across(&imports, "decide", "desk", &[]),
        across(&imports, "load", "desk", &[]),
        across(&imports, "load", "decide", PARTS_OF_A_RULE),
    ];
    expect_none("names of a wing that is above", &problems.concat());
}

#[test]
fn what_a_wing_may_name_of_another_it_names() {
    let modules = core();
    let imports = modules.imports();
    let all = across(&imports, "load", "decide", &[]);
    for (file, item) in PARTS_OF_A_RULE {
        let is_it = |found: &&String| found.contains(&format!("`{item}`")) && found.ends_with(file);
        assert!(all.iter().any(|found| is_it(&found)), "nothing of `load` names {item}: {all:?}");
    }
}

/// The circles of a crate of these files, each as `one.rs other.rs`.
fn planted(files: &[(&str, &str)]) -> Vec<String> {
    let modules = Modules::read("src/lib.rs", &|path| {
        let found = files.iter().find(|(name, _)| path.strip_prefix("src/") == Some(name));
        found.map(|(_, text)| (*text).to_owned())
    });
    let imports = modules.imports();
    circles(&imports)
        .iter()
        .map(|(one, other)| format!("{one} {other}").replace("src/", ""))
        .collect()
}

#[test]
fn a_circle_is_found_however_its_paths_are_written() {
    let root = ("lib.rs", "mod a; pub mod b;");
    let room = ("b/mod.rs", "mod c; mod d; pub use c::Y; pub use self::d::E;");
    let inner = "pub(crate) struct Y; fn f(_: &crate::a::X) {}";
    for (used, inner) in [
        ("use crate::b::Y; pub struct X;", inner),
        ("use super::b::{self, Y as Z}; pub struct X;", inner),
        ("pub struct X(crate::b::Y);", inner),
        ("use crate::b; pub struct X { y: b::Y }", inner),
        ("pub struct X; fn f() { use crate::b::Y; }", inner),
        ("pub(in crate::b) use crate::b::Y; pub struct X;", inner),
        ("use crate::b::{d::{E}, Y,}; pub struct X;", "pub struct Y; use super::super::a::{X};"),
        ("use crate::b::Y; pub struct X;", "pub struct Y; impl Y { fn f() -> super::super::a::X }"),
        (
            "use crate::b::Y; pub struct X;",
            "#[cfg(test)] mod tests { fn f() {} } use crate::a::X; pub struct Y;",
        ),
        (
            "use crate::b::Y; pub struct X;",
            "const C: char = '\"'; use crate::a::X; const D: char = '\"'; pub struct Y;",
        ),
        (
            "use crate::b::Y; pub struct X;",
            "const C: &str = r#\"\"\"#; use crate::a::X; pub struct Y<'a>(&'a X);",
        ),
    ] {
        let files = [root, room, ("a.rs", used), ("b/c.rs", inner), ("b/d.rs", "pub struct E;")];
        assert_eq!(planted(&files), ["a.rs b/c.rs"], "{used} and {inner}");
    }
}

#[test]
fn a_child_and_a_parent_that_use_each_other_are_a_circle_and_a_re_export_alone_is_none() {
    let circles = |parent: &str, child: &str| {
        planted(&[("lib.rs", "mod p;"), ("p.rs", parent), ("p/child.rs", child)])
    };
    let uses_parent = "use super::Above; pub struct Below(Above);";
    for parent in [
        "mod child; use child::Below; pub struct Above;",
        "mod child; pub struct Above; fn f() { child::f(); }",
        "mod child; pub use child::Below; pub struct Above; fn f(_: Below) {}",
    ] {
        assert_eq!(circles(parent, uses_parent), ["p.rs p/child.rs"], "{parent}");
        assert_eq!(circles(parent, "pub struct Below; pub fn f() {}"), [""; 0], "{parent}");
    }
    assert_eq!(circles("mod child; pub use child::Below; pub struct Above;", uses_parent), [""; 0]);
}

#[test]
fn tests_comments_and_texts_import_nothing() {
    let used = "use crate::b::Y; pub struct X;";
    for inner in [
        "// use crate::a::X;\npub struct Y;",
        "/* crate::a::X */ pub struct Y; const C: &str = \"crate::a::X \\\" crate::a::X\";",
        "pub struct Y; const C: &str = r#\"\"crate::a::X\"#; const D: &[u8] = b\"crate::a::X\";",
        "pub struct Y; #[cfg(test)] mod tests { use crate::a::X; fn f() { { } } }",
        "#[cfg(test)] use crate::a::X; #[cfg(test)] #[must_use] fn f(a: [u8; 4]) -> crate::a::X { X } pub struct Y;",
    ] {
        let files = [("lib.rs", "mod a; mod b;"), ("a.rs", used), ("b.rs", inner)];
        assert_eq!(planted(&files), [""; 0], "{inner}");
    }
}
