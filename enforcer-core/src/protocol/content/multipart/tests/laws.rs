// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What holds for every form.

use std::fmt::Write as _;

use super::*;

/// A part as a test writes it.
#[derive(Clone, Debug)]
struct Written {
    name: String,
    filename: Option<String>,
    content_type: Option<&'static str>,
    has_length: bool,
    content: Vec<u8>,
}

fn written() -> impl Strategy<Value = Written> {
    let name = "[a-z_]{1,8}(\\[[a-z]{0,3}\\])?";
    let filename = prop::option::of("[a-z\u{e9}.\"\r\n %-]{0,8}");
    let types = vec![None, Some("text/plain"), Some("application/jsonl; charset=UTF-8")];
    let pieces =
        vec![b"\r\n".as_slice(), b"\n", b"--", b"7e57b", b"\r", b"\x00\xff", b"text", b"\r\n--"];
    let content = prop::collection::vec(prop::sample::select(pieces), 0..6);
    (name, filename, prop::sample::select(types), prop::bool::ANY, content).prop_map(
        |(name, filename, content_type, has_length, content)| Written {
            name,
            filename,
            content_type,
            has_length,
            content: content.concat(),
        },
    )
}

fn write(parts: &[Written]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        let mut head =
            format!("--7e57b0\r\nContent-Disposition: form-data; name=\"{}\"", part.name);
        if let Some(name) = &part.filename {
            write!(head, "; filename=\"{}\"", head::escape_filename(name).unwrap()).unwrap();
        }
        if let Some(kind) = part.content_type {
            write!(head, "\r\nContent-Type: {kind}").unwrap();
        }
        if part.has_length {
            write!(head, "\r\nContent-Length: {}", part.content.len()).unwrap();
        }
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(&part.content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--7e57b0--\r\n");
    body
}

fn check(parts: &[Written], body: &[u8]) -> Result<(), TestCaseError> {
    let form = read(body).unwrap();
    prop_assert_eq!(form.parts().len(), parts.len());
    for (found, part) in form.parts().iter().zip(parts) {
        prop_assert_eq!(&found.name, &part.name);
        prop_assert_eq!(&found.filename, &part.filename);
        prop_assert_eq!(found.content_type.as_deref(), part.content_type);
        prop_assert_eq!(form.content(found), part.content.as_slice());
    }
    Ok(())
}

/// Where the boundaries of a form stand, without the hyphens around them.
fn boundaries(body: &[u8]) -> Vec<usize> {
    memmem::find_iter(body, "7e57b0").collect()
}

#[test]
fn a_changed_part_has_its_new_length() {
    let head = "Content-Length: 4\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"";
    let body = with_head(head);
    let change =
        Change { part: 0, content: Some(b"longer text".into()), filename: Some("\"".into()) };
    let out = read(&body).unwrap().with(&[change]).unwrap();
    let expect = "--7e57b0\r\nContent-Length: 11\r\nContent-Disposition: form-data; name=\"a\"; \
                  filename=\"%22\"\r\n\r\nlonger text\r\n--7e57b0--\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expect);
}

/// The worst case of a search that begins anew at each byte: 69 comparisons for each of 8 Mi bytes.
#[test]
fn a_content_of_nothing_but_beginnings_of_the_boundary_is_read() {
    let hyphens = "-".repeat(69);
    let content_type = format!("multipart/form-data; boundary={hyphens}x");
    let boundary = Boundary::read(&content_type).unwrap();
    let content = b"-".repeat(8 * 1024 * 1024);
    let head = format!("--{hyphens}x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n");
    let body = [head.as_bytes(), &content, format!("\r\n--{hyphens}x--").as_bytes()].concat();
    let form = Form::read(boundary, &body).unwrap();
    assert_eq!(form.content(&form.parts()[0]).len(), content.len());
}

proptest! {
    #[test]
    fn what_is_written_is_read(parts in prop::collection::vec(written(), 0..5)) {
        let body = write(&parts);
        check(&parts, &body)?;
        prop_assert_eq!(read(&body).unwrap().with(&[]).unwrap(), body);
    }

    #[test]
    fn changing_parts_is_writing_them_otherwise(
        before in prop::collection::vec(written(), 0..5),
        others in prop::collection::vec((written(), prop::bool::ANY), 5),
    ) {
        let body = write(&before);
        let mut after = before.clone();
        let mut changes = Vec::new();
        for ((index, part), (other, is_changed)) in after.iter_mut().enumerate().zip(others) {
            if is_changed {
                let filename = part.filename.is_some().then(|| other.filename.unwrap_or_default());
                part.content.clone_from(&other.content);
                part.filename.clone_from(&filename);
                changes.push(Change { part: index, content: Some(other.content), filename });
            }
        }
        let out = read(&body).unwrap().with(&changes).unwrap();
        prop_assert_eq!(&out, &write(&after));
        check(&after, &out)?;
    }

    #[test]
    fn a_form_that_is_cut_off_is_refused(parts in prop::collection::vec(written(), 0..4)) {
        let body = write(&parts);
        let end = body.len() - "\r\n".len();
        prop_assert!(read(&body[..end]).is_ok());
        for cut in 0..end {
            prop_assert!(read(&body[..cut]).is_err(), "cut at {}", cut);
        }
    }

    #[test]
    fn a_delimiter_with_another_byte_is_refused(
        parts in prop::collection::vec(written(), 1..4),
        bit in 0_u32..8,
    ) {
        let body = write(&parts);
        let places = boundaries(&body);
        for at in &places {
            // CRLF and hyphens before it, the line end or hyphens behind it.
            for place in (at.saturating_sub(4)..*at).chain(at + 6..at + 8) {
                let mut other = body.clone();
                other[place] ^= 1 << bit;
                prop_assert!(read(&other).is_err(), "byte {}", place);
            }
            for place in *at..at + 6 {
                let mut other = body.clone();
                other[place] ^= 1 << bit;
                let found = read(&other).map(|form| form.parts().len());
                let is_inner = at != &places[0] && Some(at) != places.last();
                // A boundary that is none any more is content of the part before it.
                let is_fine = found.is_err() || is_inner && found == Ok(parts.len() - 1);
                prop_assert!(is_fine, "byte {}: {:?}", place, found);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(pieces in prop::collection::vec(prop::sample::select(vec![
        b"--7e57b0".as_slice(), b"--", b"7e57b0", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\xff", b" ", b":", b";",
        b"Content-Disposition: form-data; name=\"a\"", b"; filename=\"%22%\"", b"Content-Length: 2", b"ab",
    ]), 0..16)) {
        let mut body = b"--7e57b0\r\n".to_vec();
        body.extend(pieces.concat());
        for end in ["", "\r\n--7e57b0--"] {
            body.extend_from_slice(end.as_bytes());
            if let Ok(form) = read(&body) {
                let mut end = 0;
                for part in form.parts() {
                    prop_assert!(part.content.start >= end && part.content.end >= part.content.start);
                    end = part.content.end;
                }
                prop_assert_eq!(form.with(&[]).unwrap(), body.clone());
            }
        }
    }
}
