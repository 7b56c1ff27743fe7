// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Cuts a `.cedar` file into statements and finds places in them.
//!
//! Cedar parses a whole file or nothing. Cut at `;` first, one broken rule does not hide the mistakes of the
//! next, and annotations and entity names, which Cedar's validator does not check, have a place to point at.
//! This is a tokenizer, not a parser: what a rule means is only ever read from Cedar's own tree.

use std::ops::Range;

/// What a token is; Cedar's operators are single characters here, except `::`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Kind {
    Word,
    Text,
    Path,
    Mark(char),
}

/// A token and the bytes of the file it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Token {
    pub(in crate::policy) kind: Kind,
    pub(in crate::policy) span: Range<usize>,
}

/// One statement: from its first token to its `;`.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Statement {
    pub(in crate::policy) span: Range<usize>,
    pub(in crate::policy) tokens: Vec<Token>,
    /// Deepest nesting of brackets, operators that nest included.
    pub(in crate::policy) depth: usize,
}

/// An annotation at the head of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Annotation {
    pub(in crate::policy) key: Range<usize>,
    pub(in crate::policy) value: Option<Range<usize>>,
}

/// Cuts a file into statements. Whatever stands behind the last `;` is one, too.
pub(in crate::policy) fn split(text: &str) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut tokens: Vec<Token> = Vec::new();
    for token in tokenize(text) {
        let ends = token.kind == Kind::Mark(';');
        tokens.push(token);
        if ends {
            statements.extend(statement(std::mem::take(&mut tokens)));
        }
    }
    statements.extend(statement(tokens));
    statements
}

fn statement(tokens: Vec<Token>) -> Option<Statement> {
    let span = tokens.first()?.span.start..tokens.last()?.span.end;
    let depth = depth(&tokens);
    Some(Statement { span, tokens, depth })
}

fn depth(tokens: &[Token]) -> usize {
    let (mut now, mut deepest, mut prefixes) = (0_usize, 0, 0_usize);
    for token in tokens {
        prefixes = if matches!(token.kind, Kind::Mark('!' | '-')) { prefixes + 1 } else { 0 };
        match token.kind {
            Kind::Mark('(' | '[' | '{') => now += 1,
            Kind::Mark(')' | ']' | '}') => now = now.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(now + prefixes);
    }
    deepest
}

fn tokenize(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, first)) = chars.next() {
        let kind = match first {
            _ if first.is_whitespace() => continue,
            '/' if chars.next_if(|(_, next)| *next == '/').is_some() => {
                while chars.next_if(|(_, next)| *next != '\n').is_some() {}
                continue;
            }
            '"' => {
                while let Some((_, next)) = chars.next() {
                    match next {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                Kind::Text
            }
            ':' if chars.next_if(|(_, next)| *next == ':').is_some() => Kind::Path,
            _ if is_word(first) => {
                while chars.next_if(|(_, next)| is_word(*next)).is_some() {}
                Kind::Word
            }
            other => Kind::Mark(other),
        };
        let end = chars.peek().map_or(text.len(), |(next, _)| *next);
        tokens.push(Token { kind, span: start..end });
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl Statement {
    /// The annotations in front of `permit` or `forbid`, in the order they are written.
    pub(in crate::policy) fn annotations(&self) -> Vec<Annotation> {
        let mut annotations = Vec::new();
        let mut tokens = self.tokens.iter().peekable();
        while tokens.next_if(|token| token.kind == Kind::Mark('@')).is_some() {
            let Some(key) = tokens.next() else { break };
            let mut value = None;
            if tokens.next_if(|token| token.kind == Kind::Mark('(')).is_some() {
                value = tokens.next().map(|token| token.span.clone());
                tokens.next();
            }
            annotations.push(Annotation { key: key.span.clone(), value });
        }
        annotations
    }

    /// Where the rule itself begins: behind its annotations.
    pub(in crate::policy) fn head(&self) -> Range<usize> {
        let inside = |token: &&Token| {
            !self.annotations().iter().any(|annotation| {
                let end =
                    annotation.value.as_ref().map_or(annotation.key.end, |value| value.end + 1);
                token.span.start < end
            })
        };
        self.tokens
            .iter()
            .find(inside)
            .map_or_else(|| self.span.clone(), |token| token.span.clone())
    }

    /// Where `TYPE::"id"` stands.
    pub(in crate::policy) fn entity(
        &self,
        text: &str,
        kind: &str,
        id: &str,
    ) -> Option<Range<usize>> {
        self.tokens.windows(3).find_map(|window| {
            let [name, path, quoted] = window else { return None };
            let matches = path.kind == Kind::Path
                && text.get(name.span.clone()) == Some(kind)
                && is_quoted(text, quoted, id);
            matches.then_some(name.span.start..quoted.span.end)
        })
    }

    /// Where a text in quotes stands.
    pub(in crate::policy) fn quoted(&self, text: &str, value: &str) -> Option<Range<usize>> {
        let found = self.tokens.iter().rev().find(|token| is_quoted(text, token, value))?;
        Some(found.span.clone())
    }

    /// The conditions behind the scope: of each, whether it is `unless`, and what stands between its braces.
    /// Nothing comes back if this is not what a rule looks like.
    pub(in crate::policy) fn conditions<'t>(&self, text: &'t str) -> Option<Vec<(bool, &'t str)>> {
        let from = self.head().start;
        let mut tokens = self.tokens.iter().filter(|token| token.span.start >= from);
        tokens.next()?;
        block(&mut tokens, '(', ')')?;
        let mut conditions = Vec::new();
        loop {
            let next = tokens.next()?;
            let is_unless = match (next.kind, text.get(next.span.clone())?) {
                (Kind::Mark(';'), _) => return Some(conditions),
                (Kind::Word, "when") => false,
                (Kind::Word, "unless") => true,
                _ => return None,
            };
            let inside = block(&mut tokens, '{', '}')?;
            conditions.push((is_unless, text.get(inside)?));
        }
    }

    /// Where a word stands, looking behind the annotations.
    pub(in crate::policy) fn word(&self, text: &str, word: &str) -> Option<Range<usize>> {
        self.words(text, word).next().map(|token| token.span.clone())
    }

    /// Every place of a word behind the annotations.
    pub(in crate::policy) fn words<'s>(
        &'s self,
        text: &'s str,
        word: &'s str,
    ) -> impl Iterator<Item = &'s Token> {
        let from = self.head().start;
        self.tokens.iter().filter(move |token| {
            token.span.start >= from
                && token.kind == Kind::Word
                && text.get(token.span.clone()) == Some(word)
        })
    }
}

