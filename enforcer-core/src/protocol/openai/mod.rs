// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The OpenAI APIs: which requests are understood, and what a refused client receives. Azure's ways to the
//! same doors (`/openai/v1/…`, `/openai/deployments/NAME/…`) are here, too.

mod apis;
mod chat;
mod completions;
mod doors;
mod error;
mod fields;
mod files;
mod headers;
mod numbers;
mod offered;
mod responses;
mod shapes;
mod tables;
mod tokens;

#[cfg(test)]
mod tests;

use super::family::{Family, Place};
use super::names;

/// The family `openai`.
pub static FAMILY: Family = Family {
    name: "openai",
    doors: doors::DOORS,
    place,
    shape: &shapes::TYPED,
    knows_header: headers::knows_header,
    knows_query: fields::knows_query,
    spelled: numbers::spelled,
    refusal: error::error_body,
};

/// Azure OpenAI has the same API below `/openai`, and with the deployment in the path, where the model of the
/// body says nothing (learn.microsoft.com, "Azure OpenAI REST API reference").
fn place(path: &str) -> Place<'_> {
    let plain = Place { prefix: "", path, model: None };
    let Some(rest) = path.strip_prefix("/openai/") else { return plain };
    if rest.starts_with("v1/") {
        return Place { path: path.strip_prefix("/openai").unwrap_or(path), ..plain };
    }
    let deployment = rest.strip_prefix("deployments/").and_then(|rest| rest.split_once('/'));
    match deployment {
        Some((model, rest)) if is_deployment(model) => {
            let at = path.len() - rest.len() - 1;
            Place { prefix: "/v1", path: path.get(at..).unwrap_or_default(), model: Some(model) }
        }
        _ => plain,
    }
}

/// Letters, digits, `-`, `_` and `.`, as Azure allows for the name of a deployment.
fn is_deployment(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.bytes().all(is_part) && name.bytes().any(|byte| byte != b'.')
}
