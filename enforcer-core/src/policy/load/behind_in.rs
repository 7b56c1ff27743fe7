// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `in` between texts: people who know SQL or Python write `context.model in ["a", "b"]`, and Cedar has another word for
//! it. Said once for each `in`, with what to write instead.

use std::collections::BTreeMap;
use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::draft::Draft;
use super::statement::Token;

/// How Cedar names what `in` wants, inside its messages.
const ENTITY: &str = "__cedar::internal::AnyEntity";

/// An operand of `in` that is no entity: where it stands, and whether it is a set.
#[derive(Clone, Debug)]
struct Operand {
    span: Range<usize>,
    is_set: bool,
}

/// Operands of `in` that are no entities.
#[derive(Debug, Default)]
pub(super) struct BehindIn {
    operands: Vec<Operand>,
}

impl BehindIn {
    /// Takes a problem if it is one of these.
    pub(in crate::policy) fn take(&mut self, cedar: &str, found: &Diagnostic) -> bool {
        let Some((expected, saw)) = cedar.split_once(" but saw ") else { return false };
        let Some(span) = found.span.clone().filter(|_| expected.contains(ENTITY)) else {
            return false;
        };
        self.operands.push(Operand { span, is_set: saw.starts_with("Set<") });
        true
    }

    pub(in crate::policy) fn report(self, draft: &Draft<'_>) -> Vec<Diagnostic> {
        let words: Vec<&Token> = draft.statement.words(&draft.file.text, "in").collect();
        // By the place of `in`: its left and its right operand.
        let mut places: BTreeMap<usize, (Option<Operand>, Option<Operand>)> = BTreeMap::new();
        let mut found = Vec::new();
        for operand in self.operands {
            let (from, to) = (operand.span.start, operand.span.end);
            let before = words.iter().rfind(|word| word.span.end <= from).map(|word| &word.span);
            let after = words.iter().find(|word| word.span.start >= to).map(|word| &word.span);
            let is_beside = |gap: Range<usize>| {
                let between = draft.file.text.get(gap).unwrap_or("-");
                between.chars().all(|c| c.is_whitespace() || matches!(c, '(' | ')'))
            };
            match (before, after) {
                (Some(word), _) if is_beside(word.end..from) => {
                    places.entry(word.start).or_default().1 = Some(operand);
                }
                (_, Some(word)) if is_beside(to..word.start) => {
                    places.entry(word.start).or_default().0 = Some(operand);
                }
                _ => found.push(wrong(draft, operand.span, HELP.to_owned())),
            }
        }
        for (at, (left, right)) in places {
            found.push(wrong(draft, at..at + "in".len(), help(draft, left, right)));
        }
        found
    }
}

const HELP: &str =
    "texts are compared by `==`, `like`, `contains`, `containsAny` and `containsAll`";

fn wrong(draft: &Draft<'_>, span: Range<usize>, help: String) -> Diagnostic {
    draft
        .error(
            span,
            "`in` says that an agent, an action or an endpoint is in a group, and nothing else",
        )
        .label("not between texts, numbers or sets of them")
        .help(help)
}

fn help(draft: &Draft<'_>, left: Option<Operand>, right: Option<Operand>) -> String {
    let (Some(left), Some(right)) = (left, right) else { return HELP.to_owned() };
    let text = |operand: &Operand| {
        let text = draft.file.text.get(operand.span.clone()).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (this, that) = (text(&left), text(&right));
    match (left.is_set, right.is_set) {
        (false, true) => format!("use `{that}.contains({this})`"),
        (false, false) => format!("use `{this} == {that}`"),
        (true, true) => {
            format!("use `{this}.containsAny({that})`, or `{that}.containsAll({this})`")
        }
        (true, false) => format!("use `{this}.contains({that})`"),
    }
}
