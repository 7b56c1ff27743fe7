// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Undoing one content coding, a piece of at most [`PIECE_BYTES`] at a time.

use std::io::{ErrorKind, Read};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::read::Decoder as ZstdDecoder;

use super::coding::{Broken, Coding};
use crate::model::limits;

/// Bytes that are decoded before the bound and the memory are looked at.
const PIECE_BYTES: usize = 64 * 1024;
/// How a member of gzip begins (RFC 1952 section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// How a frame of zstd begins (RFC 8878 section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A body without this coding, of at most `most` bytes.
pub(super) fn decode(
    coding: Coding,
    body: &[u8],
    most: usize,
    room: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<u8>, Broken> {
    let mut plain = Plain { bytes: Vec::new(), most, room };
    match coding {
        Coding::Brotli => brotli(body, &mut plain)?,
        Coding::Deflate => deflate(body, &mut plain)?,
        Coding::Gzip => members(body, &mut plain, is_gzip, gzip_member)?,
        Coding::Zstd => members(body, &mut plain, is_zstd, zstd_frame)?,
    }
    // The capacity that growing left over is nobody's memory.
    plain.bytes.shrink_to_fit();
    Ok(plain.bytes)
}

/// What is decoded so far, within its bounds.
struct Plain<'r> {
    bytes: Vec<u8>,
    most: usize,
    room: &'r mut dyn FnMut(usize) -> bool,
}

impl Plain<'_> {
    fn push(&mut self, piece: &[u8]) -> Result<(), Broken> {
        if piece.len() > self.most.saturating_sub(self.bytes.len()) {
            return Err(Broken::Large);
        }
        if !(self.room)(piece.len()) {
            return Err(Broken::NoRoom);
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Takes all that a decoder has.
    fn pull(&mut self, decoder: &mut dyn Read) -> Result<(), Broken> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match decoder.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => self.push(piece.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err(Broken::Truncated);
                }
                Err(_invalid) => return Err(Broken::Corrupt),
            }
        }
    }
}

/// Decodes members or frames that follow one another: as many as the format permits, and at least one.
fn members<'b>(
    body: &'b [u8],
    plain: &mut Plain<'_>,
    is_one: fn(&[u8]) -> bool,
    decode: fn(&'b [u8], &mut Plain<'_>) -> Result<&'b [u8], Broken>,
) -> Result<(), Broken> {
    let mut rest = body;
    for number in 0..limits::CODING_MEMBERS_MAX {
        match (rest.is_empty(), number) {
            (true, 0) => return Err(Broken::Truncated),
            (true, _) => return Ok(()),
            (false, 0) => {}
            (false, _) if is_one(rest) => {}
            (false, _) => return Err(Broken::Garbage),
        }
        rest = decode(rest, plain)?;
    }
    if rest.is_empty() { Ok(()) } else { Err(Broken::Members) }
}

fn is_gzip(body: &[u8]) -> bool {
    body.starts_with(&GZIP_MAGIC)
}

fn gzip_member<'b>(body: &'b [u8], plain: &mut Plain<'_>) -> Result<&'b [u8], Broken> {
    let mut decoder = GzDecoder::new(body);
    plain.pull(&mut decoder)?;
    Ok(decoder.into_inner())
}

/// A frame of data, or one to be skipped (RFC 8878 section 3.1.2).
fn is_zstd(body: &[u8]) -> bool {
    body.starts_with(&ZSTD_MAGIC)
        || matches!(body, [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50)
}

fn zstd_frame<'b>(body: &'b [u8], plain: &mut Plain<'_>) -> Result<&'b [u8], Broken> {
    if window_bytes(body).is_some_and(|bytes| bytes > 1 << limits::ZSTD_WINDOW_LOG_MAX) {
        return Err(Broken::Window);
    }
    let decoder = ZstdDecoder::with_buffer(body).map_err(|_no_memory| Broken::NoRoom)?;
    let mut decoder = decoder.single_frame();
    decoder.window_log_max(limits::ZSTD_WINDOW_LOG_MAX).map_err(|_refused| Broken::Window)?;
    plain.pull(&mut decoder)?;
    Ok(decoder.finish())
}

/// The window that the head of a frame asks for (RFC 8878 section 3.1.1.1). For a single segment it is the size of its
/// content.
fn window_bytes(frame: &[u8]) -> Option<u64> {
    let (&descriptor, rest) = frame.strip_prefix(&ZSTD_MAGIC)?.split_first()?;
    if descriptor & 0x20 == 0 {
        let &window = rest.first()?;
        let base = 1_u64 << (10 + u32::from(window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let dictionary_id = [0, 1, 2, 4].into_iter().nth(usize::from(descriptor & 3))?;
    let size = rest.get(dictionary_id..)?;
    Some(match (descriptor >> 6, size) {
        (0, &[size, ..]) => size.into(),
        (1, &[a, b, ..]) => u64::from(u16::from_le_bytes([a, b])) + 256,
        (2, &[a, b, c, d, ..]) => u32::from_le_bytes([a, b, c, d]).into(),
        (3, &[a, b, c, d, e, f, g, h, ..]) => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => return None,
    })
}

/// RFC 9110 section 8.4.1.2 means the zlib format, and notes that some clients send the bare stream. The first two
/// bytes say which: those of zlib are a multiple of 31 and name the method 8 (RFC 1950 section 2.2).
fn deflate(body: &[u8], plain: &mut Plain<'_>) -> Result<(), Broken> {
    let is_zlib = matches!(body, &[method, flags, ..]
        if method & 0x0f == 8 && method >> 4 <= 7 && u16::from_be_bytes([method, flags]) % 31 == 0);
    let mut decoder = Decompress::new(is_zlib);
    let mut piece = vec![0; PIECE_BYTES];
    let mut rest = body;
    loop {
        let (read_before, made_before) = (decoder.total_in(), decoder.total_out());
        let status = decoder.decompress(rest, &mut piece, FlushDecompress::None);
        let status = status.map_err(|_invalid| Broken::Corrupt)?;
        let count = |after: u64, before: u64| usize::try_from(after - before).unwrap_or(usize::MAX);
        let (read, made) =
            (count(decoder.total_in(), read_before), count(decoder.total_out(), made_before));
        rest = rest.get(read..).unwrap_or_default();
        plain.push(piece.get(..made).unwrap_or_default())?;
        match status {
            Status::StreamEnd if rest.is_empty() => return Ok(()),
            Status::StreamEnd => return Err(Broken::Garbage),
            Status::Ok | Status::BufError if read == 0 && made == 0 => {
                return Err(Broken::Truncated);
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

/// SECURITY: only windows of RFC 7932, of at most 16 MiB; the format has an extension with windows of up to 1 GiB.
fn brotli(body: &[u8], plain: &mut Plain<'_>) -> Result<(), Broken> {
    let alloc = StandardAlloc::default;
    let mut state = BrotliState::new_strict(alloc(), alloc(), alloc());
    let mut piece = vec![0; PIECE_BYTES];
    let (mut left, mut offset, mut total) = (body.len(), 0, 0);
    loop {
        let (mut free, mut made) = (piece.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut offset,
            body,
            &mut free,
            &mut made,
            &mut piece,
            &mut total,
            &mut state,
        );
        plain.push(piece.get(..made).unwrap_or_default())?;
        match result {
            BrotliResult::ResultSuccess if left == 0 => return Ok(()),
            BrotliResult::ResultSuccess => return Err(Broken::Garbage),
            BrotliResult::NeedsMoreInput => return Err(Broken::Truncated),
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultFailure => return Err(Broken::Corrupt),
        }
    }
}
