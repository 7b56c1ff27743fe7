// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same request in the form each HTTP version wants. The authority is always the proven name.

use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Request, Uri, Version};

use super::{RequestBody, Target};

/// RFC 9112 section 3.2: origin form, with `Host`.
pub(super) fn http1(target: &Target, request: Request<RequestBody>) -> Request<RequestBody> {
    let (mut head, body) = request.into_parts();
    let mut uri = Uri::default().into_parts();
    uri.path_and_query = Some(path_of(&head.uri));
    head.uri = Uri::from_parts(uri).unwrap_or_default();
    head.version = Version::HTTP_11;
    if let Ok(value) = HeaderValue::from_str(&authority(target)) {
        head.headers.insert(HOST, value);
    }
    Request::from_parts(head, body)
}

/// RFC 9113 section 8.3.1: `:scheme` and `:authority`, without `Host`.
pub(super) fn http2(target: &Target, request: Request<RequestBody>) -> Request<RequestBody> {
    let (mut head, body) = request.into_parts();
    let mut uri = Uri::default().into_parts();
    uri.scheme = Some(if target.is_tls { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = authority(target).parse().ok();
    uri.path_and_query = Some(path_of(&head.uri));
    head.uri = Uri::from_parts(uri).unwrap_or_default();
    head.version = Version::HTTP_2;
    head.headers.remove(HOST);
    Request::from_parts(head, body)
}

fn path_of(uri: &Uri) -> PathAndQuery {
    uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
}

fn authority(target: &Target) -> String {
    match (target.is_tls, target.port) {
        (true, 443) | (false, 80) => target.host.clone(),
        (_, port) => format!("{}:{port}", target.host),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};

    use super::*;

    fn request() -> Request<RequestBody> {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        Request::builder().uri("/v1/x?a=b").header(HOST, "evil.example").body(body).unwrap()
    }

    fn target(port: u16) -> Target {
        Target { host: "api.openai.com".into(), port, is_tls: true }
    }

    #[test]
    fn the_authority_is_the_proven_name_in_both_versions() {
        let h1 = http1(&target(443), request());
        assert_eq!(
            (h1.uri().to_string().as_str(), &h1.headers()[HOST]),
            ("/v1/x?a=b", &HeaderValue::from_static("api.openai.com"))
        );
        let h2 = http2(&target(8443), request());
        assert_eq!(h2.uri().to_string(), "https://api.openai.com:8443/v1/x?a=b");
        assert!(!h2.headers().contains_key(HOST));
    }
}
