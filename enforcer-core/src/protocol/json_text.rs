// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rewrites strings and numbers of a JSON body in place: only those that change are written anew, every
//! other byte (order, whitespace, escapes) stays as sent.
//!
//! Every string is seen, whatever its name and however often the name stands there, so that a second member
//! of the same name hides nothing. Depth is bounded by [`JSON_DEPTH_MAX`]. What is not JSON is refused.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::model::OpaqueCause;
use crate::model::limits::JSON_DEPTH_MAX;

/// One step from the root to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the member of that name.
    Key(String),
    /// To the item of that index.
    Item(usize),
}

/// What to do with a value that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It stays.
    Keep,
    /// It becomes `null`, with all that is in it.
    Null,
    /// It becomes this string.
    Text(String),
}

/// Decides about the values of a body, in the order in which they stand there.
pub trait Editor {
    /// A string, at its path.
    fn text(&mut self, path: &[Step], text: &str) -> Edit;

    /// A number as written, at its path.
    fn number(&mut self, path: &[Step], number: &str) -> Edit;

    /// The name of a member, at the path of its object; `Some` renames it.
    fn name(&mut self, path: &[Step], name: &str) -> Option<String>;

    /// An object or array, at its path; true makes it `null`, unless it is empty.
    fn is_dropped(&mut self, path: &[Step]) -> bool;
}

/// A body whose structure is known to be right; a walk only has to find the values.
#[derive(Clone, Copy, Debug)]
pub struct Json<'b>(&'b str);

impl<'b> Json<'b> {
    /// Checks a body.
    ///
    /// # Errors
    /// When the body is not JSON in UTF-8.
    pub fn read(body: &'b [u8]) -> Result<Self, OpaqueCause> {
        let text = str::from_utf8(body).map_err(|_not_utf8| OpaqueCause::NotJson)?;
        serde_json::from_str::<IgnoredAny>(text).map_err(|_not_json| OpaqueCause::NotJson)?;
        Ok(Self(text))
    }

    /// Rewrites the body. An editor that asks for the same every time sees the same values in the same order.
    ///
    /// # Errors
    /// When the body is too deep, or holds half a surrogate pair.
    pub fn rewrite(self, editor: &mut impl Editor) -> Result<Cow<'b, [u8]>, OpaqueCause> {
        let text = self.0;
        let mut walk = Walk { text, at: 0, copied: 0, out: String::new(), path: Vec::new() };
        walk.value(editor)?;
        Ok(match walk.copied {
            0 => Cow::Borrowed(text.as_bytes()),
            copied => {
                walk.out.push_str(text.get(copied..).unwrap_or_default());
                Cow::Owned(walk.out.into_bytes())
            }
        })
    }
}

/// Rewrites a body in one walk.
///
/// # Errors
/// When the body is not JSON in UTF-8, is too deep, or holds half a surrogate pair.
pub fn rewrite<'b>(body: &'b [u8], editor: &mut impl Editor) -> Result<Cow<'b, [u8]>, OpaqueCause> {
    Json::read(body)?.rewrite(editor)
}

struct Walk<'b> {
    text: &'b str,
    at: usize,
    /// Up to where the input is in `out`; 0 if nothing was changed.
    copied: usize,
    out: String,
    path: Vec<Step>,
}

impl<'b> Walk<'b> {
    fn value(&mut self, editor: &mut impl Editor) -> Result<(), OpaqueCause> {
        self.skip_space();
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                let text = self.string()?;
                let edit = editor.text(&self.path, &text);
                self.apply(start, edit);
            }
            Some(open @ (b'{' | b'[')) => {
                if self.path.len() >= JSON_DEPTH_MAX {
                    return Err(OpaqueCause::NotJson);
                }
                let is_dropped = editor.is_dropped(&self.path);
                self.at += 1;
                self.skip_space();
                let is_empty = matches!(self.peek(), Some(b'}' | b']'));
                if is_dropped && !is_empty {
                    self.children(open, &mut Nobody)?;
                    self.replace(start, "null");
                } else {
                    self.children(open, editor)?;
                }
            }
            first => {
                self.skip_while(|byte| {
                    !matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r')
                });
                if first.is_some_and(|first| first == b'-' || first.is_ascii_digit()) {
                    let number = self.text.get(start..self.at).unwrap_or_default();
                    let edit = editor.number(&self.path, number);
                    self.apply(start, edit);
                }
            }
        }
        Ok(())
    }

    fn apply(&mut self, start: usize, edit: Edit) {
        match edit {
            Edit::Keep => {}
            Edit::Null => self.replace(start, "null"),
            Edit::Text(text) => self.replace(start, &quote(&text)),
        }
    }

    fn children(&mut self, open: u8, editor: &mut impl Editor) -> Result<(), OpaqueCause> {
        let close = if open == b'{' { b'}' } else { b']' };
        for index in 0.. {
            self.skip_space();
            if self.peek() == Some(close) {
                self.at += 1;
                return Ok(());
            }
            if self.peek() == Some(b',') {
                self.at += 1;
                self.skip_space();
            }
            let step = if open == b'{' {
                let start = self.at;
                let name = self.string()?;
                if let Some(name) = editor.name(&self.path, &name) {
                    self.replace(start, &quote(&name));
                }
                self.skip_space();
                // The colon.
                self.at += 1;
                Step::Key(name.into_owned())
            } else {
                Step::Item(index)
            };
            if self.at >= self.text.len() {
                break;
            }
            self.path.push(step);
            self.value(editor)?;
            self.path.pop();
        }
        Err(OpaqueCause::NotJson)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_while(&mut self, goes_on: impl Fn(u8) -> bool) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| !goes_on(*byte)).unwrap_or(rest.len());
    }

    fn skip_space(&mut self) {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// The string that begins here.
    fn string(&mut self) -> Result<Cow<'b, str>, OpaqueCause> {
        let start = self.at;
        self.at += 1;
        loop {
            self.skip_while(|byte| byte != b'"' && byte != b'\\');
            match self.peek() {
                Some(b'"') => break,
                Some(_) => self.at += 2,
                None => return Err(OpaqueCause::NotJson),
            }
        }
        self.at += 1;
        let quoted = self.text.get(start..self.at).ok_or(OpaqueCause::NotJson)?;
        if !quoted.contains('\\') {
            return Ok(Cow::Borrowed(quoted.get(1..quoted.len() - 1).unwrap_or_default()));
        }
        let text = serde_json::from_str(quoted).map_err(|_half_pair| OpaqueCause::NotJson)?;
        Ok(Cow::Owned(text))
    }

    /// Replaces the input from `start` to here.
    fn replace(&mut self, start: usize, by: &str) {
        self.out.push_str(self.text.get(self.copied..start).unwrap_or_default());
        self.out.push_str(by);
        self.copied = self.at;
    }
}

