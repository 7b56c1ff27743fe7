// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replaces bytes at some places of a body and leaves everything around them as it is.

use std::ops::Range;

/// One place of a body and what stands there instead.
#[derive(Clone, Debug)]
pub(super) struct Edit<'e> {
    /// Bytes of the body.
    pub(super) at: Range<usize>,
    /// What takes their place.
    pub(super) by: &'e [u8],
}

/// The body with the edits made; none if two of them overlap or one lies outside of the body.
pub(super) fn splice(body: &[u8], mut edits: Vec<Edit<'_>>) -> Option<Vec<u8>> {
    edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
    let added: usize = edits.iter().map(|edit| edit.by.len()).sum();
    let mut out = Vec::with_capacity(body.len().saturating_add(added));
    let mut done = 0;
    for edit in &edits {
        out.extend_from_slice(body.get(done..edit.at.start)?);
        out.extend_from_slice(edit.by);
        body.get(edit.at.clone())?;
        done = edit.at.end;
    }
    out.extend_from_slice(body.get(done..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(edits: &[(Range<usize>, &str)], expect: Option<&str>) {
        let edits = edits
            .iter()
            .map(|(at, by)| Edit { at: at.clone(), by: by.as_bytes() })
            .collect::<Vec<_>>();
        let found = splice(b"abcdef", edits).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(found.as_deref(), expect);
    }

    #[test]
    fn what_is_not_edited_stays() {
        check(&[], Some("abcdef"));
        check(&[(4..6, "XYZ"), (0..1, "")], Some("bcdXYZ"));
        check(&[(2..2, "-"), (2..3, "C")], Some("ab-Cdef"));
    }

    #[test]
    fn edits_that_overlap_or_lie_outside_are_refused() {
        check(&[(0..3, ""), (2..4, "")], None);
        check(&[(5..7, "")], None);
        #[expect(clippy::reversed_empty_ranges, reason = "the input that is refused")]
        check(&[(3..2, "")], None);
    }
}
