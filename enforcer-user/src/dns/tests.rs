// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The resolver against a stand-in for the host's resolver on loopback.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::model::{AgentName, limits};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::svcb::{
    Alpn, EchConfigList, IpHint, Mandatory, SvcParamKey, SvcParamValue,
};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HTTPS, SOA, SVCB};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::reply::Reach;
use super::{Answer, Config, Error, Failure, Names, Outcome, Refusal, Resolver};

mod served;

const NAME: &str = "api.openai.com";
const PATIENCE: Duration = Duration::from_secs(20);

fn agent() -> AgentName {
    AgentName::new("support")
}

/// Everything under `openai.com` is used by an endpoint of the agent.
struct Openai;

impl Names for Openai {
    fn allows(&self, agent: &AgentName, name: &str) -> bool {
        *agent == self::agent() && (name == "openai.com" || name.ends_with(".openai.com"))
    }
}

/// A resolver on loopback, over UDP and TCP at one port. It ends when it is dropped.
struct Fake {
    address: SocketAddr,
    /// Every query that arrived, and whether it came over TCP.
    seen: mpsc::UnboundedReceiver<(Vec<u8>, bool)>,
    _tasks: JoinSet<()>,
}

impl Fake {
    /// `answer` gives the messages to send for one query.
    async fn start<F>(answer: F) -> Self
    where
        F: Fn(&Message, bool) -> Vec<Vec<u8>> + Send + Sync + 'static,
    {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            match TcpListener::bind(udp.local_addr().unwrap()).await {
                Ok(tcp) => break (udp, tcp),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
            }
        };
        let address = udp.local_addr().unwrap();
        let (tell, seen) = mpsc::unbounded_channel();
        let (answer, told) = (Arc::new(answer), tell.clone());
        let mut tasks = JoinSet::new();
        let over_udp = Arc::clone(&answer);
        tasks.spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((count, peer)) = udp.recv_from(&mut buffer).await {
                let query = Message::from_vec(&buffer[..count]).unwrap();
                told.send((buffer[..count].to_vec(), false)).unwrap();
                for reply in over_udp(&query, false) {
                    udp.send_to(&reply, peer).await.unwrap();
                }
            }
        });
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let mut query = vec![0; stream.read_u16().await.unwrap().into()];
                stream.read_exact(&mut query).await.unwrap();
                tell.send((query.clone(), true)).unwrap();
                for reply in answer(&Message::from_vec(&query).unwrap(), true) {
                    stream.write_all(&super::relay::framed(&reply).unwrap()).await.unwrap();
                }
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    /// Answers every question with these records.
    async fn with(records: Vec<Record>) -> Self {
        Self::start(move |query, _| vec![wire(&reply(query, records.clone()))]).await
    }

    /// One that says nothing.
    async fn silent() -> Self {
        Self::start(|_, _| Vec::new()).await
    }

    fn resolver(&self) -> Resolver {
        resolver(vec![self.address], 512, PATIENCE)
    }

    fn was_asked(&mut self) -> bool {
        self.seen.try_recv().is_ok()
    }
}

/// A port that answers "unreachable" as long as this is held: it hears nobody but its peer.
async fn closed() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, 1)).await.unwrap();
    socket
}

