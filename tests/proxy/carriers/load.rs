// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many clients at once.

use tokio::task::JoinSet;

use crate::client::{H1, H2, chat, chat_request, request};
use crate::rig::{CHATS, HTTP, Rig, closed, opened, outcome};

const CLIENTS: usize = 64;
const REQUESTS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_are_all_answered_and_recorded() {
    let (rig, provider) = Rig::with_stand_in(&format!("{CHATS}{HTTP}")).await;
    let rig = std::sync::Arc::new(rig);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let rig = std::sync::Arc::clone(&rig);
        clients.spawn(async move {
            let mut client = rig.client(if number % 2 == 0 { H1 } else { H2 }).await;
            for turn in 0..REQUESTS {
                let (request, status) = match turn % 4 {
                    0 => (chat_request(&chat("gpt-4.1", false, "to a@b.com")), 200),
                    1 => (chat_request(&chat("gpt-4.1", true, "to a@b.com")), 200),
                    2 => (chat_request(&chat("o3", false, "hi")), 403),
                    _ => (request("GET", "/v1/models", ""), 200),
                };
                let (head, answer) = client.whole(request).await;
                assert_eq!(head.status, status, "client {number}, request {turn}: {answer}");
                assert!(!answer.contains("maria.lopez"), "client {number}, request {turn}");
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let allowed = opened(&rig.events().await).iter().filter(|it| it.denied.is_none()).count();
    let events = rig.until("every end", |events| closed(events).len() == allowed).await;
    assert_eq!(opened(&events).len(), CLIENTS * REQUESTS);
    assert!(closed(&events).iter().all(|it| outcome(it) == "completed"));
    let received = provider.log().received();
    assert_eq!(received.len(), allowed);
    assert!(received.iter().all(|it| !it.body.contains("a@b.com")));
    rig.verify().await;
}
