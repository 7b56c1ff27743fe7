// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Content codings of a request body (RFC 9110 section 8.4): which ones a head declares, and the body without them.
//!
//! A body is decoded whole and within a bound, piece by piece, so that one that expands without end stops at the
//! bound. What is not exactly one valid stream, or several where the format permits it, is not understood: nothing
//! may follow it, nothing may be missing, and checksums must match. No coding is guessed from the bytes.

mod coding;
mod decode;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::model::{OpaqueCause, WhyOpaque, declared, limits};

use self::coding::Broken;
pub use self::coding::Coding;

/// The codings of one body in the order in which they were applied; `identity` is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codings(Vec<Coding>);

/// Why there is no decoded body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller has no memory for it.
    NoRoom,
    /// It is not what its head says, or larger than is read.
    Opaque(WhyOpaque),
}

impl Codings {
    /// The codings that the values of all `Content-Encoding` lines name together. Empty elements of the list are
    /// ignored (RFC 9110 section 5.6.1), so an empty list is no coding.
    ///
    /// # Errors
    /// One that is not known, or more than [`limits::CONTENT_CODINGS_MAX`].
    pub fn declared<'v>(values: impl Iterator<Item = &'v [u8]>) -> Result<Self, WhyOpaque> {
        let mut codings = Vec::new();
        for value in values {
            let value = String::from_utf8_lossy(value);
            for name in value.split(',').map(|name| name.trim_matches([' ', '\t'])) {
                if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                    continue;
                }
                let coding = Coding::named(name).ok_or_else(|| unknown(name))?;
                if codings.len() == limits::CONTENT_CODINGS_MAX {
                    return Err(too_many());
                }
                codings.push(coding);
            }
        }
        Ok(Self(codings))
    }

    /// True if the body is plain.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The body without its codings, of at most [`limits::REQUEST_BODY_BYTES_MAX`] bytes, as is what stands between
    /// two codings. `room` is asked for the memory of every piece before it is taken; refusing it ends the decoding.
    ///
    /// # Errors
    /// [`Fault`]; the cause is `too_large` beyond the bound, and `encoding` otherwise.
    pub fn undo<'b>(
        &self,
        body: &'b [u8],
        room: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Cow<'b, [u8]>, Fault> {
        let mut plain = Cow::Borrowed(body);
        for &coding in self.0.iter().rev() {
            let decoded = decode::decode(coding, &plain, limits::REQUEST_BODY_BYTES_MAX, room);
            plain = Cow::Owned(decoded.map_err(|broken| fault(broken, coding))?);
        }
        Ok(plain)
    }
}

fn fault(broken: Broken, coding: Coding) -> Fault {
    let name = coding.as_str();
    let encoding = |detail: String| WhyOpaque::because(OpaqueCause::Encoding, detail);
    let limit = limits::REQUEST_BODY_BYTES_MAX / (1024 * 1024);
    Fault::Opaque(match broken {
        Broken::NoRoom => return Fault::NoRoom,
        Broken::Corrupt => {
            encoding(format!("the body is declared as `{name}` and is not valid {name}"))
        }
        Broken::Garbage => {
            encoding(format!("more bytes follow after the end of the `{name}` body"))
        }
        Broken::Large => WhyOpaque::because(
            OpaqueCause::TooLarge,
            format!(
                "the `{name}` body has more than {limit} MiB when it is decompressed, which is the limit"
            ),
        ),
        Broken::Members => encoding(format!(
            "the `{name}` body has more than {} members or frames",
            limits::CODING_MEMBERS_MAX
        )),
        Broken::Truncated => encoding(format!("the `{name}` body is not complete")),
        Broken::Window => encoding(format!(
            "the `{name}` body needs a window of more than {} MiB (RFC 9659)",
            (1_u64 << limits::ZSTD_WINDOW_LOG_MAX) / (1024 * 1024)
        )),
    })
}

fn unknown(name: &str) -> WhyOpaque {
    let name = declared(name);
    let detail = format!("the body is compressed with {name}, which is not supported");
    WhyOpaque::because(OpaqueCause::Encoding, detail)
}

fn too_many() -> WhyOpaque {
    let most = limits::CONTENT_CODINGS_MAX;
    let detail = format!("the body has more than {most} content codings, one inside the other");
    WhyOpaque::because(OpaqueCause::Encoding, detail)
}
