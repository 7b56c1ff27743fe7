// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The files of a crate and what each imports: `use` declarations and paths in code, followed through `mod`
//! declarations and re-exports to the file that defines the item.
//!
//! Not a compiler: macros are not expanded, and a method that is called on a value names no path. Code below
//! `#[cfg(test)]` does not count.

use std::collections::{BTreeMap, BTreeSet};

/// Names from the crate root to a module; the root has none.
type ModulePath = Vec<String>;

/// Re-exports that one path may be followed through.
const REEXPORTS_MAX: usize = 16;

/// An item, or a whole module, that a file imports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    /// The file that defines it.
    pub(crate) file: String,
    /// Its name; empty for a module as a whole.
    pub(crate) item: String,
}

/// A crate, by its modules.
#[derive(Debug, Default)]
pub(crate) struct Modules(BTreeMap<ModulePath, Module>);

#[derive(Debug, Default)]
struct Module {
    file: String,
    children: BTreeSet<String>,
    uses: Vec<Use>,
    /// Names and paths in code, apart from those of `use` and `mod`.
    paths: BTreeSet<Vec<String>>,
}

/// One leaf of a `use` tree.
#[derive(Debug)]
struct Use {
    /// The name that the file uses it by; `*` for all names of a module, which are not followed.
    name: String,
    path: Vec<String>,
    is_public: bool,
}

/// Where a path leads.
#[derive(Debug)]
enum Target {
    Item(ModulePath, String),
    Module(ModulePath),
}

impl Modules {
    /// Follows the `mod` declarations from the root file on. `text` returns the text of a file, if there is one.
    pub(crate) fn read(root: &str, text: &impl Fn(&str) -> Option<String>) -> Self {
        let mut modules = Self::default();
        let mut open = vec![(ModulePath::new(), root.to_owned(), folder_of(root).to_owned())];
        while let Some((path, file, folder)) = open.pop() {
            let found = text(&file).unwrap_or_else(|| panic!("{file} cannot be read"));
            let module = Module::parse(file, &tokens(&found));
            for child in &module.children {
                let own = format!("{folder}/{child}");
                let flat = format!("{own}.rs");
                let file = if text(&flat).is_some() { flat } else { format!("{own}/mod.rs") };
                open.push(([path.as_slice(), std::slice::from_ref(child)].concat(), file, own));
            }
            modules.0.insert(path, module);
        }
        modules
    }

    /// What each file imports of other files.
    pub(crate) fn imports(&self) -> BTreeMap<&str, BTreeSet<Import>> {
        let modules = self.0.iter();
        modules.map(|(path, module)| (module.file.as_str(), self.of(path, module))).collect()
    }

    /// Files that import all names of a module, so that nobody sees which.
    pub(crate) fn globs(&self) -> Vec<String> {
        let has_glob = |module: &&Module| module.uses.iter().any(|used| used.name == "*");
        self.0.values().filter(has_glob).map(|module| module.file.clone()).collect()
    }

    fn of(&self, path: &ModulePath, module: &Module) -> BTreeSet<Import> {
        let mut targets: Vec<Target> =
            module.paths.iter().filter_map(|named| self.follow(path, named, 0)).collect();
        for used in &module.uses {
            let is_named = || module.paths.iter().any(|named| named.first() == Some(&used.name));
            // A parent that only passes on what its children define does not depend on them.
            let counts = |target: &Target| {
                !used.is_public || !target.module().starts_with(path) || is_named()
            };
            targets.extend(self.follow(path, &used.path, 0).filter(counts));
        }
        let imports = targets.iter().filter_map(|target| self.import(target));
        imports.filter(|import| import.file != module.file).collect()
    }

    fn import(&self, target: &Target) -> Option<Import> {
        let (path, item) = match target {
            Target::Item(path, item) => (path, item.clone()),
            Target::Module(path) => (path, String::new()),
        };
        Some(Import { file: self.0.get(path)?.file.clone(), item })
    }

    /// Where a path leads that is written in a module; none if that is outside the crate, or a name of the module itself.
    fn follow(&self, from: &ModulePath, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.walk(ModulePath::new(), rest, depth),
            "self" => self.walk(from.clone(), rest, depth),
            "super" => {
                let (_, parent) = from.split_last()?;
                let is_further = rest.first().is_some_and(|next| next == "super");
                let parent = parent.to_vec();
                if is_further {
                    self.follow(&parent, rest, depth)
                } else {
                    self.walk(parent, rest, depth)
                }
            }
            name => {
                let module = self.0.get(from)?;
                let is_known = module.children.contains(name) && !rest.is_empty()
                    // `use memchr::memchr` is about the crate, not about what it brings in.
                    || module.uses.iter().any(|used| used.name == name && used.path != path);
                is_known.then(|| self.walk(from.clone(), path, depth)).flatten()
            }
        }
    }

    fn walk(&self, mut at: ModulePath, path: &[String], depth: usize) -> Option<Target> {
        assert!(depth < REEXPORTS_MAX, "{path:?} of {at:?} is re-exported without end");
        let mut rest = path;
        while let Some((name, after)) = rest.split_first() {
            let module = self.0.get(&at)?;
            rest = after;
            let is_last = after.is_empty();
            let used = module.uses.iter().find(|used| used.name == *name);
            if module.children.contains(name) && !(is_last && used.is_some()) {
                at.push(name.clone());
            } else if let Some(used) = used {
                match self.follow(&at, &used.path, depth + 1)? {
                    Target::Module(path) => at = path,
                    item @ Target::Item(..) => return Some(item),
                }
            } else {
                return Some(Target::Item(at, name.clone()));
            }
        }
        Some(Target::Module(at))
    }
}

