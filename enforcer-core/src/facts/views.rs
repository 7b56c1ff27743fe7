// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ways in which somebody may read a text of a head. Errs to one more.

use crate::mask::unescaped;

/// The ways in which a text of a head may be read: as sent, as a form, as a form with JSON, and as a form that
/// somebody on the way has encoded once more.
pub(super) const VIEWS: [fn(&str) -> String; 4] = [
    str::to_owned,
    decoded,
    |raw| unescaped(&decoded(raw)).into_owned(),
    |raw| decoded(&decoded(raw)),
];

/// Where JSON may begin and end in a text: at its first bracket, and at the first one of each field of a
/// form. Before these comes the text as a whole; no end is the end of the text.
pub(super) fn json_places(text: &str) -> Vec<(usize, Option<usize>)> {
    let mut places = vec![(0, None)];
    let mut add = |from: usize, field: &str, to: Option<usize>| {
        if let Some(at) = field.find(['{', '[']) {
            places.push((from + at, to));
        }
    };
    add(0, text, None);
    let mut from = 0;
    for field in text.split('&') {
        let to = from + field.len();
        add(from, field, Some(to));
        from = to + 1;
    }
    places
}

/// A query as a form is read: `%40` is `@`, `+` is a space.
pub(super) fn decoded(raw: &str) -> String {
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
