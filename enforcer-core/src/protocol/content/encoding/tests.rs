// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every coding undone, alone and stacked, and every way in which a body can be broken.

use std::io::Write as _;

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;

const ALL: [Coding; 4] = [Coding::Brotli, Coding::Deflate, Coding::Gzip, Coding::Zstd];
const TEXT: &[u8] =
    br#"{"model":"gpt-4.1","messages":[{"role":"user","content":"hi hi hi hi hi"}]}"#;

fn encoded(coding: Coding, body: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match coding {
        Coding::Brotli => {
            let mut out = Vec::new();
            let params = brotli::enc::BrotliEncoderParams { quality: 5, ..Default::default() };
            brotli::BrotliCompress(&mut &*body, &mut out, &params).unwrap();
            out
        }
        Coding::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Zstd => zstd::stream::encode_all(body, 3).unwrap(),
    }
}

fn declared(values: &[&str]) -> Result<Codings, WhyOpaque> {
    Codings::declared(values.iter().map(|value| value.as_bytes()))
}

fn undo(name: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    undo_within(name, body, usize::MAX)
}

/// As [`undo`], with memory for this many bytes.
fn undo_within(name: &str, body: &[u8], mut room: usize) -> Result<Vec<u8>, String> {
    let mut grow = |more: usize| match room.checked_sub(more) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    match declared(&[name]).unwrap().undo(body, &mut grow) {
        Ok(plain) => Ok(plain.into_owned()),
        Err(Fault::NoRoom) => Err("no room".to_owned()),
        Err(Fault::Opaque(why)) => {
            Err(format!("{}: {}", why.cause.as_str(), why.detail.unwrap_or_default()))
        }
    }
}

#[test]
fn the_codings_of_a_head_are_read_as_one_list() {
    let codings = |values: &[&str]| declared(values).unwrap().0;
    assert_eq!(codings(&[]), []);
    assert_eq!(codings(&["identity"]), []);
    assert_eq!(codings(&[""]), []);
    assert_eq!(codings(&[" , ,"]), []);
    assert_eq!(codings(&["GZip"]), [Coding::Gzip]);
    assert_eq!(codings(&["x-gzip,\tidentity"]), [Coding::Gzip]);
    assert_eq!(codings(&["deflate, br"]), [Coding::Deflate, Coding::Brotli]);
    assert_eq!(codings(&["zstd", "gzip"]), [Coding::Zstd, Coding::Gzip]);
    let refused = |values: &[&str]| declared(values).unwrap_err();
    let unknown = refused(&["gzip, xyz"]);
    assert_eq!(unknown.cause, OpaqueCause::Encoding);
    assert_eq!(
        unknown.explained(),
        "the body is compressed with `xyz`, which is not supported; send it as the API documents it (JSON as \
         `application/json` in UTF-8), plain or with gzip, br, zstd or deflate"
    );
    let many = refused(&["gzip, gzip", "br"]).detail.unwrap();
    assert_eq!(many, "the body has more than 2 content codings, one inside the other");
    assert_eq!(refused(&["gzip;q=1"]).cause, OpaqueCause::Encoding);
}

#[test]
fn every_coding_is_undone_also_where_it_stands_several_times() {
    for coding in ALL {
        for text in [b"".as_slice(), TEXT] {
            let body = encoded(coding, text);
            assert_eq!(undo(coding.as_str(), &body).unwrap(), text, "{coding:?}");
        }
    }
    let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    raw.write_all(TEXT).unwrap();
    assert_eq!(undo("deflate", &raw.finish().unwrap()).unwrap(), TEXT, "without zlib around it");
    for coding in [Coding::Gzip, Coding::Zstd] {
        let two = [encoded(coding, b"one"), encoded(coding, b"two")].concat();
        assert_eq!(undo(coding.as_str(), &two).unwrap(), b"onetwo", "{coding:?}");
    }
    let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], &*encoded(Coding::Zstd, TEXT)];
    assert_eq!(undo("zstd", &skipped.concat()).unwrap(), TEXT);
}

#[test]
fn what_is_not_whole_valid_streams_is_refused_by_name() {
    for coding in ALL {
        let name = coding.as_str();
        let body = encoded(coding, TEXT);
        for cut in 0..body.len() {
            let why = undo(name, &body[..cut]).unwrap_err();
            assert_eq!(why, format!("encoding: the `{name}` body is not complete"), "{cut}");
        }
        let with_more = [&body, b"x".as_slice()].concat();
        let why = undo(name, &with_more).unwrap_err();
        assert_eq!(why, format!("encoding: more bytes follow after the end of the `{name}` body"));
        let why = undo(name, TEXT).unwrap_err();
        assert!(why.starts_with("encoding: the "), "{why}");
    }
    for coding in [Coding::Brotli, Coding::Deflate] {
        let two = [encoded(coding, b"one"), encoded(coding, b"two")].concat();
        assert!(undo(coding.as_str(), &two).unwrap_err().contains("more bytes follow"));
    }
    for coding in [Coding::Gzip, Coding::Deflate] {
        let mut body = encoded(coding, TEXT);
        // Its checksum.
        let at = body.len() - if coding == Coding::Gzip { 5 } else { 1 };
        body[at] ^= 1;
        assert!(undo(coding.as_str(), &body).unwrap_err().contains("is not valid"), "{coding:?}");
    }
    let many = encoded(Coding::Gzip, b"").repeat(limits::CODING_MEMBERS_MAX + 1);
    assert!(undo("gzip", &many).unwrap_err().contains("more than 1024 members"));
    let most = encoded(Coding::Gzip, b"x").repeat(limits::CODING_MEMBERS_MAX);
    assert_eq!(undo("gzip", &most).unwrap().len(), limits::CODING_MEMBERS_MAX);
}

