// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bytes that clients send, as their public sources write them: httpx (the Python SDKs), undici and
//! form-data-encoder (the JavaScript SDKs), curl, reqwest, OkHttp before 5 (with Content-Length), and
//! `MultipartContent` of .NET. The form of browsers is that of the HTML standard, with Chromium's boundary.

use crate::model::limits::FORM_BOUNDARY_BYTES_MAX;

use super::*;

/// Name, file name, content type and content of a part.
type Expected<'e> = (&'e str, Option<&'e str>, Option<&'e str>, &'e [u8]);

fn check(content_type: &str, body: &[u8], expect: &[Expected<'_>]) {
    let form = Form::read(Boundary::read(content_type).unwrap(), body).unwrap();
    let found: Vec<Expected<'_>> = form
        .parts()
        .iter()
        .map(|part| {
            let content = form.content(part);
            (part.name.as_str(), part.filename.as_deref(), part.content_type.as_deref(), content)
        })
        .collect();
    assert_eq!(found, expect, "{content_type}");
    assert_eq!(form.with(&[]).unwrap(), body, "{content_type}");
}

#[test]
fn httpx_is_understood() {
    check(
        "multipart/form-data; boundary=4f0c0e5f9d1b4f6c8a7be3d2c1a09f8e",
        b"--4f0c0e5f9d1b4f6c8a7be3d2c1a09f8e\r\n\
          Content-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
          --4f0c0e5f9d1b4f6c8a7be3d2c1a09f8e\r\n\
          Content-Disposition: form-data; name=\"expires_after[anchor]\"\r\n\r\ncreated_at\r\n\
          --4f0c0e5f9d1b4f6c8a7be3d2c1a09f8e\r\n\
          Content-Disposition: form-data; name=\"file\"; filename=\"a %22b%22.jsonl\"\r\n\
          Content-Type: application/octet-stream\r\n\r\n{}\n{}\n\r\n\
          --4f0c0e5f9d1b4f6c8a7be3d2c1a09f8e--\r\n",
        &[
            ("purpose", None, None, b"batch"),
            ("expires_after[anchor]", None, None, b"created_at"),
            ("file", Some("a \"b\".jsonl"), Some("application/octet-stream"), b"{}\n{}\n"),
        ],
    );
}

#[test]
fn undici_is_understood() {
    check(
        "multipart/form-data; boundary=----formdata-undici-048273919284",
        "------formdata-undici-048273919284\r\n\
         Content-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
         ------formdata-undici-048273919284\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"r\u{e9}sum\u{e9}%0A.mp3\"\r\n\
         Content-Type: audio/mpeg\r\n\r\n\r\n--\r\n\
         ------formdata-undici-048273919284--\r\n"
            .as_bytes(),
        &[
            ("model", None, None, b"whisper-1"),
            ("file", Some("r\u{e9}sum\u{e9}\n.mp3"), Some("audio/mpeg"), b"\r\n--"),
        ],
    );
}

#[test]
fn form_data_encoder_is_understood() {
    check(
        "multipart/form-data; boundary=form-data-boundary-n2vw38xdagaq6lrv",
        b"--form-data-boundary-n2vw38xdagaq6lrv\r\n\
          Content-Disposition: form-data; name=\"image[]\"; filename=\"a.png\"\r\n\
          Content-Type: image/png\r\n\r\n\x89PNG\r\n\x1a\n\r\n\
          --form-data-boundary-n2vw38xdagaq6lrv\r\n\
          Content-Disposition: form-data; name=\"image[]\"; filename=\"b.png\"\r\n\
          Content-Type: image/png\r\n\r\n\r\n\
          --form-data-boundary-n2vw38xdagaq6lrv--\r\n\r\n",
        &[
            ("image[]", Some("a.png"), Some("image/png"), b"\x89PNG\r\n\x1a\n"),
            ("image[]", Some("b.png"), Some("image/png"), b""),
        ],
    );
}

#[test]
fn curl_is_understood() {
    check(
        "multipart/form-data; boundary=------------------------pX2fLrM0qK8vT3nZ5yB7cD",
        b"--------------------------pX2fLrM0qK8vT3nZ5yB7cD\r\n\
          Content-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n\
          --------------------------pX2fLrM0qK8vT3nZ5yB7cD\r\n\
          Content-Disposition: form-data; name=\"file\"; filename=\"-----.txt\"\r\n\
          Content-Type: text/plain\r\n\r\n--------------------------\n\r\n\
          --------------------------pX2fLrM0qK8vT3nZ5yB7cD--\r\n",
        &[
            ("purpose", None, None, b"user_data"),
            ("file", Some("-----.txt"), Some("text/plain"), b"--------------------------\n"),
        ],
    );
}

#[test]
fn reqwest_is_understood() {
    check(
        "multipart/form-data; boundary=0123456789abcdef-0123456789abcdef-0123456789abcdef-0123456789abcdef",
        b"--0123456789abcdef-0123456789abcdef-0123456789abcdef-0123456789abcdef\r\n\
          Content-Disposition: form-data; name=\"file\"; filename=\"a b.md\"\r\n\
          Content-Type: text/markdown\r\n\r\n# A\r\n\
          --0123456789abcdef-0123456789abcdef-0123456789abcdef-0123456789abcdef--\r\n",
        &[("file", Some("a b.md"), Some("text/markdown"), b"# A")],
    );
}

#[test]
fn okhttp_is_understood() {
    check(
        "multipart/form-data; boundary=4b1d2f7a-3c5e-4e8b-9c0d-1a2b3c4d5e6f",
        b"--4b1d2f7a-3c5e-4e8b-9c0d-1a2b3c4d5e6f\r\n\
          Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
          Content-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\r\nabc\r\n\
          --4b1d2f7a-3c5e-4e8b-9c0d-1a2b3c4d5e6f--\r\n",
        &[("file", Some("a.txt"), Some("text/plain; charset=utf-8"), b"abc")],
    );
}

/// With a boundary as the OpenAI SDK for .NET makes it, and a file name set by itself:
/// `MultipartFormDataContent.Add` with a file name adds `filename*`, which is refused.
#[test]
fn dotnet_is_understood() {
    const BOUNDARY: &str = "=0Zk1_yXw2VuTs3RqPo4NmLk5JiHg6FeDc7BaZy8XwVu9TsRq=PoNmLkJiHgFeDcBaZyXw";
    assert_eq!(BOUNDARY.len(), FORM_BOUNDARY_BYTES_MAX);
    let with_file = |disposition: &str| {
        format!(
            "--{BOUNDARY}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Disposition: form-data; name=purpose\r\n\r\nbatch\r\n\
             --{BOUNDARY}\r\n{disposition}\r\n\r\n{{}}\r\n--{BOUNDARY}--\r\n"
        )
    };
    let content_type = format!("multipart/form-data; boundary=\"{BOUNDARY}\"");
    let by_itself = "Content-Disposition: form-data; name=file; filename=a.jsonl";
    check(
        &content_type,
        with_file(by_itself).as_bytes(),
        &[
            ("purpose", None, Some("text/plain; charset=utf-8"), b"batch"),
            ("file", Some("a.jsonl"), None, b"{}"),
        ],
    );
    let body = with_file(&format!("{by_itself}; filename*=utf-8''a.jsonl"));
    let refused = Form::read(Boundary::read(&content_type).unwrap(), body.as_bytes());
    assert_eq!(refused.unwrap_err(), Error::Part { part: 2, fault: Fault::Extended });
}

#[test]
fn chromium_is_understood() {
    check(
        "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
        b"------WebKitFormBoundary7MA4YWxkTrZu0gW\r\n\
          Content-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\
          Content-Type: application/octet-stream\r\n\r\n\r\n\
          ------WebKitFormBoundary7MA4YWxkTrZu0gW--\r\n",
        &[("file", Some(""), Some("application/octet-stream"), b"")],
    );
}

#[test]
fn a_form_without_parts_is_one() {
    check("multipart/form-data; boundary=7e57b0", b"--7e57b0--", &[]);
}
