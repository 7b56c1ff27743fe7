// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What two readers could read differently.

use super::*;

fn check_form(body: &[u8], fault: Fault) {
    let shown = String::from_utf8_lossy(body);
    assert_eq!(read(body).unwrap_err(), Error::Form(fault), "{shown:?}");
}

fn check_body(body: &[u8], fault: Fault) {
    let shown = String::from_utf8_lossy(body);
    assert_eq!(read(body).unwrap_err(), Error::Part { part: 1, fault }, "{shown:?}");
}

fn check_head(head: &str, fault: Fault) {
    check_body(&with_head(head), fault);
}

const NAME: &str = "Content-Disposition: form-data; name=\"a\"";

#[test]
fn what_stands_before_or_after_the_parts_is_refused() {
    let body = with_fields(&[("a", "b")]);
    for preamble in ["\r\n", "\n", " ", "text\r\n", "-"] {
        check_form(&[preamble.as_bytes(), &body].concat(), Fault::Preamble);
    }
    for epilogue in ["x", "\r\nx", "\r\n\r\n", "\n", "--7e57b0--\r\n"] {
        check_form(&[&body, epilogue.as_bytes()].concat(), Fault::Epilogue);
    }
    check_form(b"", Fault::Preamble);
    check_form(b"--7e57b", Fault::Preamble);
    check_form(b"--7e57b1--\r\n", Fault::Preamble);
}

#[test]
fn a_boundary_that_only_some_readers_take_for_one_is_refused() {
    for content in [
        "b\n--7e57b0\r\nc",
        "b\r--7e57b0\r\nc",
        "b\r\n--7e57b0\nc",
        "b\r\n--7e57b0 \r\nc",
        "b\r\n--7e57b0\t\r\nc",
        "b\r\n--7e57b01\r\nc",
        "b\r\n--7e57b0-\r\nc",
        "b\r\n---7e57b0\r\nc",
        "b\r\n7e57b0\r\nc",
        "b--7e57b0--",
        "7e57b0",
        "--7e57b0",
    ] {
        check_form(&with_fields(&[("a", content)]), Fault::BoundaryInside);
    }
    // The line end between headers and content would have to serve twice.
    check_body(
        &format!("--7e57b0\r\n{NAME}\r\n\r\n--7e57b0--\r\n").into_bytes(),
        Fault::HeadUnfinished,
    );
    check_form(b"--7e57b0\r\n--7e57b0--\r\n", Fault::BoundaryInside);
    let filename = with_head(&format!("{NAME}; filename=\"7e57b0\""));
    check_form(&filename, Fault::BoundaryInside);
}

#[test]
fn headers_that_readers_read_differently_are_refused() {
    for (head, fault) in [
        ("Content-Type: text/plain", Fault::Disposition),
        ("Content-Disposition: attachment; name=\"a\"", Fault::Disposition),
        ("Content-Disposition: form-data", Fault::Disposition),
        ("Content-Disposition: form-data; filename=\"a\"", Fault::Disposition),
        ("Content-Disposition: form-data; name=\"a\"; size=1", Fault::Disposition),
        ("Content-Disposition: form-data; name=\"a\"; name=\"b\"", Fault::ParameterTwice),
        ("Content-Disposition: form-data; name=\"a\"; filename*=utf-8''b", Fault::Extended),
        ("Content-Disposition: form-data; name*=utf-8''a", Fault::Extended),
        ("Content-Disposition: form-data; name=\"a\\\"b\"", Fault::Backslash),
        ("Content-Disposition: form-data; name=\"a\"; filename=\"b\\\\c\"", Fault::Backslash),
        ("Content-Disposition: form-data, name=\"a\"", Fault::Disposition),
        ("Content-Disposition: form-data; name=\"a", Fault::Parameter),
        ("Content-Disposition form-data; name=\"a\"", Fault::Header),
        ("Content-Disposition : form-data; name=\"a\"", Fault::Header),
        ("Content-Disposition: form-data; name=\"a\u{0}\"", Fault::Header),
        ("Content-Disposition:\n form-data; name=\"a\"", Fault::LineEnd),
        ("Content-Disposition: form-data;\r name=\"a\"", Fault::LineEnd),
        ("Content-Disposition: form-data;\r\n name=\"a\"", Fault::Parameter),
        ("", Fault::Header),
    ] {
        check_head(head, fault);
    }
    check_body(
        b"--7e57b0\r\nContent-Disposition: form-data; name=\"\xe9\"\r\n\r\n\r\n--7e57b0--",
        Fault::Header,
    );
    check_form(b"--7e57b0\n\r\n--7e57b0--", Fault::BoundaryInside);
    check_body(b"--7e57b0\r\na: b\n\ntext\r\n--7e57b0--", Fault::LineEnd);
    check_body(b"--7e57b0\r\ntext\r\n--7e57b0--", Fault::HeadUnfinished);
}

