// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Texts that are sent as token numbers, spelled out, so that detectors can read them and masks can change them:
//! the input of embeddings (LangChain sends nothing else) and the prompt of completions.
//!
//! The vocabulary is that of the model in the request. A model whose vocabulary is not public or not known, and a
//! number that it does not have, cannot be spelled out: the request is not understood.

use std::borrow::Cow;

use bpe_openai::Tokenizer;
use serde_json::Value;

use crate::protocol::door::Asked;
use crate::protocol::json_tree::Node;

use super::names::model;
use super::tokens::vocabulary;

/// In which field of which door such lists may stand.
const FIELDS: [(&str, &str); 2] = [("/v1/embeddings", "input"), ("/v1/completions", "prompt")];

/// The body with its texts spelled out; as it is where it has no such list. `None` if one cannot be spelled out.
pub(super) fn spelled<'b>(asked: &Asked<'_>, body: &'b [u8]) -> Option<Cow<'b, [u8]>> {
    let Some((_, field)) = FIELDS.iter().find(|(path, _)| asked.door.path == *path) else {
        return Some(Cow::Borrowed(body));
    };
    // What cannot be read is refused by whoever reads the facts.
    let Ok(node) = Node::read(body) else { return Some(Cow::Borrowed(body)) };
    let has_numbers = |items: &[Node<'_>]| {
        items.iter().any(|item| matches!(item, Node::Number(_) | Node::Array(_)))
    };
    let Some(items) = node.at(field).and_then(Node::items).filter(|it| has_numbers(it)) else {
        return Some(Cow::Borrowed(body));
    };
    let vocabulary = vocabulary(&model(asked, &node)?)?;
    let texts = if items.iter().all(|item| matches!(item, Node::Number(_))) {
        Value::from(text(vocabulary, items)?)
    } else {
        let texts: Option<Vec<Value>> =
            items.iter().map(|item| Some(Value::from(text(vocabulary, item.items()?)?))).collect();
        Value::from(texts?)
    };
    let mut value: Value = serde_json::from_slice(body).ok()?;
    *value.get_mut(field)? = texts;
    Some(Cow::Owned(value.to_string().into_bytes()))
}

fn text(vocabulary: &Tokenizer, numbers: &[Node<'_>]) -> Option<String> {
    let token = |node: &Node<'_>| {
        let token = usize::try_from(node.number()?).ok()?;
        // SECURITY: the vocabulary is read without a check of its bounds.
        let is_known = token < vocabulary.bpe.num_tokens();
        is_known.then(|| u32::try_from(token).ok()).flatten()
    };
    let tokens: Option<Vec<u32>> = numbers.iter().map(token).collect();
    vocabulary.decode(&tokens?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mask::{Builtin, DetectorKind, DetectorSet, DetectorSpec, Masker, Style};
    use crate::model::{DetectorName, OpaqueCause, Operation};
    use crate::protocol::codec::mask_request;
    use crate::protocol::openai::FAMILY;

    fn email() -> DetectorSpec {
        let (name, kind) = (DetectorName::new("email"), DetectorKind::Builtin(Builtin::EMAIL));
        DetectorSpec { name, kind }
    }

    fn numbers(text: &str) -> Vec<u32> {
        bpe_openai::cl100k_base().encode(text)
    }

    #[test]
    fn token_numbers_are_read_and_masked_as_the_text_that_they_are() {
        let detectors = DetectorSet::compile(vec![email()]).unwrap();
        let masker = Masker::new(vec![(email(), Style::Label)]).unwrap();
        let (clean, dirty) = (numbers("hello world"), numbers("write to ann@example.com"));
        for (path, field, model) in [
            ("/v1/embeddings", "input", "text-embedding-3-small"),
            ("/v1/completions", "prompt", "gpt-3.5-turbo-instruct"),
        ] {
            let route = FAMILY.route("POST", path).unwrap();
            let read = |texts: Value| {
                let body = json!({ "model": model, field: texts }).to_string();
                let understood = route.decode(path, "", body.as_bytes(), &detectors).unwrap();
                let masked = mask_request(Some(route), body.as_bytes(), &masker).unwrap();
                let count = match understood.operation {
                    Operation::Embed(embed) => embed.input_count,
                    Operation::Chat(chat) => chat.message_count,
                    other => panic!("{other:?}"),
                };
                let is_as_sent = masked.bytes == body.as_bytes();
                let masked: Value = serde_json::from_slice(&masked.bytes).unwrap();
                (understood.detected.len(), count, is_as_sent, masked[field].clone())
            };
            assert_eq!(read(json!(clean)), (0, 1, true, json!(clean)));
            assert_eq!(read(json!(dirty)), (1, 1, false, json!("write to [email]")));
            let both = (1, 2, false, json!(["hello world", "write to [email]"]));
            assert_eq!(read(json!([clean, dirty])), both);
            assert_eq!(read(json!("hi")), (0, 1, true, json!("hi")));
        }
    }

    #[test]
    fn what_cannot_be_spelled_out_is_not_understood() {
        let detectors = DetectorSet::compile(Vec::new()).unwrap();
        let route = FAMILY.route("POST", "/v1/embeddings").unwrap();
        for (model, input) in [
            ("text-embedding-of-tomorrow", json!([1, 2])),
            ("text-embedding-3-small", json!([100_256])),
            ("text-embedding-3-small", json!([4_294_967_296_u64])),
            ("text-embedding-3-small", json!([-1])),
            ("text-embedding-3-small", json!([1.5])),
            ("text-embedding-3-small", json!([[1], "x"])),
            ("text-embedding-3-small", json!([[1], [[2]]])),
            // Half a character.
            ("text-embedding-3-small", json!([numbers("\u{1f600}")[0]])),
        ] {
            let body = json!({ "model": model, "input": input }).to_string();
            let understood = route.decode("/v1/embeddings", "", body.as_bytes(), &detectors);
            assert_eq!(understood.unwrap_err(), OpaqueCause::Fields, "{body}");
        }
    }
}
