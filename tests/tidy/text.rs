// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading the repository: files, code lines, tables of Markdown.

use std::fs;
use std::path::{Path, PathBuf};

use enforcer_tests::repository;

/// Folders that hold nothing of ours.
const SKIPPED: &[&str] = &["target", ".git", ".demo", "node_modules", "__pycache__"];

/// A text file of the repository.
#[derive(Debug)]
pub(crate) struct Source {
    /// Path below the top folder.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Lines that are code, with their numbers from 1.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    pub(crate) fn is_below(&self, folder: &str) -> bool {
        Path::new(&self.path).starts_with(folder)
    }
}

/// All files with one of these endings, below the top folder.
pub(crate) fn sources(endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    visit(repository(), &mut |path| {
        let name = path.file_name().unwrap().to_string_lossy();
        if !endings.iter().any(|ending| name.ends_with(ending)) {
            return;
        }
        let relative = path.strip_prefix(repository()).unwrap().display().to_string();
        let text = fs::read_to_string(path).unwrap_or_else(|cause| panic!("{relative}: {cause}"));
        found.push(Source { path: relative, text });
    });
    assert!(!found.is_empty(), "no file ends in {endings:?}");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// A file of the repository.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|cause| panic!("{path}: {cause}"))
}

/// Rows of the first table below a heading that begins with these words, without its head.
pub(crate) fn table(file: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(file);
    let below = text
        .lines()
        .skip_while(|line| !line.trim_start_matches('#').trim_start().starts_with(heading))
        .skip(1);
    let rows: Vec<Vec<String>> = below
        .take_while(|line| !line.starts_with('#'))
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "{file} has no table below `{heading}`");
    rows
}

/// What stands in backticks.
pub(crate) fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Fails with all problems at once.
pub(crate) fn expect_none(what: &str, problems: &[String]) {
    assert!(problems.is_empty(), "{what}:\n  {}", problems.join("\n  "));
}

fn visit(folder: &Path, found: &mut impl FnMut(&Path)) {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink() || SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() { visit(&path, found) } else { found(&path) }
    }
}