#[test]
fn more_headers_than_forms_have_are_refused() {
    for (more, fault) in [
        (NAME, Fault::HeaderTwice),
        ("content-disposition: form-data; name=\"b\"", Fault::HeaderTwice),
        (" folded: x", Fault::Folded),
        ("X-Note: alice", Fault::UnknownHeader),
        ("Content-Encoding: gzip", Fault::UnknownHeader),
        ("Content-Type: multipart/mixed; boundary=x", Fault::Nested),
        ("Content-Type: Multipart/Form-Data", Fault::Nested),
        ("Content-Type: text/plain; charset=utf-16", Fault::Charset),
        ("Content-Type: text/plain; charset=utf-8; charset=utf-7", Fault::ParameterTwice),
        ("Content-Type: text", Fault::Header),
        ("Content-Type:", Fault::Header),
        ("Content-Transfer-Encoding: base64", Fault::TransferEncoding),
        ("Content-Transfer-Encoding: quoted-printable", Fault::TransferEncoding),
        ("Content-Length: 3", Fault::Length),
        ("Content-Length: +4", Fault::Length),
        ("Content-Length: 99999999999999999999", Fault::Length),
        ("Content-Length:", Fault::Length),
    ] {
        check_head(&format!("{NAME}\r\n{more}"), fault);
    }
    for more in [
        "Content-Transfer-Encoding: Binary",
        "content-length: 4",
        "CONTENT-TYPE:text/csv;header=present",
    ] {
        assert_eq!(
            read(&with_head(&format!("{NAME}\r\n{more}"))).unwrap().parts().len(),
            1,
            "{more}"
        );
    }
}

#[test]
fn names_that_readers_read_differently_are_refused() {
    for name in ["", "m%6fdel", "=?utf-8?q?model?=", "a b", "a;b", "mod\u{e9}l", "a'b"] {
        check_head(&format!("Content-Disposition: form-data; name=\"{name}\""), Fault::Name);
    }
    check_head("Content-Disposition: form-data; name=\"_Charset_\"", Fault::Charset);
    for filename in ["a; name=model", "=?utf-8?q?a?="] {
        check_head(&format!("{NAME}; filename=\"{filename}\""), Fault::FileName);
    }
}

#[test]
fn forms_beyond_the_bounds_are_refused() {
    let fields = |count| with_fields(&vec![("a", "b"); count]);
    assert_eq!(read(&fields(FORM_PARTS_MAX)).unwrap().parts().len(), FORM_PARTS_MAX);
    check_form(&fields(FORM_PARTS_MAX + 1), Fault::TooManyParts);

    let head = |filename| format!("{NAME}; filename=\"{}\"", "x".repeat(filename));
    let room = FORM_PART_HEAD_BYTES_MAX - head(0).len();
    assert_eq!(read(&with_head(&head(room))).unwrap().parts().len(), 1);
    check_head(&head(room + 1), Fault::HeadTooLarge);
}

#[test]
fn a_field_that_can_be_taken_for_another_makes_no_fact() {
    let field = |fields: &[(&str, &str)], name: &str| {
        let body = with_fields(fields);
        read(&body).unwrap().field(name).map(|text| text.map(ToOwned::to_owned))
    };
    let twice = |name: &str| Err(Error::Field { name: name.to_owned(), fault: Fault::Twice });
    assert_eq!(field(&[("purpose", "batch"), ("model", "m")], "model"), Ok(Some("m".to_owned())));
    assert_eq!(field(&[("models", "m"), ("submodel", "m")], "model"), Ok(None));
    for decoy in ["model", "Model", "model[]", "model[0]", "model[a]", "model.a", "MODEL[]"] {
        assert_eq!(field(&[("model", "m"), (decoy, "n")], "model"), twice("model"), "{decoy}");
        assert_eq!(field(&[(decoy, "n"), ("model", "m")], "model"), twice("model"), "{decoy}");
    }
    for lone in ["Model", "model[]", "model.a"] {
        assert_eq!(field(&[(lone, "m")], "model"), twice("model"), "{lone}");
    }
    let anchor = "after[anchor]";
    assert_eq!(field(&[(anchor, "x"), ("after[seconds]", "1")], anchor), Ok(Some("x".to_owned())));
    for decoy in [anchor, "after[Anchor]", "after.anchor", "after[anchor][]", "after"] {
        assert_eq!(field(&[(anchor, "x"), (decoy, "y")], anchor), twice(anchor), "{decoy}");
    }
}

#[test]
fn a_file_or_bytes_make_no_fact() {
    let fault = |body: &[u8]| read(body).unwrap().field("a").unwrap_err();
    let error = |fault| Error::Field { name: "a".to_owned(), fault };
    assert_eq!(fault(&with_head(&format!("{NAME}; filename=\"\""))), error(Fault::IsFile));
    let bytes = [format!("--7e57b0\r\n{NAME}\r\n\r\n").as_bytes(), b"\xff\r\n--7e57b0--"].concat();
    assert_eq!(fault(&bytes), error(Fault::NotText));
}

#[test]
fn a_change_that_another_reader_could_read_differently_is_refused() {
    let body = with_head(&format!("{NAME}; filename=\"b\""));
    let form = read(&body).unwrap();
    let fault = |change: Change| match form.with(&[change]).unwrap_err() {
        Error::Change { part, fault } => (part, fault),
        error => panic!("{error}"),
    };
    let content = |text: &str| Change { content: Some(text.into()), ..Change::default() };
    let filename = |name: &str| Change { filename: Some(name.to_owned()), ..Change::default() };
    assert_eq!(fault(content("x 7e57b0")), (1, Fault::HasBoundary));
    assert_eq!(fault(filename("7e57b0")), (1, Fault::HasBoundary));
    assert_eq!(fault(filename("a\\b")), (1, Fault::Backslash));
    assert_eq!(fault(filename("a;b")), (1, Fault::FileName));
    assert_eq!(fault(filename("a\u{0}")), (1, Fault::FileName));
    assert_eq!(fault(Change { part: 1, ..content("x") }), (2, Fault::NoPlace));
    let twice = form.with(&[content("x"), content("y")]);
    assert_eq!(twice, Err(Error::Form(Fault::NoPlace)));

    let plain = with_head(&NAME.replace('"', ""));
    let named = read(&plain).unwrap().with(&[filename("a")]);
    assert_eq!(named, Err(Error::Change { part: 1, fault: Fault::NoPlace }));
}
