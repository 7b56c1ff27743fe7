// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a body is not understood, as exactly as the request shows it. Nothing of a body is repeated, and of a head only
//! what it declares, which whoever shows it masks.

use serde::de::IgnoredAny;

use crate::model::{OpaqueCause, WhyOpaque, declared};
use crate::protocol::codec::Route;

use super::views::decoded;

/// The name by which a stored stream is read from a later event on (openai-python `resources/responses`).
const BEGINS_AFTER: &str = "starting_after";

/// What these content types declare, which are not one of JSON in UTF-8.
pub(super) fn wrong_type(values: &[&[u8]]) -> WhyOpaque {
    let detail = match values {
        [] => "the body has no content type".to_owned(),
        [one] => {
            let shown = declared(&String::from_utf8_lossy(one));
            format!("the body is declared as {shown}, not as JSON in UTF-8")
        }
        _ => "the body has more than one content type".to_owned(),
    };
    WhyOpaque::because(OpaqueCause::Encoding, detail)
}

/// What a query has that the API does not have there; nothing if it knows all of it.
pub(super) fn unknown_query(route: Route, query: &str) -> Option<WhyOpaque> {
    if route.knows_query(query) {
        return None;
    }
    let unknown = query.split('&').find(|field| !route.knows_query(field));
    let Some(field) = unknown else { return Some(OpaqueCause::Query.into()) };
    let name = declared(field.split('=').next().unwrap_or_default());
    let detail = format!("the query has {name}, which the API does not have there");
    Some(WhyOpaque::because(OpaqueCause::Query, detail))
}

/// Why a query makes an answer one that begins in the middle: an agent that chose where would choose where a mask begins to
/// read, too.
pub(super) fn cut_answer(query: &str) -> Option<WhyOpaque> {
    let is_cut = |text: &str| text.to_ascii_lowercase().contains(BEGINS_AFTER);
    let once = decoded(query);
    if !is_cut(&once) && !is_cut(&decoded(&once)) {
        return None;
    }
    let detail = format!("the query has `{BEGINS_AFTER}`, by which an answer begins in the middle");
    Some(WhyOpaque::because(OpaqueCause::Query, detail))
}

/// Where a body stops being JSON. The parser names places and kinds of tokens only.
pub(super) fn not_json(body: &[u8]) -> WhyOpaque {
    let cause = OpaqueCause::NotJson;
    match serde_json::from_slice::<IgnoredAny>(body) {
        Ok(IgnoredAny) => cause.into(),
        Err(error) => WhyOpaque::because(cause, format!("the body is not JSON ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_begins_in_the_middle_is_asked_for_in_every_spelling() {
        for query in [
            "starting_after=3",
            "stream=true&starting%5Fafter=3",
            "Starting_After=1",
            "starting%255fafter=1",
        ] {
            assert!(cut_answer(query).is_some(), "{query}");
        }
        for query in ["", "stream=true", "after=item_1"] {
            assert!(cut_answer(query).is_none(), "{query}");
        }
    }
}
