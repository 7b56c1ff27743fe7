// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Facts of the action `chat`: the same ones, whatever the API.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::rewrite::Rewrite;

/// Facts of the action `chat`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    /// The API that is spoken: `chat_completions`, `responses`, `completions` or `messages`. Records of before this
    /// fact was known are of the first.
    #[serde(default = "chat_completions")]
    pub api: String,
    /// The model asked for, as sent.
    pub model: String,
    /// True if the answer is asked for as a stream.
    pub stream: bool,
    /// Number of messages, or of items of the input.
    pub message_count: i64,
    /// Names of the tools offered to the model.
    pub tools: BTreeSet<String>,
    /// Which tool the model should use: a word of the API, or the name of a tool; empty if the request does not say.
    #[serde(default)]
    pub tool_choice: String,
    /// Types of the content parts of all messages, as sent; `text` for plain strings, too.
    pub parts: BTreeSet<String>,
    /// True if there is a system prompt: instructions, or a message of the system or the developer.
    #[serde(default)]
    pub system: bool,
    /// True if the request goes on with, or asks for, texts that the provider stores and that are not in it.
    #[serde(default)]
    pub previous: bool,
    /// Ids and addresses of files and pictures that the provider is to read and that are not in the request.
    #[serde(default)]
    pub files: BTreeSet<String>,
    /// Types of items, content parts and tools that this version does not know.
    #[serde(default)]
    pub unknown: BTreeSet<String>,
    /// Upper bound of the answer in tokens, if the request names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<i64>,
    /// Tokens of the request, counted before sending; an estimate for models without a public vocabulary.
    pub input_tokens: i64,
    /// Number of answers asked for. Records of before this fact was known have one.
    #[serde(default = "one")]
    pub n: i64,
    /// True if the provider is asked to keep the chat.
    #[serde(default)]
    pub store: bool,
}

impl Chat {
    /// Each member is named, so that a new one has to be thought of here.
    pub(super) fn rewritten(self, by: &mut impl Rewrite) -> Self {
        let Self {
            api,
            model,
            stream,
            message_count,
            tools,
            tool_choice,
            parts,
            system,
            previous,
            files,
            unknown,
            max_tokens,
            input_tokens,
            n,
            store,
        } = self;
        let mut set = |fact, texts: &BTreeSet<String>| {
            texts.iter().map(|text| by.text(fact, text)).collect::<BTreeSet<String>>()
        };
        let (tools, parts) = (set("tools", &tools), set("parts", &parts));
        let (files, unknown) = (set("files", &files), set("unknown", &unknown));
        Self {
            api,
            model: by.text("model", &model),
            stream,
            message_count,
            tools,
            tool_choice: by.text("tool_choice", &tool_choice),
            parts,
            system,
            previous,
            files,
            unknown,
            max_tokens: max_tokens.map(|tokens| by.number("max_tokens", tokens)),
            input_tokens,
            n,
            store,
        }
    }
}

fn chat_completions() -> String {
    "chat_completions".to_owned()
}

const fn one() -> i64 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Operation;

    #[test]
    fn a_record_of_before_a_fact_was_known_has_what_was_so_then() {
        let old = r#"{"action":"chat","model":"m","stream":false,"message_count":1,"tools":[],"parts":[],"input_tokens":1}"#;
        let operation: Operation = serde_json::from_str(old).unwrap();
        assert_eq!(operation.answer_count(), 1);
        let Operation::Chat(chat) = operation else { panic!("a chat") };
        assert!(!chat.store && !chat.previous && chat.files.is_empty());
        assert_eq!(chat.api, "chat_completions");
        let many = Operation::Chat(Chat { n: 5, ..chat });
        assert_eq!(many.answer_count(), 5);
    }
}
