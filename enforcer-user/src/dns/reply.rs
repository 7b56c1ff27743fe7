// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Builds what the client receives: always a new message that holds the client's question and the
//! records that belong to it, nothing else of what the upstream sent.

use std::net::IpAddr;
use std::time::Duration;

use enforcer_core::model::limits;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::svcb::{IpHint, Mandatory, SvcParamKey, SvcParamValue};
use hickory_proto::rr::rdata::{A, AAAA, SVCB};
use hickory_proto::rr::{RData, Record, RecordType};

use super::question::Question;

/// Seconds a client may keep an answer from `[upstream.resolve]`.
const FIXED_TTL_SECONDS: u32 = 60;
/// Aliases that are followed from the asked name.
const ALIASES_MAX: usize = 16;

/// How large an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// One datagram, as large as the client and we accept.
    Datagram,
    /// A stream: up to 64 KiB.
    Stream,
}

/// An answer without records.
pub(super) fn empty(question: &Question, code: ResponseCode) -> Message {
    let mut message = Message::response(question.id, OpCode::Query);
    message.metadata.recursion_desired = question.recursion;
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.queries.push(question.query.clone());
    if question.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(limits::DNS_UDP_BYTES_MAX);
        message.edns = Some(edns);
    }
    message
}

/// An answer to what is not one plain question: no record, not even the question.
pub(super) fn bare(id: u16, operation: OpCode, code: ResponseCode) -> Option<Vec<u8>> {
    Message::error_msg(id, operation, code).to_vec().ok()
}

/// An answer from `[upstream.resolve]`: the addresses of the asked family, or no data.
pub(super) fn fixed(question: &Question, addresses: &[IpAddr]) -> Message {
    let mut message = empty(question, ResponseCode::NoError);
    for address in addresses {
        let data = match (address, question.query.query_type) {
            (IpAddr::V4(v4), RecordType::A) => RData::A(A(*v4)),
            (IpAddr::V6(v6), RecordType::AAAA) => RData::AAAA(AAAA(*v6)),
            _ => continue,
        };
        let name = question.query.name.clone();
        message.answers.push(Record::from_rdata(name, FIXED_TTL_SECONDS, data));
    }
    message
}

/// An answer made of an upstream's answer.
pub(super) fn relayed(question: &Question, upstream: Message) -> Message {
    let mut message = empty(question, upstream.metadata.response_code);
    message.answers = chain(question, upstream.answers);
    if message.answers.iter().all(|record| record.record_type() == RecordType::CNAME) {
        // RFC 2308: the start of authority says how long "nothing" may be remembered.
        let mut authorities = upstream.authorities.into_iter();
        message.authorities.extend(authorities.find(|it| it.record_type() == RecordType::SOA));
    }
    message
}

/// The aliases from the asked name on and the records of the asked type at their end.
fn chain(question: &Question, records: Vec<Record>) -> Vec<Record> {
    let kind = question.query.query_type;
    let mut owner = question.query.name.clone();
    let mut kept = Vec::new();
    for _ in 0..ALIASES_MAX {
        let alias = records.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == owner => Some((record, target.0.clone())),
            _ => None,
        });
        let Some((record, target)) = alias else { break };
        kept.push(record.clone());
        owner = target;
    }
    if kind != RecordType::CNAME {
        let belongs = |record: &Record| record.record_type() == kind && record.name == owner;
        kept.extend(records.into_iter().filter(belongs).map(without_ech));
    }
    kept
}

/// Takes the `ech` parameter out of a service record, and out of its list of mandatory parameters:
/// a list that names a missing parameter would make clients drop the record (RFC 9460 section 8).
fn without_ech(mut record: Record) -> Record {
    match &mut record.data {
        RData::HTTPS(https) => strip(&mut https.0),
        RData::SVCB(svcb) => strip(svcb),
        _ => {}
    }
    record
}

fn strip(service: &mut SVCB) {
    for (_, value) in &mut service.svc_params {
        if let SvcParamValue::Mandatory(Mandatory(keys)) = value {
            keys.retain(|key| *key != SvcParamKey::EchConfigList);
        }
    }
    service.svc_params.retain(|(key, value)| {
        let is_empty =
            matches!(value, SvcParamValue::Mandatory(Mandatory(keys)) if keys.is_empty());
        *key != SvcParamKey::EchConfigList && !is_empty
    });
}

/// The addresses an answer gives, hints included, each with how long it holds.
pub(super) fn addresses(message: &Message) -> Vec<(IpAddr, Duration)> {
    let mut found = Vec::new();
    for record in &message.answers {
        let lasts = Duration::from_secs(record.ttl.into());
        match &record.data {
            RData::A(A(v4)) => found.push((IpAddr::V4(*v4), lasts)),
            RData::AAAA(AAAA(v6)) => found.push((IpAddr::V6(*v6), lasts)),
            RData::HTTPS(https) => found.extend(hints(&https.0).map(|hint| (hint, lasts))),
            RData::SVCB(svcb) => found.extend(hints(svcb).map(|hint| (hint, lasts))),
            _ => {}
        }
    }
    found
}

fn hints(service: &SVCB) -> impl Iterator<Item = IpAddr> {
    service.svc_params.iter().flat_map(|(_, value)| match value {
        SvcParamValue::Ipv4Hint(IpHint(v4)) => v4.iter().map(|a| IpAddr::V4(a.0)).collect(),
        SvcParamValue::Ipv6Hint(IpHint(v6)) => v6.iter().map(|a| IpAddr::V6(a.0)).collect(),
        _ => Vec::new(),
    })
}

/// The bytes of an answer; one that does not fit is cut to the question, and the client asks again
/// over TCP. Nothing if it cannot be written at all.
pub(super) fn encode(mut message: Message, question: &Question, reach: Reach) -> Option<Vec<u8>> {
    let limit = match reach {
        Reach::Datagram => question.udp_bytes_max().min(limits::DNS_UDP_BYTES_MAX),
        Reach::Stream => u16::MAX,
    };
    debug_assert_eq!(message.metadata.message_type, MessageType::Response);
    match message.to_vec() {
        Ok(bytes) if bytes.len() <= limit.into() => return Some(bytes),
        Ok(_) if reach == Reach::Datagram => {}
        _ => return None,
    }
    message.answers.clear();
    message.authorities.clear();
    message.metadata.truncation = true;
    message.to_vec().ok()
}
