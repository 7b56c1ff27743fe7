// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The head of a request as the core reads it.

use enforcer_core::facts::Head;
use enforcer_core::mask::{Masker, secrets_of_head};
use enforcer_core::policy::Policy;
use hyper::http::request::Parts;

/// Method, path, query and headers; hyper keeps the names of headers in lower case.
pub(super) fn of(parts: &Parts) -> Head<'_> {
    let headers = parts.headers.iter();
    Head {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query(),
        headers: headers.map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
    }
}

/// What hides all that must not be recorded of a request with this head: what the policy hides, and the secrets that
/// the request itself was sent with, wherever a server quotes them.
pub(super) fn masker(policy: &Policy, parts: &Parts) -> Masker {
    let head = of(parts);
    policy.masker_of_everything().with_known_secrets(secrets_of_head(
        head.path,
        head.query,
        head.headers,
    ))
}
