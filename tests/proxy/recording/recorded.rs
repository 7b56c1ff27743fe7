// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an agent chooses beside the body of a request is in the record and in the log only as the masks leave it.

use enforcer_core::model::{DenyReason, SessionId};
use enforcer_core::record::{EventBody, Process};
use enforcer_user::enforce;
use tokio::io::AsyncWriteExt as _;

use super::log;
use crate::client::{H1, H2, read_all, request_to};
use crate::rig::{CHATS, DESTINATION, HTTP, Rig, policy_with};

/// In no other test, so that the log can be looked at.
const CARD: &str = "5105105105105100";
const MASKED: &str = "[credit-card]";
const TENANTS: &str = "[endpoints.tenants]\nhosts = [\"*.tenant.example.com\"]\nprotocol = \"http\"\n\
    [endpoints.sealed-tenants]\nhosts = [\"*.sealed.example.com\"]\ntls = \"passthrough\"\n";

async fn rig(rules: &str) -> Rig {
    log::keep();
    let rig = Rig::start(rules).await;
    rig.enforce(policy_with("enforce", TENANTS, rules));
    rig
}

/// Asserts that the record says it without the value, and the log does not say the value.
async fn expect_masked(rig: &Rig, what: &str, value: &str) {
    let shown = |events: &[enforcer_core::record::Event]| {
        let text = serde_json::to_string(events).unwrap();
        text.contains(MASKED) || text.contains("[email]")
    };
    rig.until(what, shown).await;
    assert!(!rig.stores(value).await, "{what}: `{value}` is in the state folder");
    assert!(!log::has(value), "{what}: `{value}` is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_a_card_number_is_recorded_nowhere() {
    for rules in [CHATS.to_owned(), format!("{CHATS}{HTTP}")] {
        let rig = rig(&rules).await;
        let line = format!("{CARD} /v1/x HTTP/1.1\r\n");
        let rest = "host: api.openai.com\r\nconnection: close\r\n\r\n";
        rig.raw(format!("{line}{rest}").as_bytes()).await;
        rig.opened(1).await;
        expect_masked(&rig, "method", CARD).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_below_a_wildcard_is_recorded_nowhere_as_the_agent_chose_it() {
    let host = format!("{CARD}.tenant.example.com");
    for alpn in [H1, H2] {
        // Denied by the policy, and permitted to a host that nobody can reach: the error names it.
        for rules in [CHATS.to_owned(), format!("{CHATS}{HTTP}")] {
            let rig = rig(&rules).await;
            let (head, _) =
                rig.client_of(&host, alpn).await.whole(request_to(&host, "GET", "/", "")).await;
            assert!(matches!(head.status.as_u16(), 403 | 502), "{head:?}");
            rig.opened(1).await;
            expect_masked(&rig, "host", CARD).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_passed_through_is_recorded_nowhere_as_the_agent_chose_it() {
    let permit = "@id(\"sealed\") permit (principal, action == Action::\"connect\", resource);";
    for rules in [CHATS.to_owned(), format!("{CHATS}{permit}")] {
        let rig = rig(&rules).await;
        let mut stream = rig.tcp().await;
        let host = format!("{CARD}.sealed.example.com");
        stream.write_all(&hello(&rig, &host)).await.unwrap();
        read_all(&mut stream).await;
        rig.opened(1).await;
        expect_masked(&rig, "tunnel", CARD).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_name_that_is_no_endpoint_is_recorded_and_logged_masked() {
    let rig = rig(CHATS).await;
    for mode in ["enforce", "observe"] {
        rig.enforce(policy_with(mode, TENANTS, CHATS));
        // In observe mode it is spliced to where it goes: nobody there.
        rig.destined("127.0.0.1:1".parse().unwrap());
        let mut stream = rig.tcp().await;
        stream.write_all(&hello(&rig, &format!("{CARD}.example.org"))).await.unwrap();
        read_all(&mut stream).await;
    }
    rig.until("both", |events| crate::rig::refused(events).len() >= 2).await;
    expect_masked(&rig, "server name", CARD).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_plain_http_and_a_name_asked_for_are_recorded_and_logged_masked() {
    let rig = rig(CHATS).await;
    rig.destined(std::net::SocketAddr::new(DESTINATION.ip(), 80));
    let mut stream = rig.tcp().await;
    let head = format!("GET / HTTP/1.1\r\nhost: {CARD}.example.org\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    read_all(&mut stream).await;
    rig.refused().await;
    expect_masked(&rig, "host", CARD).await;
    let name = format!("{CARD}.example.net");
    enforce::resolve_refused(&rig.enforcer, rig.session, None, &name);
    enforce::resolve_refused(&rig.enforcer, SessionId::HOST, None, &name);
    rig.until("the name", |events| {
        events.iter().any(|event| matches!(event.body, EventBody::ResolveRefused { .. }))
    })
    .await;
    expect_masked(&rig, "name", CARD).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_seen_before_a_mask_came_into_force_is_recorded_under_it() {
    const MAIL: &str = "z@example.com";
    let rig = rig(CHATS).await;
    // As it is seen where nothing is masked.
    rig.origins.0.lock().unwrap().as_mut().unwrap().process = Process::new(4711, 1000, MAIL);
    rig.ask(crate::client::request("GET", "/v1/models", "")).await;
    rig.opened(1).await;
    let origin = rig.origins.0.lock().unwrap().clone().unwrap();
    let denied = enforcer_core::model::Denied::because(DenyReason::Internal);
    enforce::connection_refused(&rig.enforcer, &origin, None, denied, Some(MAIL.to_owned()));
    rig.until("the refusal", |events| {
        events.iter().any(|event| matches!(event.body, EventBody::ConnectionRefused { .. }))
    })
    .await;
    expect_masked(&rig, "process", MAIL).await;
}

/// A client hello for this name.
fn hello(rig: &Rig, name: &str) -> Vec<u8> {
    let config = crate::client::config(&rig.ca, &[H1]);
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(config, name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}
