// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The resolver as clients reach it: over UDP and over a stream.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use enforcer_core::model::AgentName;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::{Fake, NAME, PATIENCE, agent, query, resolver, v4, wire};
use crate::dns::relay::framed;
use crate::dns::reply::Reach;
use crate::dns::{Error, Failure, Outcome, Resolver};

struct Known(AgentName);

impl AsRef<AgentName> for Known {
    fn as_ref(&self) -> &AgentName {
        &self.0
    }
}

/// A client's socket and what `on` was told, for a resolver served over UDP.
async fn served(resolver: &Resolver) -> (UdpSocket, Arc<Mutex<Vec<Outcome>>>, JoinSet<Error>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    client.connect(socket.local_addr().unwrap()).await.unwrap();
    let (peer, told) = (client.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let (resolver, tell) = (resolver.clone(), Arc::clone(&told));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let who = move |from: SocketAddr| {
            assert_eq!(from, peer);
            Some(Known(agent()))
        };
        let on = move |asker: Option<Known>, outcome: &Outcome| {
            assert!(asker.is_some());
            tell.lock().unwrap().push(outcome.clone());
        };
        resolver.serve_udp(Arc::new(socket), who, on).await
    });
    (client, told, tasks)
}

async fn receive(client: &UdpSocket) -> Message {
    let mut buffer = [0; 4096];
    let count = client.recv(&mut buffer).await.unwrap();
    Message::from_vec(&buffer[..count]).unwrap()
}

#[tokio::test]
async fn beyond_the_limit_questions_fail_at_once_and_the_others_go_on() {
    let mut fake = Fake::silent().await;
    let resolver = resolver(vec![fake.address], 1, PATIENCE);
    let (client, told, _tasks) = served(&resolver).await;
    client.send(&wire(&query(NAME, RecordType::A))).await.unwrap();
    fake.seen.recv().await.unwrap();
    let mut second = query("other.openai.com", RecordType::A);
    second.metadata.id = 2;
    client.send(&wire(&second)).await.unwrap();
    let message = receive(&client).await;
    assert_eq!(message.metadata.id, 2);
    assert_eq!(message.metadata.response_code, ResponseCode::ServFail);
    // What needs no upstream is answered all the same.
    client.send(&wire(&query("fixed.openai.com", RecordType::A))).await.unwrap();
    assert_eq!(receive(&client).await.answers.len(), 2);
    client.send(b"garbage").await.unwrap();
    client.send(&wire(&query("evil.example", RecordType::A))).await.unwrap();
    assert_eq!(receive(&client).await.metadata.response_code, ResponseCode::Refused);
    let failure = Failure::Overload;
    let overload = Outcome::Failed { name: "other.openai.com".to_owned(), failure };
    assert_eq!(told.lock().unwrap()[0], overload);
    assert_eq!(told.lock().unwrap()[2], Outcome::Garbage);
    assert!(
        matches!(resolver.lookup(NAME).await, Err(Error::Lookup { source, .. }) if source == failure)
    );
}

#[tokio::test]
async fn datagrams_are_answered_to_whom_they_came_from() {
    let fake = Fake::with(vec![v4(NAME, 1)]).await;
    let resolver = fake.resolver();
    let (client, _, _tasks) = served(&resolver).await;
    client.send(&wire(&query(NAME, RecordType::A))).await.unwrap();
    let message = receive(&client).await;
    assert_eq!((message.metadata.id, message.answers), (0x1234, vec![v4(NAME, 1)]));
}

#[tokio::test]
async fn a_connection_carries_several_queries_until_its_framing_breaks() {
    let fake = Fake::with((1..=100).map(|last| v4(NAME, last)).collect()).await;
    let resolver = fake.resolver();
    let (mut client, server) = duplex(64 * 1024);
    let (told, support) = (Mutex::new(0), agent());
    let serving = resolver.serve_tcp(&support, server, |_| *told.lock().unwrap() += 1);
    let asking = async {
        let sent = framed(&wire(&query(NAME, RecordType::A))).unwrap();
        // Two queries at once, cut at an odd place.
        let both = [sent.clone(), sent].concat();
        for part in both.chunks(7) {
            client.write_all(part).await.unwrap();
        }
        for _ in 0..2 {
            let mut reply = vec![0; client.read_u16().await.unwrap().into()];
            client.read_exact(&mut reply).await.unwrap();
            assert_eq!(Message::from_vec(&reply).unwrap().answers.len(), 100);
        }
        client.write_all(&[0xff, 0xff]).await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    };
    let (served, ()) = tokio::join!(serving, asking);
    served.unwrap();
    assert_eq!(told.into_inner().unwrap(), 2);
}

#[tokio::test]
async fn a_connection_that_ends_inside_a_query_is_an_error_and_one_that_ends_between_is_not() {
    async fn check(bytes: &[u8], expect: bool) {
        let resolver = resolver(Vec::new(), 512, PATIENCE);
        let (mut client, server) = duplex(1024);
        client.write_all(bytes).await.unwrap();
        drop(client);
        assert_eq!(resolver.serve_tcp(&agent(), server, |_| ()).await.is_ok(), expect, "{bytes:?}");
    }
    check(&[], true).await;
    check(&[0, 20, 1, 2, 3], false).await;
    check(&[0, 3, 1, 2, 3], true).await;
}

#[tokio::test]
async fn nobody_known_gets_no_name_and_another_agent_gets_only_its_own() {
    let mut fake = Fake::silent().await;
    let resolver = fake.resolver();
    let other = AgentName::new("other");
    for asker in [None, Some(&other)] {
        let query = wire(&query(NAME, RecordType::A));
        let answer = resolver.answer_within(asker, &query, resolver.admit(), Reach::Datagram).await;
        let reply = Message::from_vec(&answer.reply.unwrap()).unwrap();
        assert_eq!(reply.metadata.response_code, ResponseCode::Refused, "{asker:?}");
    }
    assert!(fake.seen.try_recv().is_err(), "a refused name was asked for outside");
}
