// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Counts the tokens of a request before it is sent.
//!
//! Messages are counted as OpenAI documents it; definitions of tools and schemas by all their strings, which
//! errs to more. Images, audio and files are not counted. For models without a public vocabulary it is an
//! estimate. The provider's own `usage` is the only truth for accounting.

use std::borrow::Cow;

use bpe_openai::Tokenizer;

use crate::protocol::json_tree::Node;

/// Tokens around each message.
const MESSAGE_TOKENS: usize = 3;
/// Tokens before a name, and before the answer.
const NAME_TOKENS: usize = 1;
const ANSWER_TOKENS: usize = 3;
/// Models that use the older vocabulary, unless a newer family has the same beginning.
const OLD_MODELS: [&str; 3] = ["gpt-3.5", "gpt-35", "gpt-4"];
const NEW_FAMILIES: [&str; 4] = ["gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-4-omni"];

/// Tokens of a chat completion request that was found to be valid.
pub(super) fn count(model: &str, body: &Node<'_>) -> i64 {
    let tokenizer = tokenizer(model);
    let messages = body.at("messages").and_then(Node::items).unwrap_or_default();
    let counted = messages.iter().map(|message| message_tokens(tokenizer, message)).sum::<usize>();
    let definitions = ["tools", "functions", "response_format"].iter();
    let defined = definitions.filter_map(|name| body.set(name));
    let defined = defined.map(|node| text_tokens(tokenizer, node)).sum::<usize>();
    i64::try_from(counted + defined + ANSWER_TOKENS).unwrap_or(i64::MAX)
}

fn tokenizer(model: &str) -> &'static Tokenizer {
    // A fine-tuned model: `ft:BASE:ORGANIZATION:…`.
    let base = model.strip_prefix("ft:").unwrap_or(model);
    let has = |prefixes: &[&str]| prefixes.iter().any(|prefix| base.starts_with(prefix));
    if has(&OLD_MODELS) && !has(&NEW_FAMILIES) {
        bpe_openai::cl100k_base()
    } else {
        bpe_openai::o200k_base()
    }
}

fn message_tokens(tokenizer: &Tokenizer, message: &Node<'_>) -> usize {
    let Node::Object(members) = message else { return MESSAGE_TOKENS };
    let member = |(name, node): &(Cow<'_, str>, Node<'_>)| match name.as_ref() {
        "content" => content_tokens(tokenizer, node),
        "name" => text_tokens(tokenizer, node) + NAME_TOKENS,
        _ => text_tokens(tokenizer, node),
    };
    MESSAGE_TOKENS + members.iter().map(member).sum::<usize>()
}

/// Text parts only: an image is no text, however long its address is.
fn content_tokens(tokenizer: &Tokenizer, content: &Node<'_>) -> usize {
    let Some(parts) = content.items() else { return text_tokens(tokenizer, content) };
    let texts = parts.iter().flat_map(|part| [part.at("text"), part.at("refusal")]).flatten();
    texts.map(|text| text_tokens(tokenizer, text)).sum()
}

fn text_tokens(tokenizer: &Tokenizer, node: &Node<'_>) -> usize {
    match node {
        Node::String(text) => tokenizer.count(text.as_ref()),
        Node::Array(items) => items.iter().map(|item| text_tokens(tokenizer, item)).sum(),
        Node::Object(members) => {
            let member = |(name, node): &(Cow<'_, str>, Node<'_>)| {
                tokenizer.count(name.as_ref()) + text_tokens(tokenizer, node)
            };
            members.iter().map(member).sum()
        }
        Node::Number(_) | Node::Null | Node::Bool(_) => 0,
    }
}
