// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a body is not understood, as exactly as the request shows it. Nothing of a body is repeated, and of a head only
//! what it declares, which whoever shows it masks.

use serde::de::IgnoredAny;

use crate::model::{OpaqueCause, WhyOpaque, declared};
use crate::protocol::codec::Route;

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

/// Where a body stops being JSON. The parser names places and kinds of tokens only.
pub(super) fn not_json(body: &[u8]) -> WhyOpaque {
    let cause = OpaqueCause::NotJson;
    match serde_json::from_slice::<IgnoredAny>(body) {
        Ok(IgnoredAny) => cause.into(),
        Err(error) => WhyOpaque::because(cause, format!("the body is not JSON ({error})")),
    }
}
