// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Forms as the common clients write them, what is refused, and laws of reading and writing.

use proptest::prelude::*;

use super::*;

mod clients;
mod laws;
mod refused;

/// Reads a form whose boundary is `7e57b0`.
fn read(body: &[u8]) -> Result<Form<'_>, Error> {
    Form::read(boundary(), body)
}

fn boundary() -> Boundary {
    Boundary::read("multipart/form-data; boundary=7e57b0").unwrap()
}

/// A form with one part of these headers.
fn with_head(head: &str) -> Vec<u8> {
    format!("--7e57b0\r\n{head}\r\n\r\ntext\r\n--7e57b0--\r\n").into_bytes()
}

/// A form of plain fields.
fn with_fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (name, text) in fields {
        let head = format!("Content-Disposition: form-data; name=\"{name}\"");
        body.push_str(&format!("--7e57b0\r\n{head}\r\n\r\n{text}\r\n"));
    }
    body.push_str("--7e57b0--\r\n");
    body.into_bytes()
}