fn resolver(upstream: Vec<SocketAddr>, places: usize, patience: Duration) -> Resolver {
    let fixed = |all: &[&str]| all.iter().map(|it| it.parse().unwrap()).collect();
    let fixed = BTreeMap::from([
        (
            "Fixed.OpenAI.com.".to_owned(),
            fixed(&["10.0.0.7:443", "10.0.0.7:8443", "[2001:db8::7]:443", "[::ffff:10.0.0.8]:443"]),
        ),
        ("elsewhere.example".to_owned(), fixed(&["10.0.0.9:443"])),
    ]);
    Resolver::with_limits(Config { upstream, fixed }, Arc::new(Openai), places, patience)
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

fn record(owner: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(name(owner), ttl, data)
}

fn v4(owner: &str, last: u8) -> Record {
    record(owner, 300, RData::A(A::new(192, 0, 2, last)))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn query(text: &str, kind: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.queries.push(Query::query(name(text), kind));
    message
}

fn wire(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

/// The fake's answer to a query.
fn reply(query: &Message, records: Vec<Record>) -> Message {
    let mut message = Message::response(query.metadata.id, OpCode::Query);
    message.metadata.authoritative = true;
    message.queries.clone_from(&query.queries);
    message.answers = records;
    message
}

async fn ask(resolver: &Resolver, text: &str, kind: RecordType) -> (Message, Outcome) {
    let Answer { reply, outcome } = resolver.answer(&agent(), &wire(&query(text, kind))).await;
    (Message::from_vec(&reply.unwrap()).unwrap(), outcome)
}

fn refused(name: &str, refusal: Refusal) -> Outcome {
    Outcome::Refused { name: name.to_owned(), refusal }
}

#[tokio::test]
async fn fixed_names_are_answered_here_and_remembered() {
    let mut fake = Fake::silent().await;
    let resolver = fake.resolver();
    let (message, outcome) = ask(&resolver, "fixed.openai.com", RecordType::A).await;
    let given: Vec<_> = message.answers.iter().map(|it| (it.ttl, it.data.to_string())).collect();
    assert_eq!(given, [(60, "10.0.0.7".to_owned()), (60, "10.0.0.8".to_owned())]);
    let addresses = vec![ip("10.0.0.7"), ip("10.0.0.8")];
    assert_eq!(outcome, Outcome::Fixed { name: "fixed.openai.com".to_owned(), addresses });
    let (message, _) = ask(&resolver, "FIXED.openai.com", RecordType::AAAA).await;
    assert_eq!(message.answers[0].data, RData::AAAA(AAAA("2001:db8::7".parse().unwrap())));
    let (message, _) = ask(&resolver, "fixed.openai.com", RecordType::HTTPS).await;
    assert_eq!(message.metadata.response_code, ResponseCode::NoError);
    assert!(message.answers.is_empty());
    assert_eq!(resolver.memory().name_of(ip("10.0.0.8")), ["fixed.openai.com"]);
    let ports = resolver.fixed_addresses("fixed.OPENAI.com").unwrap();
    assert_eq!(ports[1].port(), 8443);
    assert_eq!(resolver.fixed_addresses(NAME), None);
    assert!(!fake.was_asked());
}

#[tokio::test]
async fn a_fixed_name_that_no_endpoint_uses_is_refused_all_the_same() {
    let (_, outcome) =
        ask(&Fake::silent().await.resolver(), "elsewhere.example", RecordType::A).await;
    assert_eq!(outcome, refused("elsewhere.example", Refusal::Name));
}

#[tokio::test]
async fn an_allowed_name_is_asked_anew_and_nothing_else_of_the_query_leaves() {
    let mut fake = Fake::with(vec![v4(NAME, 1)]).await;
    let resolver = fake.resolver();
    let mut odd = query("aPi.OpenAI.cOm", RecordType::A);
    odd.metadata.checking_disabled = true;
    odd.metadata.authentic_data = true;
    let mut edns = Edns::new();
    edns.set_dnssec_ok(true).set_max_payload(4096);
    edns.options_mut().insert(EdnsOption::Unknown(EdnsCode::Cookie.into(), b"covert".to_vec()));
    odd.edns = Some(edns);
    let Answer { reply, outcome } = resolver.answer(&agent(), &wire(&odd)).await;
    let message = Message::from_vec(&reply.unwrap()).unwrap();
    assert_eq!(message.metadata.id, 0x1234);
    assert!(message.metadata.recursion_available && !message.metadata.authoritative);
    assert!(message.queries[0].name.eq_ignore_root_case(&name("aPi.OpenAI.cOm")));
    assert_eq!(message.answers, [v4(NAME, 1)]);
    assert_eq!(message.edns.unwrap().max_payload(), limits::DNS_UDP_BYTES_MAX);
    let addresses = vec![ip("192.0.2.1")];
    assert_eq!(outcome, Outcome::Answered { name: NAME.to_owned(), addresses });

    let (sent, _) = fake.seen.try_recv().unwrap();
    let mut plain = query(NAME, RecordType::A);
    plain.metadata.id = u16::from_be_bytes([sent[0], sent[1]]);
    let mut edns = Edns::new();
    edns.set_max_payload(limits::DNS_UDP_BYTES_MAX);
    plain.edns = Some(edns);
    assert_eq!(sent, wire(&plain));
    assert!(!fake.was_asked());
}

#[tokio::test]
async fn every_question_has_its_own_identifier_upstream() {
    let mut fake = Fake::with(vec![v4(NAME, 1)]).await;
    let resolver = fake.resolver();
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..8 {
        ask(&resolver, NAME, RecordType::A).await;
        let (sent, _) = fake.seen.try_recv().unwrap();
        ids.insert([sent[0], sent[1]]);
    }
    assert!(ids.len() > 1, "{ids:?}");
}

#[tokio::test]
async fn names_no_endpoint_uses_and_kinds_that_carry_content_are_refused_unasked() {
    async fn check(text: &str, kind: RecordType, expect: Refusal) {
        let mut fake = Fake::with(vec![v4(NAME, 1)]).await;
        let (message, outcome) = ask(&fake.resolver(), text, kind).await;
        assert_eq!(message.metadata.response_code, ResponseCode::Refused, "{text} {kind}");
        assert_eq!(message.queries.len(), 1);
        assert_eq!(outcome, refused(&text.to_ascii_lowercase(), expect), "{text} {kind}");
        assert!(!fake.was_asked(), "{text} {kind}");
    }
    check("c2VjcmV0.evil.example", RecordType::A, Refusal::Name).await;
    check("api.openai.com.evil.example", RecordType::AAAA, Refusal::Name).await;
    check("7.2.0.192.in-addr.arpa", RecordType::PTR, Refusal::Name).await;
    check(NAME, RecordType::TXT, Refusal::Kind(16)).await;
    check(NAME, RecordType::NULL, Refusal::Kind(10)).await;
    check(NAME, RecordType::ANY, Refusal::Kind(255)).await;
    check(NAME, RecordType::MX, Refusal::Kind(15)).await;
    check(NAME, RecordType::AXFR, Refusal::Kind(252)).await;
    check(NAME, RecordType::Unknown(4711), Refusal::Kind(4711)).await;
}

#[tokio::test]
async fn what_is_not_one_plain_question_is_refused_unasked() {
    async fn check(what: &str, spoil: impl FnOnce(&mut Message)) {
        let mut fake = Fake::with(vec![v4(NAME, 1)]).await;
        let mut message = query(NAME, RecordType::A);
        spoil(&mut message);
        let Answer { reply, outcome } = fake.resolver().answer(&agent(), &wire(&message)).await;
        let reply = Message::from_vec(&reply.unwrap()).unwrap();
        assert_eq!(reply.metadata.id, 0x1234, "{what}");
        assert_eq!(reply.metadata.response_code, ResponseCode::Refused, "{what}");
        let is_form = matches!(outcome, Outcome::Refused { refusal: Refusal::Form, .. });
        assert!(is_form, "{what}: {outcome:?}");
        assert!(!fake.was_asked(), "{what}");
    }
    check("no question", |it| it.queries.clear()).await;
    check("two", |it| it.queries.push(Query::query(name(NAME), RecordType::AAAA))).await;
    check("class", |it| it.queries[0].query_class = DNSClass::CH).await;
    check("update", |it| it.metadata.op_code = OpCode::Update).await;
    check("notify", |it| it.metadata.op_code = OpCode::Notify).await;
    check("answer", |it| it.answers.push(v4(NAME, 1))).await;
    check("authority", |it| it.authorities.push(v4(NAME, 1))).await;
    check("additional", |it| it.additionals.extend([1, 2, 3].map(|n| v4(NAME, n)))).await;
    check("root", |it| it.queries[0].name = Name::root()).await;
    let odd = Name::from_labels([b"a b\n".as_slice(), b"openai", b"com"]).unwrap();
    check("spaces", move |it| it.queries[0].name = odd).await;
}

#[tokio::test]
async fn garbage_gets_no_answer_or_a_format_error_and_never_a_panic() {
    let fake = Fake::silent().await;
    let resolver = resolver(vec![fake.address], 0, PATIENCE);
    let valid = wire(&query(NAME, RecordType::A));
    for cut in 0..12 {
        let answer = resolver.answer(&agent(), &valid[..cut]).await;
        assert_eq!(answer, Answer { reply: None, outcome: Outcome::Garbage }, "{cut}");
    }
    let answer = resolver.answer(&agent(), &valid[..20]).await;
    let message = Message::from_vec(&answer.reply.unwrap()).unwrap();
    assert_eq!(message.metadata.response_code, ResponseCode::FormErr);
    assert_eq!(answer.outcome, Outcome::Garbage);
    let mut response = valid.clone();
    response[2] |= 0x80;
    assert_eq!(resolver.answer(&agent(), &response).await.reply, None);
    for at in 0..valid.len() {
        for flip in 1..=255 {
            let mut bytes = valid.clone();
            bytes[at] ^= flip;
            if let Some(reply) = resolver.answer(&agent(), &bytes).await.reply {
                assert_eq!(reply[..2], bytes[..2]);
            }
        }
    }
}

#[tokio::test]
async fn the_ech_parameter_is_taken_out_and_the_others_stay() {
    let hint = SvcParamValue::Ipv4Hint(IpHint(vec![A::new(192, 0, 2, 9)]));
    let alpn = SvcParamValue::Alpn(Alpn(vec!["h2".to_owned()]));
    let ech = SvcParamValue::EchConfigList(EchConfigList(vec![1, 2, 3]));
    let mandatory = |keys: &[SvcParamKey]| {
        (SvcParamKey::Mandatory, SvcParamValue::Mandatory(Mandatory(keys.to_vec())))
    };
    let service =
        |params: Vec<_>| record(NAME, 300, RData::HTTPS(HTTPS(SVCB::new(1, Name::root(), params))));
    let alpn = (SvcParamKey::Alpn, alpn);
    let hint = (SvcParamKey::Ipv4Hint, hint);
    let ech = (SvcParamKey::EchConfigList, ech);
    let both = mandatory(&[SvcParamKey::Alpn, SvcParamKey::EchConfigList]);
    let fake = Fake::with(vec![
        service(vec![both, alpn.clone(), hint.clone(), ech.clone()]),
        service(vec![mandatory(&[SvcParamKey::EchConfigList]), ech]),
    ])
    .await;
    let resolver = fake.resolver();
    let (message, outcome) = ask(&resolver, NAME, RecordType::HTTPS).await;
    let expect = [service(vec![mandatory(&[SvcParamKey::Alpn]), alpn, hint]), service(Vec::new())];
    assert_eq!(message.answers, expect);
    let addresses = vec![ip("192.0.2.9")];
    assert_eq!(outcome, Outcome::Answered { name: NAME.to_owned(), addresses });
    assert!(resolver.memory().is_known(NAME, ip("192.0.2.9")));
}

#[tokio::test]
async fn addresses_behind_aliases_are_remembered_for_the_asked_name_alone() {
    let alias = |from: &str, to: &str| record(from, 300, RData::CNAME(CNAME(name(to))));
    let fake = Fake::with(vec![
        v4("edge.cdn.example", 5),
        alias("a.cdn.example", "edge.cdn.example"),
        v4("unrelated.example", 6),
        alias(NAME, "a.cdn.example"),
        record("edge.cdn.example", 300, RData::AAAA(AAAA("2001:db8::5".parse().unwrap()))),
    ])
    .await;
    let resolver = fake.resolver();
    let (message, _) = ask(&resolver, NAME, RecordType::A).await;
    let owners: Vec<_> = message.answers.iter().map(|it| it.name.to_ascii()).collect();
    assert_eq!(owners, ["api.openai.com.", "a.cdn.example.", "edge.cdn.example."]);
    assert_eq!(resolver.memory().name_of(ip("192.0.2.5")), [NAME]);
    assert_eq!(resolver.memory().name_of(ip("192.0.2.6")), [""; 0]);
    assert_eq!(resolver.memory().name_of(ip("2001:db8::5")), [""; 0]);
}

#[tokio::test]
async fn aliases_in_a_circle_end() {
    let alias = |from: &str, to: &str| record(from, 300, RData::CNAME(CNAME(name(to))));
    let fake = Fake::with(vec![alias(NAME, "b.example"), alias("b.example", NAME)]).await;
    let (message, _) = ask(&fake.resolver(), NAME, RecordType::A).await;
    assert_eq!(message.answers.len(), 16);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_passed_on_with_its_authority() {
    let soa = SOA::new(name("ns.example"), name("root.example"), 1, 2, 3, 4, 60);
    let soa = record("openai.com", 60, RData::SOA(soa));
    let authorities = vec![v4("ns.example", 1), soa.clone()];
    let fake = Fake::start(move |query, _| {
        let mut message = reply(query, Vec::new());
        message.metadata.response_code = ResponseCode::NXDomain;
        message.authorities.clone_from(&authorities);
        message.additionals = vec![v4("ns.example", 1)];
        vec![wire(&message)]
    })
    .await;
    let (message, outcome) = ask(&fake.resolver(), "typo.openai.com", RecordType::A).await;
    assert_eq!(message.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(message.authorities, [soa]);
    assert!(message.additionals.is_empty());
    assert!(matches!(outcome, Outcome::Answered { addresses, .. } if addresses.is_empty()));
}

#[tokio::test]
async fn answers_that_do_not_match_are_passed_over() {
    let fake = Fake::start(|query, _| {
        let mut wrong_id = reply(query, vec![v4(NAME, 66)]);
        wrong_id.metadata.id ^= 1;
        let mut wrong_name = reply(query, vec![v4(NAME, 66)]);
        wrong_name.queries[0].name = name("other.openai.com");
        let mut wrong_kind = reply(query, vec![v4(NAME, 66)]);
        wrong_kind.queries[0].query_type = RecordType::AAAA;
        let mut no_answer = reply(query, vec![v4(NAME, 66)]);
        no_answer.metadata.message_type = MessageType::Query;
        let mut many = wire(&reply(query, Vec::new()));
        many[4..6].fill(0xff);
        let spoofed = [wrong_id, wrong_name, wrong_kind, no_answer].map(|it| wire(&it));
        let right = wire(&reply(query, vec![v4(NAME, 1)]));
        spoofed.into_iter().chain([many, vec![0; 3], right]).collect()
    })
    .await;
    let (message, _) = ask(&fake.resolver(), NAME, RecordType::A).await;
    assert_eq!(message.answers, [v4(NAME, 1)]);
}

#[tokio::test]
async fn a_cut_answer_is_asked_for_again_over_tcp() {
    let mut fake = Fake::start(|query, over_tcp| {
        let mut message = reply(query, Vec::new());
        message.metadata.truncation = !over_tcp;
        if over_tcp {
            message.answers = (1..=200).map(|last| v4(NAME, last)).collect();
        }
        vec![wire(&message)]
    })
    .await;
    let (message, _) = ask(&fake.resolver(), NAME, RecordType::A).await;
    assert_eq!(message.answers.len(), 200);
    assert!(!message.metadata.truncation);
    assert!(!fake.seen.try_recv().unwrap().1);
    assert!(fake.seen.try_recv().unwrap().1);
}

#[tokio::test]
async fn an_answer_larger_than_a_client_takes_is_cut_for_datagrams_only() {
    async fn check(edns: Option<u16>, reach: Reach, records: u8, expect: bool) {
        let records: Vec<_> = (0..records).map(|last| v4(NAME, last)).collect();
        let fake = Fake::with(records.clone()).await;
        let resolver = fake.resolver();
        let mut message = query(NAME, RecordType::A);
        message.edns = edns.map(|size| {
            let mut edns = Edns::new();
            edns.set_max_payload(size);
            edns
        });
        let place = resolver.admit();
        let answer = resolver.answer_within(Some(&agent()), &wire(&message), place, reach).await;
        let reply = Message::from_vec(&answer.reply.unwrap()).unwrap();
        assert_eq!(reply.metadata.truncation, expect, "{edns:?} {reach:?} {}", records.len());
        assert_eq!(reply.answers.is_empty(), expect);
    }
    check(None, Reach::Datagram, 20, false).await;
    check(None, Reach::Datagram, 40, true).await;
    check(Some(100), Reach::Datagram, 20, false).await;
    check(Some(4096), Reach::Datagram, 40, false).await;
    check(Some(4096), Reach::Datagram, 100, true).await;
    check(None, Reach::Stream, 100, false).await;
}

#[tokio::test]
async fn the_next_resolver_is_asked_when_one_turns_the_question_down() {
    let broken = Fake::start(|query, _| {
        let mut message = reply(query, Vec::new());
        message.metadata.response_code = ResponseCode::ServFail;
        vec![wire(&message)]
    })
    .await;
    let closed = closed().await;
    let good = Fake::with(vec![v4(NAME, 1)]).await;
    let resolver =
        resolver(vec![broken.address, closed.local_addr().unwrap(), good.address], 512, PATIENCE);
    let (message, _) = ask(&resolver, NAME, RecordType::A).await;
    assert_eq!(message.answers.len(), 1);
}

#[tokio::test]
async fn a_resolver_that_stumbles_over_options_is_asked_without_them() {
    let fake = Fake::start(|query, _| {
        let mut message = reply(query, vec![v4(NAME, 1)]);
        if query.edns.is_some() {
            message.answers.clear();
            message.metadata.response_code = ResponseCode::FormErr;
        }
        vec![wire(&message)]
    })
    .await;
    let (message, _) = ask(&fake.resolver(), NAME, RecordType::A).await;
    assert_eq!(message.answers.len(), 1);
}

#[tokio::test]
async fn a_question_that_gets_no_answer_ends_in_servfail() {
    async fn check(upstream: Vec<SocketAddr>, expect: Failure) {
        let resolver = resolver(upstream, 512, Duration::from_millis(50));
        let (message, outcome) = ask(&resolver, NAME, RecordType::A).await;
        assert_eq!(message.metadata.response_code, ResponseCode::ServFail);
        assert_eq!(outcome, Outcome::Failed { name: NAME.to_owned(), failure: expect });
        let error = resolver.lookup(NAME).await.unwrap_err();
        assert!(matches!(error, Error::Lookup { source, .. } if source == expect), "{error:?}");
    }
    let silent = Fake::silent().await;
    let closed = closed().await;
    let refusing = Fake::start(|query, _| {
        let mut message = reply(query, Vec::new());
        message.metadata.response_code = ResponseCode::Refused;
        vec![wire(&message)]
    })
    .await;
    check(vec![silent.address], Failure::Timeout).await;
    check(vec![closed.local_addr().unwrap()], Failure::Unreachable).await;
    check(vec![refusing.address], Failure::Response(5)).await;
    check(Vec::new(), Failure::NoResolver).await;
}

#[tokio::test]
async fn our_own_lookups_prefer_fixed_names_and_ask_for_both_families() {
    let fake = Fake::start(|query, _| {
        let six = RData::AAAA(AAAA("2001:db8::1".parse().unwrap()));
        let records = match query.queries[0].query_type {
            _ if query.queries[0].name != name(NAME) => Vec::new(),
            RecordType::A => vec![v4(NAME, 1)],
            _ => vec![record(NAME, 300, six)],
        };
        vec![wire(&reply(query, records))]
    })
    .await;
    let resolver = fake.resolver();
    let found = |text: &'static str| {
        let resolver = resolver.clone();
        async move { resolver.lookup(text).await.map_err(|error| error.to_string()) }
    };
    assert_eq!(found("API.openai.com.").await.unwrap(), [ip("192.0.2.1"), ip("2001:db8::1")]);
    assert_eq!(found("elsewhere.example").await.unwrap(), [ip("10.0.0.9")]);
    assert_eq!(found("192.0.2.77").await.unwrap(), [ip("192.0.2.77")]);
    assert_eq!(found("empty.example").await.unwrap_err(), "`empty.example` has no address");
    assert_eq!(found("no name").await.unwrap_err(), "`no name` is not a host name");
    assert_eq!(found("").await.unwrap_err(), "`` is not a host name");
}

#[tokio::test]
async fn half_an_answer_is_enough_for_our_own_lookups() {
    let fake = Fake::start(|query, _| {
        let mut message = reply(query, vec![v4(NAME, 1)]);
        if query.queries[0].query_type == RecordType::AAAA {
            message = reply(query, Vec::new());
            message.metadata.response_code = ResponseCode::NotImp;
        }
        vec![wire(&message)]
    })
    .await;
    assert_eq!(fake.resolver().lookup(NAME).await.unwrap(), [ip("192.0.2.1")]);
}
