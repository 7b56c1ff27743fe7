// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy test --update`: writes down what cases do not expect yet, for a person to review.
//!
//! Only adds. What a case says already stays, right or wrong; so do comments and layout.

use std::fs;
use std::io;
use std::path::Path;

use enforcer_core::model::Decision;
use enforcer_core::policy::cases::{Report, Said, worth_expecting};
use enforcer_core::policy::{SourceFile, Sources};
use toml_edit::{Array, DocumentMut, InlineTable, Item, TableLike, Value};

use super::{Streams, count};
use crate::cli::{Exit, Failure};

/// Adds what is missing to the case files of a bundle, and says what.
pub(super) fn expectations(
    dir: &Path,
    sources: &Sources,
    report: &Report,
    streams: &mut Streams<'_>,
) -> io::Result<Result<(), Failure>> {
    for file in &sources.files {
        let cases = report.cases.iter().filter(|case| case.file == file.path);
        let decided: Vec<(usize, &Decision)> =
            cases.filter_map(|case| Some((case.index, case.decision.as_ref()?))).collect();
        if decided.is_empty() {
            continue;
        }
        let (text, added) = match add(file, &decided) {
            Ok(done) => done,
            Err(error) => {
                let message = format!("failed to edit `{}`: {error}", file.path);
                return Ok(Err(Failure::new(Exit::HostCannot, message)));
            }
        };
        if added == 0 {
            continue;
        }
        if let Err(error) = replace(&dir.join(&file.path), &text) {
            let message = format!("failed to write `{}`: {error}", file.path);
            return Ok(Err(Failure::new(Exit::HostCannot, message)
                .hint("`--update` writes into the case files of the bundle")));
        }
        writeln!(
            streams.err,
            "{}: {} written; review them",
            file.path,
            count(added, "expectation")
        )?;
    }
    Ok(Ok(()))
}

/// The text of a case file with what is missing, and how much that was.
fn add(
    file: &SourceFile,
    decided: &[(usize, &Decision)],
) -> Result<(String, usize), toml_edit::TomlError> {
    let mut document: DocumentMut = file.text.parse()?;
    let mut added = 0;
    for (index, decision) in decided {
        let case: Option<&mut dyn TableLike> = match document.get_mut("case") {
            Some(Item::ArrayOfTables(cases)) => {
                cases.get_mut(*index).map(|case| case as &mut dyn TableLike)
            }
            Some(Item::Value(Value::Array(cases))) => cases
                .get_mut(*index)
                .and_then(Value::as_inline_table_mut)
                .map(|case| case as &mut dyn TableLike),
            _ => None,
        };
        added += case.map_or(0, |case| complete(case, decision));
    }
    Ok((document.to_string(), added))
}

fn complete(case: &mut dyn TableLike, decision: &Decision) -> usize {
    let mut added = 0;
    if !case.contains_key("expect") {
        let empty = Item::Value(Value::InlineTable(InlineTable::new()));
        case.insert("expect", empty);
    }
    let Some(item) = case.get_mut("expect") else { return 0 };
    if let Some(expect) = item.as_table_like_mut() {
        for (what, said) in worth_expecting(decision) {
            if !expect.contains_key(what) {
                expect.insert(what, Item::Value(value(&said)));
                added += 1;
            }
        }
    }
    if let (Item::Value(Value::InlineTable(inline)), true) = (&mut *item, added > 0) {
        inline.fmt();
    }
    added
}

fn value(said: &Said) -> Value {
    match said {
        Said::Text(text) => Value::from(text.as_str()),
        Said::Texts(texts) => Value::Array(texts.iter().map(String::as_str).collect::<Array>()),
    }
}

/// Writes the whole file or leaves it as it was. A name that begins with a dot is no part of a bundle.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let beside = path.with_file_name(format!(".{}.new", name.unwrap_or_default()));
    fs::write(&beside, text)?;
    fs::set_permissions(&beside, fs::metadata(path)?.permissions())?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use enforcer_core::model::{
        Effect, MaskName, Mode, Obligations, PolicyVersion, RecordDepth, RuleId,
    };

    use super::*;

    fn decision() -> Decision {
        Decision {
            effect: Effect::Allow,
            obligations: Obligations {
                mask_request: BTreeSet::from([MaskName::new("pii")]),
                record: RecordDepth::Full,
                ..Obligations::default()
            },
            because: vec![RuleId::new("chat")],
            observed: vec![],
            would: None,
            mode: Mode::Enforce,
            errors: vec![],
            message: None,
            policy: PolicyVersion::new("v"),
        }
    }

    fn check(text: &str, expect: &str, count: usize) {
        let file = SourceFile { path: "cases/a.toml".to_owned(), text: text.to_owned() };
        let (found, added) = add(&file, &[(0, &decision())]).unwrap();
        assert_eq!((found.as_str(), added), (expect, count));
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_there_stays() {
        let said = r#"effect = "allow", because = ["chat"], mask_request = ["pii"]"#;
        check(
            "# first\n[[case]]\nname = \"x\" # one\n\n[[case]]\nname = \"y\"\n",
            &format!(
                "# first\n[[case]]\nname = \"x\" # one\nexpect = {{ {said} }}\n\n[[case]]\nname = \"y\"\n"
            ),
            3,
        );
        check(
            "[[case]]\nname = \"x\"\n[case.request]\npath = \"/\"\n",
            &format!(
                "[[case]]\nname = \"x\"\nexpect = {{ {said} }}\n[case.request]\npath = \"/\"\n"
            ),
            3,
        );
        check(
            "[[case]]\nexpect = { effect = \"deny\", because = [\"other\"] } # wrong, and stays\n",
            "[[case]]\nexpect = { effect = \"deny\", because = [\"other\"], mask_request = [\"pii\"] } # wrong, and stays\n",
            1,
        );
        check(
            "[[case]]\n[case.expect]\neffect = \"allow\"\n# more\n",
            "[[case]]\n[case.expect]\neffect = \"allow\"\nbecause = [\"chat\"]\nmask_request = [\"pii\"]\n# more\n",
            2,
        );
        let whole = "[[case]]\nexpect = {effect=\"allow\",because=[],mask_request=[]}\n";
        check(whole, whole, 0);
    }
}
