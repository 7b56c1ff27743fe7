// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The texts of a request besides its body: path, query and headers. They cannot be masked without changing
//! what the request means, so a rule sees what was found in them, and a request that has to be masked is
//! refused if they hold something.

use std::collections::BTreeSet;

use enforcer_core::mask::{DetectorSet, Masker};
use enforcer_core::model::DetectorName;
use hyper::http::request::Parts;

/// Headers whose values are secrets of the agent for this very provider; nothing is looked for in them.
const CREDENTIALS: [&str; 3] = ["api-key", "authorization", "x-api-key"];

/// Detectors that find something in path, query or headers.
pub(super) fn detect(head: &Parts, detectors: &DetectorSet) -> BTreeSet<DetectorName> {
    texts(head).iter().flat_map(|text| detectors.detect(text)).collect()
}

/// True if the masker would change something in path, query or headers.
pub(super) fn is_touched(head: &Parts, masker: &Masker) -> bool {
    texts(head).iter().any(|text| masker.mask(text).count > 0)
}

/// A text of the request line without what the masker finds, also behind percent signs.
pub(super) fn masked(text: &str, masker: &Masker) -> String {
    let plain = masker.mask(text).text.into_owned();
    let behind = decoded(&plain);
    let masked = masker.mask(&behind);
    if masked.count == 0 { plain } else { masked.text.into_owned() }
}

fn texts(head: &Parts) -> Vec<String> {
    let line = std::iter::once(head.uri.path()).chain(head.uri.query());
    let line = line.flat_map(|raw| [raw.to_owned(), decoded(raw)]);
    let headers = head.headers.iter();
    let headers = headers.filter(|(name, _)| !CREDENTIALS.contains(&name.as_str()));
    let values = headers.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned());
    line.chain(values).collect()
}

/// A query as a form is read: `%40` is `@`, `+` is a space.
fn decoded(raw: &str) -> String {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escaped = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match (byte, escaped) {
            (b'%', Some(escaped)) => {
                bytes.push(escaped);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use enforcer_core::mask::{Builtin, DetectorKind, DetectorSpec, Style};
    use hyper::Request;

    use super::*;

    #[test]
    fn what_hides_in_path_query_or_headers_is_found() {
        let spec = DetectorSpec {
            name: DetectorName::new("email"),
            kind: DetectorKind::Builtin(Builtin::Email),
        };
        let masker = Masker::new(vec![(spec.clone(), Style::Label)]).unwrap();
        let detectors = DetectorSet::compile(vec![spec]).unwrap();
        let check = |uri: &str, header: (&str, &str)| {
            let request = Request::builder().uri(uri).header(header.0, header.1);
            let head = request.body(()).unwrap().into_parts().0;
            assert_eq!(is_touched(&head, &masker), !detect(&head, &detectors).is_empty());
            is_touched(&head, &masker)
        };
        assert!(check("/v1/x?user=ann@example.com", ("accept", "*/*")));
        assert!(check("/v1/x?user=ann%40example.com&x=%zz", ("accept", "*/*")));
        assert!(check("/v1/x", ("x-note", "ann@example.com")));
        assert!(check("/v1/files/ann%40example.com", ("accept", "*/*")));
        assert!(!check("/v1/x?a=b+c", ("authorization", "Bearer ann@example.com")));
        assert_eq!(masked("/files/ann%40example.com", &masker), "/files/[email]");
        assert_eq!(masked("/files/ann@example.com", &masker), "/files/[email]");
        assert_eq!(masked("/files/a%20b", &masker), "/files/a%20b");
    }
}