impl Target {
    const fn module(&self) -> &ModulePath {
        match self {
            Self::Item(path, _) | Self::Module(path) => path,
        }
    }
}

impl Module {
    fn parse(file: String, tokens: &[String]) -> Self {
        let mut module = Self { file, ..Self::default() };
        let mut rest = tokens;
        let mut is_public = false;
        while let Some((token, after)) = rest.split_first() {
            rest = after;
            match (token.as_str(), after) {
                ("#", [open, ..]) if open == "[" && is_test(after) => rest = behind_item(after),
                ("pub", [open, ..]) if open == "(" => {
                    (_, rest) = cut(after, ")");
                    is_public = true;
                    continue;
                }
                ("pub", _) => {
                    is_public = true;
                    continue;
                }
                // A module within braces belongs to its file.
                ("mod", [name, end, ..]) if end == ";" => {
                    module.children.insert(name.clone());
                }
                ("use", _) => {
                    let (tree, behind) = cut(after, ";");
                    for (name, path) in leaves(tree) {
                        module.uses.push(Use { name, path, is_public });
                    }
                    rest = behind;
                }
                _ if is_name(token) => {
                    let mut path = vec![token.clone()];
                    while let [colons, name, behind @ ..] = rest
                        && colons == "::"
                        && is_name(name)
                    {
                        path.push(name.clone());
                        rest = behind;
                    }
                    module.paths.insert(path);
                }
                _ => {}
            }
            is_public = false;
        }
        module
    }
}

/// The folder that holds the files of the root's children.
fn folder_of(root: &str) -> &str {
    root.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// What is before the first such token, and what is behind it.
fn cut<'t>(tokens: &'t [String], end: &str) -> (&'t [String], &'t [String]) {
    let at = tokens.iter().position(|token| token == end).unwrap_or(tokens.len());
    let (before, behind) = tokens.split_at(at);
    (before, behind.get(1..).unwrap_or_default())
}

/// Whether an attribute, from its bracket on, is `#[cfg(test)]`.
fn is_test(attribute: &[String]) -> bool {
    attribute.iter().map(String::as_str).take(6).eq(["[", "cfg", "(", "test", ")", "]"])
}

/// What is behind the item that these attributes belong to: behind its `;` or its body.
fn behind_item(attributes: &[String]) -> &[String] {
    let mut depth = 0_usize;
    for (index, token) in attributes.iter().enumerate() {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(token.as_str(), ";" | "}") {
            return attributes.get(index + 1..).unwrap_or_default();
        }
    }
    &[]
}

/// The names and paths of a `use` tree.
fn leaves(tree: &[String]) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut path: Vec<String> = Vec::new();
    // How long the path was before each open brace.
    let mut open = Vec::new();
    let mut alias = None;
    let mut tokens = tree.iter().peekable();
    let mut end = |path: &mut Vec<String>, alias: Option<String>, kept: usize| {
        if path.len() > kept {
            let mut whole = path.clone();
            whole.pop_if(|last| last == "self" && kept > 0);
            let name = alias.or_else(|| whole.last().cloned()).unwrap_or_default();
            found.push((name, whole));
            path.truncate(kept);
        }
    };
    while let Some(token) = tokens.next() {
        let kept = open.last().copied().unwrap_or_default();
        match token.as_str() {
            "{" => open.push(path.len()),
            "," => end(&mut path, alias.take(), kept),
            "}" => {
                end(&mut path, alias.take(), kept);
                open.pop();
                path.truncate(open.last().copied().unwrap_or_default());
            }
            "as" => alias = tokens.next().cloned(),
            "::" => {}
            name => path.push(name.to_owned()),
        }
    }
    end(&mut path, alias, 0);
    found
}

/// Names, numbers, `::` and single signs; no comments, texts, characters or lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if first == '"' {
            text_length(rest)
        } else if let Some(length) = raw_length(rest) {
            length
        } else if first == '\'' {
            character_length(rest)
        } else if is_part(first) {
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            found.extend(rest.get(..length).map(str::to_owned));
            length
        } else if rest.starts_with("::") {
            found.push("::".to_owned());
            2
        } else {
            found.extend((!first.is_whitespace()).then(|| first.to_string()));
            first.len_utf8()
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    found
}

/// Length of a text in quotes, with its quotes.
fn text_length(text: &str) -> usize {
    let mut is_escaped = true;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !is_escaped => return at + 1,
            '\\' if !is_escaped => is_escaped = true,
            _ => is_escaped = false,
        }
    }
    text.len()
}

/// Length of a raw text, such as `r#"…"#`; none if it is not one.
fn raw_length(text: &str) -> Option<usize> {
    let marks = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = marks.len() - marks.trim_start_matches('#').len();
    let inner = marks.get(hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text.len() - inner.len() + inner.find(&end).map_or(inner.len(), |at| at + end.len()))
}

/// Length of a character in quotes, or of the quote of a lifetime.
fn character_length(text: &str) -> usize {
    let inner = text.get(1..).unwrap_or_default();
    if let Some(escape) = inner.strip_prefix('\\') {
        let escaped = escape.chars().next().map_or(0, char::len_utf8);
        let end = escape.get(escaped..).and_then(|rest| rest.find('\''));
        return end.map_or(text.len(), |end| 2 + escaped + end + 1);
    }
    match inner.chars().next() {
        Some(c) if inner.get(c.len_utf8()..).is_some_and(|rest| rest.starts_with('\'')) => {
            c.len_utf8() + 2
        }
        _ => 1,
    }
}
