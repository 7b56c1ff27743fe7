// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The head of a request as the core reads it.

use enforcer_core::facts::Head;
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