#[test]
fn a_window_beyond_the_one_for_http_is_refused() {
    let with_window = |log: u32| {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.set_parameter(zstd::zstd_safe::CParameter::WindowLog(log)).unwrap();
        encoder.write_all(TEXT).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(undo("zstd", &with_window(23)).unwrap(), TEXT);
    let why = undo("zstd", &with_window(24)).unwrap_err();
    assert_eq!(why, "encoding: the `zstd` body needs a window of more than 8 MiB (RFC 9659)");
    // A single segment of 4 GiB.
    let single = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0];
    assert!(undo("zstd", &single).unwrap_err().contains("needs a window"));
    // Brotli with its large windows: 0x11 in the first byte (draft-vandevenne-shared-brotli-format).
    assert!(undo("br", &[0x11, 30, 0x03]).is_err());
}

/// Zeros that take next to nothing under the coding, made without holding them.
fn bomb(coding: Coding, mebibytes: usize) -> Vec<u8> {
    let zeros = vec![0; 1024 * 1024];
    let level = flate2::Compression::best();
    match coding {
        Coding::Brotli => {
            let params = brotli::enc::BrotliEncoderParams { quality: 5, ..Default::default() };
            let mut writer = brotli::CompressorWriter::with_params(Vec::new(), 1 << 20, &params);
            (0..mebibytes).for_each(|_| writer.write_all(&zeros).unwrap());
            writer.into_inner()
        }
        Coding::Deflate => {
            let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
            (0..mebibytes).for_each(|_| writer.write_all(&zeros).unwrap());
            writer.finish().unwrap()
        }
        Coding::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            (0..mebibytes).for_each(|_| writer.write_all(&zeros).unwrap());
            writer.finish().unwrap()
        }
        Coding::Zstd => {
            let mut writer = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
            (0..mebibytes).for_each(|_| writer.write_all(&zeros).unwrap());
            writer.finish().unwrap()
        }
    }
}

#[test]
fn a_body_that_expands_ends_at_the_bound_and_at_the_memory() {
    let most = limits::REQUEST_BODY_BYTES_MAX;
    let mebibytes = most / (1024 * 1024);
    for coding in ALL {
        let name = coding.as_str();
        let largest = bomb(coding, mebibytes);
        assert!(largest.len() < 64 * 1024, "{name}: {}", largest.len());
        assert_eq!(undo(name, &largest).unwrap().len(), most, "{name}");
        let larger = bomb(coding, mebibytes + 1);
        let why = undo(name, &larger).unwrap_err();
        assert!(
            why.starts_with(&format!("too_large: the `{name}` body has more than 32 MiB")),
            "{why}"
        );
        // The memory that is asked for shows how far it went.
        let mut asked = 0;
        let codings = declared(&[name]).unwrap();
        let far = bomb(coding, mebibytes * 4);
        assert!(
            codings
                .undo(&far, &mut |more| {
                    asked += more;
                    true
                })
                .is_err()
        );
        assert!(asked <= most, "{name}: {asked}");
        assert_eq!(undo_within(name, &largest, 1024 * 1024).unwrap_err(), "no room", "{name}");
    }
    let twice = encoded(Coding::Gzip, &bomb(Coding::Gzip, mebibytes + 1));
    assert!(undo("gzip, gzip", &twice).unwrap_err().starts_with("too_large"));
}

fn coding() -> impl Strategy<Value = Coding> {
    prop::sample::select(ALL.as_slice())
}

proptest! {
    #[test]
    fn what_was_encoded_is_what_is_read(
        body in prop::collection::vec(any::<u8>(), 0..4096), repeats in 1..40_usize,
        inner in coding(), outer in coding(), is_stacked: bool,
    ) {
        let body = body.repeat(repeats);
        let once = encoded(inner, &body);
        let (names, sent) = if is_stacked {
            (format!("{}, {}", inner.as_str(), outer.as_str()), encoded(outer, &once))
        } else {
            (inner.as_str().to_owned(), once)
        };
        prop_assert_eq!(undo(&names, &sent).unwrap(), body);
    }

    #[test]
    fn bytes_of_any_kind_never_break_a_decoder(
        body in prop::collection::vec(any::<u8>(), 0..512), coding in coding(), at in 0..200_usize,
    ) {
        drop(undo(coding.as_str(), &body));
        let mut valid = encoded(coding, TEXT);
        for (index, byte) in body.iter().take(4).enumerate() {
            let length = valid.len();
            valid[(at + index * 7) % length] ^= byte;
        }
        let read = undo_within(coding.as_str(), &valid, 1024 * 1024);
        prop_assert!(read.map_or(0, |plain| plain.len()) <= 1024 * 1024);
    }
}
