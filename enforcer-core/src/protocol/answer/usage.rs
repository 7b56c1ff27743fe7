// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tokens that a provider reports.

use crate::model::Usage;
use crate::model::limits::USAGE_TOKENS_MAX;
use crate::protocol::json_tree::Node;

/// The tokens that the provider reports in an answer or an event, under the names of any family. What is no whole
/// number, or zero altogether, reports nothing.
///
/// Anthropic counts what it reads from and writes to its cache beside `input_tokens`, the others count it in.
pub(super) fn usage_of(body: &Node<'_>) -> Option<Usage> {
    let inner = || ["response", "message"].iter().find_map(|name| body.set(name)?.set("usage"));
    let usage = body.set("usage").or_else(inner)?;
    let own = counted(usage)?;
    // What was summarized or asked of an advisor on the way is not in the sum at the top, so the larger one counts.
    let each = usage.set("iterations").and_then(Node::items).unwrap_or_default();
    let all = each.iter().filter_map(counted).fold(Usage::default(), |all, one| Usage {
        input_tokens: all.input_tokens.saturating_add(one.input_tokens).min(USAGE_TOKENS_MAX),
        output_tokens: all.output_tokens.saturating_add(one.output_tokens).min(USAGE_TOKENS_MAX),
    });
    let input_tokens = own.input_tokens.max(all.input_tokens);
    let output_tokens = own.output_tokens.max(all.output_tokens);
    (input_tokens > 0 || output_tokens > 0).then_some(Usage { input_tokens, output_tokens })
}

fn counted(usage: &Node<'_>) -> Option<Usage> {
    let sum = |names: &[&str]| {
        names.iter().try_fold(0, |sum: u64, name| match usage.set(name) {
            None => Some(sum),
            Some(node) => {
                node.number().map(|tokens| sum.saturating_add(tokens).min(USAGE_TOKENS_MAX))
            }
        })
    };
    let input_tokens = sum(&[
        "prompt_tokens",
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
    ])?;
    let output_tokens = sum(&["completion_tokens", "output_tokens"])?;
    Some(Usage { input_tokens, output_tokens })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_of_every_family_is_read() {
        let check = |body: &str, expect: Option<(u64, u64)>| {
            let usage = usage_of(&Node::read(body.as_bytes()).expect("JSON"));
            assert_eq!(usage.map(|it| (it.input_tokens, it.output_tokens)), expect, "{body}");
        };
        check(r#"{"usage":{"prompt_tokens":3,"completion_tokens":4}}"#, Some((3, 4)));
        check(r#"{"response":{"usage":{"input_tokens":3,"output_tokens":4}}}"#, Some((3, 4)));
        check(
            r#"{"message":{"usage":{"input_tokens":3,"cache_read_input_tokens":100,"output_tokens":1}}}"#,
            Some((103, 1)),
        );
        check(
            r#"{"usage":{"input_tokens":3,"output_tokens":4,"iterations":[
                {"type":"message","input_tokens":3,"output_tokens":4},
                {"type":"compaction","input_tokens":50,"output_tokens":9},
                {"type":"advisor_message","input_tokens":7,"output_tokens":2}]}}"#,
            Some((60, 15)),
        );
        check(r#"{"usage":{"input_tokens":3,"output_tokens":4,"iterations":null}}"#, Some((3, 4)));
        check(r#"{"usage":{"input_tokens":"3","output_tokens":4}}"#, None);
        check(r#"{"usage":null}"#, None);
    }
}
