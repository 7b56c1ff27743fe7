// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a client hello says before any of it is answered: the name, the protocols, and whether there
//! is an encrypted hello inside.
//!
//! The TLS library judges the bytes; only the extension list, which it does not show, is walked
//! here. It errs towards [`HelloParse::Invalid`].

use enforcer_core::model::limits;
use rustls::server::Acceptor;

/// RFC 9849 section 5, extension `encrypted_client_hello`.
const ECH: u16 = 0xfe0d;
/// RFC 8446 section 5.1, content type `handshake`.
const HANDSHAKE: u8 = 22;

/// What a client hello shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The server name: lower case, without a trailing dot, a valid DNS name, never an address.
    pub server_name: Option<String>,
    /// The application protocols offered, in the client's order.
    pub alpn: Vec<Vec<u8>>,
    /// Whether it carries an encrypted hello: the name above may then be the outer one, or the
    /// extension may be grease.
    pub has_ech: bool,
}

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloParse {
    /// A complete client hello.
    Hello(Hello),
    /// It began as TLS and is broken or larger than the limit.
    Invalid,
    /// So far it may become a client hello.
    NeedMore,
    /// Not TLS.
    NotTls,
}

/// Looks at the first bytes of a connection, which stay with the caller.
#[must_use]
pub fn parse_hello(bytes: &[u8]) -> HelloParse {
    match bytes.first() {
        None => return HelloParse::NeedMore,
        Some(&HANDSHAKE) => {}
        Some(_) => return HelloParse::NotTls,
    }
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    loop {
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let Some(has_ech) = has_ech(bytes) else { return HelloParse::Invalid };
                return HelloParse::Hello(Hello {
                    server_name: hello.server_name().map(normal),
                    alpn: hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect(),
                    has_ech,
                });
            }
            Ok(None) if rest.is_empty() => break,
            Ok(None) => {}
            Err(_) => return HelloParse::Invalid,
        }
        if !matches!(acceptor.read_tls(&mut rest), Ok(1..)) {
            return HelloParse::Invalid;
        }
    }
    if bytes.len() >= limits::SNIFF_BYTES_MAX { HelloParse::Invalid } else { HelloParse::NeedMore }
}

fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether the hello has the extension; nothing if its structure cannot be followed.
fn has_ech(bytes: &[u8]) -> Option<bool> {
    let message = handshake_bytes(bytes)?;
    let mut hello = Reader(&message);
    hello.take(4)?; // Message type and length.
    hello.take(2 + 32)?; // Version and random.
    hello.vector8()?; // Session id.
    hello.vector16()?; // Cipher suites.
    hello.vector8()?; // Compression methods.
    if hello.0.is_empty() {
        return Some(false);
    }
    let mut extensions = Reader(hello.vector16()?);
    let mut found = false;
    while !extensions.0.is_empty() {
        found |= extensions.u16()? == ECH;
        extensions.vector16()?;
    }
    Some(found)
}

/// The first handshake message, put together from its records.
fn handshake_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut records = Reader(bytes);
    let mut message = Vec::new();
    loop {
        if let Some(&[_, high, middle, low]) = message.first_chunk::<4>() {
            let end = 4 + usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?;
            if message.len() >= end {
                message.truncate(end);
                return Some(message);
            }
        }
        if records.take(1)? != [HANDSHAKE] {
            return None;
        }
        records.take(2)?; // Version.
        message.extend_from_slice(records.vector16()?);
    }
}

/// Takes bytes from the front of a slice; nothing when there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().copied().map(u16::from_be_bytes)
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let count = *self.take(1)?.first()?;
        self.take(count.into())
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let count = self.u16()?;
        self.take(count.into())
    }
}
