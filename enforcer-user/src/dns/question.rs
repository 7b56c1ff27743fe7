// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads a client's query: one plain question, or a reason why it is none.

use hickory_proto::op::{Message, OpCode, Query};
use hickory_proto::rr::{DNSClass, Name, RecordType};

use super::Refusal;

/// RFC 1035 section 4.1.1: bytes of the header.
const HEADER_BYTES: usize = 12;
/// Records beside the question: the options, and a signature nobody checks.
const ADDITIONALS_MAX: u16 = 2;
/// RFC 6891 section 6.2.3: what every client can take over UDP.
const UDP_BYTES_MIN: u16 = 512;

/// One question of a client.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The client's identifier.
    pub(super) id: u16,
    /// The question as it stood in the query, letter case included.
    pub(super) query: Query,
    /// The name: lower case, no trailing dot; escaped if it is no host name.
    pub(super) name: String,
    /// Whether the client wants recursion; echoed.
    pub(super) recursion: bool,
    /// The client's UDP size, if it speaks EDNS.
    pub(super) edns: Option<u16>,
}

impl Question {
    /// A question of our own, to read an answer by.
    pub(super) fn ours(name: &Name, kind: RecordType) -> Self {
        let query = Query::query(name.clone(), kind);
        Self { id: 0, query, name: text(name), recursion: true, edns: None }
    }

    /// The largest answer the client takes over UDP.
    pub(super) fn udp_bytes_max(&self) -> u16 {
        self.edns.unwrap_or(0).max(UDP_BYTES_MIN)
    }
}

/// What a client's bytes are.
#[derive(Debug)]
pub(super) enum Parsed {
    /// Not a query at all: no answer.
    Garbage,
    /// A query that cannot be read; its identifier.
    Malformed(u16),
    /// Not one plain question; its identifier and operation.
    Odd(u16, OpCode),
    /// One question; refused if it is about something else than a host name of class IN.
    Question(Question, Option<Refusal>),
}

/// Reads a query.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let Some(&[a, b, flags, _, q1, q0, n1, n0, s1, s0, r1, r0]) = bytes.first_chunk() else {
        return Parsed::Garbage;
    };
    // An answer that is answered would make a loop.
    if flags & 0x80 != 0 {
        return Parsed::Garbage;
    }
    let id = u16::from_be_bytes([a, b]);
    let operation = OpCode::from_u8((flags >> 3) & 0x0f);
    // The counts come first: the library reserves memory by them.
    let counts = [[q1, q0], [n1, n0], [s1, s0], [r1, r0]].map(u16::from_be_bytes);
    let is_plain = matches!(counts, [1, 0, 0, 0..=ADDITIONALS_MAX]);
    if operation != OpCode::Query || !is_plain || bytes.len() <= HEADER_BYTES {
        return Parsed::Odd(id, operation);
    }
    let Ok(message) = Message::from_vec(bytes) else { return Parsed::Malformed(id) };
    let Some(query) = message.queries.first() else { return Parsed::Malformed(id) };
    let name = text(&query.name);
    let is_plain = query.query_class == DNSClass::IN && is_host_name(&name);
    let question = Question {
        id,
        query: query.clone(),
        name,
        recursion: message.metadata.recursion_desired,
        edns: message.edns.as_ref().map(|edns| edns.max_payload()),
    };
    Parsed::Question(question, (!is_plain).then_some(Refusal::Form))
}

/// Whether records of this type may be asked for. Addresses and what leads to them; the others
/// (TXT, NULL, ANY and so on) carry free content both ways.
pub(super) fn is_asked(kind: RecordType) -> bool {
    matches!(
        kind,
        RecordType::A | RecordType::AAAA | RecordType::CNAME | RecordType::HTTPS | RecordType::SVCB
    )
}

/// A name as the rest of the house writes it.
pub(super) fn text(name: &Name) -> String {
    let mut text = name.to_ascii().to_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// Letters, digits, hyphens and underscores in labels of 1 to 63, 253 together.
pub(super) fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}
