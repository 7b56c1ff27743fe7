// SPDX-License-Identifier: Apache-2.0 OR MIT
//! JSON as a tree, read strictly: a name that stands twice in one object is refused, since two readers may
//! take different ones. Depth is bounded by [`JSON_DEPTH_MAX`]. Errs to refusing.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use crate::model::OpaqueCause;
use crate::model::limits::JSON_DEPTH_MAX;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node<'b> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'b, str>),
    Array(Vec<Self>),
    Object(Vec<(Cow<'b, str>, Self)>),
}

impl<'b> Node<'b> {
    /// Reads a whole body.
    pub(crate) fn read(body: &'b [u8]) -> Result<Self, OpaqueCause> {
        // Strings are checked one by one below, but not the rest of the body.
        let text = str::from_utf8(body).map_err(|_not_utf8| OpaqueCause::NotJson)?;
        let has_twice = Cell::new(false);
        let mut reader = serde_json::Deserializer::from_str(text);
        let seed = Seed { depth: JSON_DEPTH_MAX, has_twice: &has_twice };
        let node = seed.deserialize(&mut reader).and_then(|node| reader.end().map(|()| node));
        node.map_err(
            |_fault| if has_twice.get() { OpaqueCause::Fields } else { OpaqueCause::NotJson },
        )
    }

    /// The same as a value that can be changed.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(is) => Value::Bool(*is),
            Self::Number(number) => Value::Number(number.clone()),
            Self::String(text) => Value::from(text.as_ref()),
            Self::Array(items) => items.iter().map(Self::to_value).collect(),
            Self::Object(members) => {
                members.iter().map(|(name, node)| (name.to_string(), node.to_value())).collect()
            }
        }
    }

    /// The member of an object.
    pub(crate) fn at(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    /// The member of an object, unless it is `null`.
    pub(crate) fn set(&self, name: &str) -> Option<&Self> {
        self.at(name).filter(|node| **node != Self::Null)
    }

    pub(crate) fn text(&self) -> Option<&str> {
        let Self::String(text) = self else { return None };
        Some(text)
    }

    pub(crate) fn items(&self) -> Option<&[Self]> {
        let Self::Array(items) = self else { return None };
        Some(items)
    }

    pub(crate) fn number(&self) -> Option<u64> {
        let Self::Number(number) = self else { return None };
        number.as_u64()
    }
}

struct Seed<'c> {
    /// How much deeper it may go.
    depth: usize,
    has_twice: &'c Cell<bool>,
}

impl<'c> Seed<'c> {
    fn deeper<E: serde::de::Error>(&self) -> Result<Seed<'c>, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Seed { depth, has_twice: self.has_twice })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node<'de>;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Node<'de>, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Number(value.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node<'de>, E> {
        Number::from_f64(value).map(Node::Number).ok_or_else(|| E::custom("not a number"))
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::String(Cow::Borrowed(value)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Node<'de>, E> {
        Ok(Node::String(Cow::Owned(value.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.deeper()?)? {
            items.push(item);
        }
        Ok(Node::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        let mut members: Vec<(Cow<'de, str>, Node<'de>)> = Vec::new();
        let mut names = HashSet::new();
        while let Some(Node::String(name)) = map.next_key_seed(self.deeper()?)? {
            if !names.insert(name.clone()) {
                self.has_twice.set(true);
                return Err(A::Error::custom("a name stands twice"));
            }
            members.push((name, map.next_value_seed(self.deeper()?)?));
        }
        Ok(Node::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_readers_may_read_differently_is_refused() {
        let check =
            |body: &str, cause| assert_eq!(Node::read(body.as_bytes()), Err(cause), "{body}");
        check(r#"{"a":1,"a":2}"#, OpaqueCause::Fields);
        check(r#"{"a":1,"\u0061":2}"#, OpaqueCause::Fields);
        check(r#"{"x":[{"a":1,"b":{},"a":2}]}"#, OpaqueCause::Fields);
        for body in ["", "{", "{} x", "{}{}", "{'a':1}", "[1,]", "\u{feff}{}", "NaN", r#""\ud800""#]
        {
            check(body, OpaqueCause::NotJson);
        }
        check(&"[".repeat(100_000), OpaqueCause::NotJson);
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        check(&deep(JSON_DEPTH_MAX + 2), OpaqueCause::NotJson);
        assert!(Node::read(deep(JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(Node::read(b"\"\xff\""), Err(OpaqueCause::NotJson));
    }
}
