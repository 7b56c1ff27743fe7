// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What does it speak? Looks at the first bytes, at most [`limits::SNIFF_BYTES_MAX`] of them and for at
//! most [`limits::HANDSHAKE_TIMEOUT`]. What it cannot tell is [`Sniffed::Other`], which is refused.

use bytes::{Bytes, BytesMut};
use enforcer_core::model::limits;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Prefixed;
use crate::tls::{Hello, HelloParse, parse_hello};

/// What the first bytes are.
#[derive(Debug)]
pub enum Sniffed {
    /// The start of an HTTP/1 request, or the HTTP/2 preface, in the clear.
    Http,
    /// Something else, with the reason in words.
    Other(&'static str),
    /// A whole TLS client hello.
    Tls(Hello),
}

/// Reads until the protocol is clear, and returns the stream with those bytes put back.
pub async fn sniff<S: AsyncRead + Unpin>(mut stream: S) -> (Sniffed, Prefixed<S>) {
    let mut seen = BytesMut::with_capacity(2048);
    let found = tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, look(&mut stream, &mut seen)).await;
    let found = found.unwrap_or(Sniffed::Other("silent for too long"));
    (found, Prefixed::new(Bytes::from(seen), stream))
}

async fn look<S: AsyncRead + Unpin>(stream: &mut S, seen: &mut BytesMut) -> Sniffed {
    loop {
        match stream.read_buf(seen).await {
            Ok(0) => return Sniffed::Other("closed before it said anything whole"),
            Err(_reset) => return Sniffed::Other("broke off before it said anything whole"),
            Ok(_) => {}
        }
        if let Some(found) = classify(seen) {
            return found;
        }
        if seen.len() >= limits::SNIFF_BYTES_MAX {
            return Sniffed::Other("first flight larger than the limit");
        }
    }
}

/// None while more bytes are needed.
fn classify(seen: &[u8]) -> Option<Sniffed> {
    // RFC 8446 section 5.1: content type 22 is a handshake record.
    if seen.first() == Some(&22) {
        return match parse_hello(seen) {
            HelloParse::Hello(hello) => Some(Sniffed::Tls(hello)),
            HelloParse::Invalid | HelloParse::NotTls => {
                Some(Sniffed::Other("not a valid TLS client hello"))
            }
            HelloParse::NeedMore => None,
        };
    }
    // RFC 9110 section 9.1: a method is a token, and all registered ones are capital letters.
    let method = seen.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    match seen.get(method) {
        Some(b' ') if (3..=16).contains(&method) => Some(Sniffed::Http),
        None if method <= 16 => None,
        _ => Some(Sniffed::Other("neither TLS nor HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_and_garbage_are_told_apart_however_they_arrive() {
        assert!(matches!(classify(b"GET / HTTP/1.1\r\n"), Some(Sniffed::Http)));
        assert!(matches!(classify(b"PRI * HTTP/2.0\r\n"), Some(Sniffed::Http)));
        assert!(classify(b"POS").is_none());
        assert!(matches!(classify(b"SSH-2.0-x\r\n"), Some(Sniffed::Other(_))));
        assert!(matches!(classify(&[0, 0, 0, 8]), Some(Sniffed::Other(_))));
        assert!(matches!(classify(&[22, 9, 9, 9, 9, 9, 9]), Some(Sniffed::Other(_))));
    }

    #[tokio::test]
    async fn the_bytes_that_were_looked_at_are_read_again() {
        let (sniffed, mut stream) = sniff(&b"GET /x HTTP/1.1\r\n\r\nrest"[..]).await;
        assert!(matches!(sniffed, Sniffed::Http));
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "GET /x HTTP/1.1\r\n\r\nrest");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends() {
        let (client, server) = tokio::io::duplex(64);
        let (sniffed, _stream) = sniff(server).await;
        assert!(matches!(sniffed, Sniffed::Other("silent for too long")));
        drop(client);
    }
}