/// What stands between two brackets that belong together, the first of which comes next.
fn block<'t>(
    tokens: &mut impl Iterator<Item = &'t Token>,
    open: char,
    close: char,
) -> Option<Range<usize>> {
    let first = tokens.next().filter(|token| token.kind == Kind::Mark(open))?;
    let mut depth = 1_usize;
    for token in tokens {
        if token.kind == Kind::Mark(open) {
            depth += 1;
        } else if token.kind == Kind::Mark(close) {
            depth -= 1;
        }
        if depth == 0 {
            return Some(first.span.end..token.span.start);
        }
    }
    None
}

fn is_quoted(text: &str, token: &Token, value: &str) -> bool {
    let inner = text.get(token.span.start + 1..token.span.end.saturating_sub(1));
    token.kind == Kind::Text && inner == Some(value)
}

#[cfg(test)]
mod tests {
    use super::split;

    fn check(text: &str, expect: &[&str]) {
        let found: Vec<&str> =
            split(text).iter().filter_map(|statement| text.get(statement.span.clone())).collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn statements_end_at_semicolons_that_are_not_in_texts_or_comments() {
        check("", &[]);
        check(" // only; a comment\n", &[]);
        check("permit (a);\nforbid (b);", &["permit (a);", "forbid (b);"]);
        check("@m(\"a;b\") permit (a); // c;\n", &["@m(\"a;b\") permit (a);"]);
        check("@m(\"a\\\";b\") permit (a);", &["@m(\"a\\\";b\") permit (a);"]);
        check("permit (a)", &["permit (a)"]);
        check("permit (a); }", &["permit (a);", "}"]);
        check("@m(\"open", &["@m(\"open"]);
        check("ä § 漢;;", &["ä § 漢;", ";"]);
    }

    #[test]
    fn annotations_entities_and_the_head_are_found() {
        let text = "@id(\"x\")\n@flag\npermit (principal == Agent::\"a\", action, resource);";
        let statements = split(text);
        let annotations = statements[0].annotations();
        let at = |span: std::ops::Range<usize>| text.get(span);
        assert_eq!(at(annotations[0].key.clone()), Some("id"));
        assert_eq!(annotations[0].value.clone().and_then(at), Some("\"x\""));
        assert_eq!(at(annotations[1].key.clone()), Some("flag"));
        assert_eq!(annotations[1].value, None);
        assert_eq!(at(statements[0].head()), Some("permit"));
        let entity = statements[0].entity(text, "Agent", "a").expect("the entity");
        assert_eq!(at(entity), Some("Agent::\"a\""));
    }

    #[test]
    fn conditions_are_cut_out_whatever_their_texts_and_comments_hold() {
        let check = |rest: &str, expect: Option<&[(bool, &str)]>| {
            let text =
                format!("@id(\"x\") permit (principal == Agent::\"a(\", action, resource){rest}");
            let found = split(&text).first().and_then(|statement| statement.conditions(&text));
            assert_eq!(found.as_deref(), expect, "{text}");
        };
        check(";", Some(&[]));
        check("when {a};", Some(&[(false, "a")]));
        check(
            "when{ {x: 1}.x == 1 }unless { \"}\" == b };",
            Some(&[(false, " {x: 1}.x == 1 "), (true, " \"}\" == b ")]),
        );
        check("when { a // }\n };", Some(&[(false, " a // }\n ")]));
        check("when { a }", None);
        check("if { a };", None);
    }

    #[test]
    fn nesting_is_counted_with_prefix_operators() {
        let depth = |text: &str| split(text).first().map_or(0, |statement| statement.depth);
        assert_eq!(depth("((()))"), 3);
        assert_eq!(depth("{ !!!!a }"), 5);
        assert_eq!(depth("}}}("), 1);
    }
}