/// Keeps everything.
struct Nobody;

impl Editor for Nobody {
    fn text(&mut self, _path: &[Step], _text: &str) -> Edit {
        Edit::Keep
    }
    fn number(&mut self, _path: &[Step], _number: &str) -> Edit {
        Edit::Keep
    }
    fn name(&mut self, _path: &[Step], _name: &str) -> Option<String> {
        None
    }
    fn is_dropped(&mut self, _path: &[Step]) -> bool {
        false
    }
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Writes the path before every string, and drops what is named `drop`.
    struct Tell;

    impl Editor for Tell {
        fn text(&mut self, path: &[Step], text: &str) -> Edit {
            let step = |step: &Step| match step {
                Step::Key(name) => format!("/{name}"),
                Step::Item(index) => format!("/{index}"),
            };
            Edit::Text(path.iter().map(step).collect::<String>() + "=" + text)
        }
        fn number(&mut self, path: &[Step], number: &str) -> Edit {
            if number.len() > 5 { self.text(path, number) } else { Edit::Keep }
        }
        fn name(&mut self, _path: &[Step], name: &str) -> Option<String> {
            (name == "old").then(|| "new".to_owned())
        }
        fn is_dropped(&mut self, path: &[Step]) -> bool {
            path.last() == Some(&Step::Key("drop".to_owned()))
        }
    }

    #[test]
    fn every_string_and_number_is_seen_at_its_path_and_the_rest_stays() {
        let check = |body: &str, expect: &str| {
            let told = rewrite(body.as_bytes(), &mut Tell).unwrap();
            assert_eq!(str::from_utf8(&told).unwrap(), expect);
        };
        check(r#" "a" "#, r#" "=a" "#);
        check(
            r#"{"a" : [1.0, "x",{"b":"\u0079"} ] }"#,
            r#"{"a" : [1.0, "/a/1=x",{"b":"/a/2/b=y"} ] }"#,
        );
        check(r#"{"a":"x","a":"\"\\"}"#, r#"{"a":"/a=x","a":"/a=\"\\"}"#);
        check("-1.25e3", r#""=-1.25e3""#);
        check(r#"[123456 ,{"a":678901},true]"#, r#"["/0=123456" ,{"a":"/1/a=678901"},true]"#);
        check(r#"{"drop":{"a":["x"]},"old":1e400,"b":[]}"#, r#"{"drop":null,"new":1e400,"b":[]}"#);
        check(r#"{"drop":[ ],"a":{"drop":{}}}"#, r#"{"drop":[ ],"a":{"drop":{}}}"#);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let deep = "[".repeat(JSON_DEPTH_MAX + 1) + &"]".repeat(JSON_DEPTH_MAX + 1);
        for body in ["", "{", "[1,]", r#"{"a"}"#, r#""\ud800""#, "1 2", deep.as_str()] {
            assert_eq!(rewrite(body.as_bytes(), &mut Tell), Err(OpaqueCause::NotJson), "{body}");
        }
        assert_eq!(rewrite(b"\"\xff\"", &mut Tell), Err(OpaqueCause::NotJson));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "(\\PC|[\\\\\"\n,:{}\\[\\]]){0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\\\\]{0,3}", inner, 0..4)
                    .prop_map(Value::from_iter),
            ]
        })
    }

    fn mark(value: &Value) -> Value {
        match value {
            Value::String(text) => Value::from(format!("<{text}>")),
            Value::Array(items) => items.iter().map(mark).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), mark(value))).collect()
            }
            Value::Number(number) => Value::from(format!("#{number}")),
            Value::Null | Value::Bool(_) => value.clone(),
        }
    }

    struct Mark;

    impl Editor for Mark {
        fn text(&mut self, _path: &[Step], text: &str) -> Edit {
            Edit::Text(format!("<{text}>"))
        }
        fn number(&mut self, _path: &[Step], number: &str) -> Edit {
            Edit::Text(format!("#{number}"))
        }
        fn name(&mut self, _path: &[Step], _name: &str) -> Option<String> {
            None
        }
        fn is_dropped(&mut self, _path: &[Step]) -> bool {
            false
        }
    }

    proptest! {
        #[test]
        fn rewriting_every_value_is_what_a_parser_would_do(value in values(), pretty in any::<bool>()) {
            let body = if pretty { format!("{value:#}") } else { value.to_string() };
            let marked = rewrite(body.as_bytes(), &mut Mark).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Value>(&marked).unwrap(), mark(&value));
            prop_assert_eq!(rewrite(body.as_bytes(), &mut Nobody).unwrap(), body.as_bytes());
        }
    }
}
