// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bodies that nobody reads pass through in bounded memory, at the pace of the slower side.

use std::convert::Infallible;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use enforcer_core::model::limits;
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Frame;

use crate::client::{H1, H2, request};
use crate::rig::{CHATS, HTTP, LIMIT, Rig, outcome};

const PIECE: usize = 64 * 1024;
const LARGE: usize = 256 * 1024 * 1024;
/// Far above what buffers of all hops hold together, far below what is sent.
const HELD_MAX: usize = 64 * 1024 * 1024;

/// Set in the process that is measured.
pub(crate) const ALONE: &str = "ENFORCER_TESTS_ALONE";

static ZEROS: [u8; PIECE] = [0; PIECE];

/// Pieces that count how many were taken.
#[derive(Clone)]
struct Endless {
    left: usize,
    taken: Arc<AtomicUsize>,
}

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= PIECE;
        self.taken.fetch_add(PIECE, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&ZEROS)))))
    }
}

/// Memory of this process in use.
pub(crate) fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Other tests use memory in the same process, so these measure in one of their own.
pub(crate) fn alone(name: &str) {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", name, "--include-ignored", "--test-threads=1"]).env(ALONE, "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
}

async fn rig(alpn: &[u8], taken: &Arc<AtomicUsize>) -> Rig {
    let rig = Rig::start(HTTP).await;
    let endless = Endless { left: LARGE, taken: Arc::clone(taken) };
    rig.provider(alpn, move |_, _| Response::new(endless.clone().boxed())).await;
    rig
}

#[test]
fn a_large_answer_passes_in_bounded_memory() {
    alone("large::large_answers_alone");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures its own process: run by a_large_answer_passes_in_bounded_memory"]
async fn large_answers_alone() {
    if std::env::var_os(ALONE).is_none() {
        // Beside other tests the measure is wrong; the test that calls this one measures.
        return;
    }
    for (downstream, upstream) in [(H1, H1), (H2, H2)] {
        let rig = rig(upstream, &Arc::default()).await;
        let mut client = rig.client(downstream).await;
        let before = resident();
        let mut body = client.send(request("GET", "/large", "")).await.into_body();
        let (mut seen, mut most) = (0, 0);
        while let Some(frame) = body.frame().await {
            seen += frame.unwrap().into_data().unwrap().len();
            most = most.max(resident().saturating_sub(before));
        }
        assert_eq!(seen, LARGE);
        assert!(most < HELD_MAX, "{most} bytes more than before");
        assert_eq!(outcome(&rig.closed(1).await[0]), "completed");
    }
}

#[test]
fn a_client_that_stops_reading_stops_the_provider() {
    alone("large::stopped_reading_alone");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures its own process: run by a_client_that_stops_reading_stops_the_provider"]
async fn stopped_reading_alone() {
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    for (downstream, upstream) in [(H1, H1), (H2, H1), (H1, H2), (H2, H2)] {
        let taken = Arc::new(AtomicUsize::new(0));
        let rig = rig(upstream, &taken).await;
        let mut client = rig.client(downstream).await;
        let before = resident();
        let mut body = client.send(request("GET", "/large", "")).await.into_body();
        assert!(body.frame().await.unwrap().is_ok());
        // Nothing is read any more: what is taken comes to a stand. That nothing happens has no event
        // to wait for, hence the pause; a short one only makes the test see less.
        let mut last = usize::MAX;
        while last != taken.load(Ordering::SeqCst) {
            last = taken.load(Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
        assert!(last < HELD_MAX, "{last} bytes were taken from the provider");
        let held = resident().saturating_sub(before);
        assert!(held < HELD_MAX, "{held} bytes more than before");
    }
}

/// A history of screenshots with a mail address at its end, nearly as large as a body may be that is read.
fn screenshots() -> Vec<u8> {
    let image = "iVBORw0KGgoAAAANSUhEUgAAB9AAAARk".repeat(64 * 1024);
    let url = format!("data:image/png;base64,{image}");
    let shot = serde_json::json!({"type": "image_url", "image_url": {"url": url}});
    let parts = vec![shot; (limits::REQUEST_BODY_BYTES_MAX - 1024 * 1024) / url.len()];
    let messages = serde_json::json!([
        {"role": "user", "content": parts},
        {"role": "user", "content": "write to maria.lopez@example.com"},
    ]);
    serde_json::json!({"model": "gpt-4.1", "messages": messages}).to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_screenshots_of_nearly_32_mebibytes_is_understood_and_masked() {
    let rig = Rig::start(CHATS).await;
    let answer = |_: &_, _: &_| crate::provider::full("application/json", r#"{"choices":[]}"#);
    let seen = rig.provider(H1, answer).await;
    let content = screenshots();
    assert!(content.len() > 28 * 1024 * 1024 && content.len() <= limits::REQUEST_BODY_BYTES_MAX);
    let masked = String::from_utf8(content.clone()).unwrap();
    let masked = masked.replace("maria.lopez@example.com", "[email]");
    let zstd = zstd::stream::encode_all(content.as_slice(), 1).unwrap();
    for (encoding, content) in [("identity", content), ("zstd", zstd)] {
        let mut request = request("POST", "/v1/chat/completions", content);
        request.headers_mut().insert("content-encoding", encoding.parse().unwrap());
        let (head, answer) = rig.client(H1).await.whole(request).await;
        assert_eq!(head.status, 200, "{answer}");
        assert!(seen.requests.lock().unwrap().pop().unwrap().1 == masked, "{encoding}");
    }
    assert_eq!(rig.opened(2).await[1].facts.operation.action(), "chat");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_passes_byte_by_byte() {
    let rig = Rig::start(HTTP).await;
    let seen = rig.provider(H1, |_, _| crate::provider::full("text/plain", "ok")).await;
    let content: Vec<u8> = (0..40_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let content = Bytes::from(content);
    for alpn in [H1, H2] {
        let (head, _) =
            rig.client(alpn).await.whole(request("PUT", "/v1/x", content.clone())).await;
        assert_eq!(head.status, 200);
        assert!(seen.requests.lock().unwrap().pop().unwrap().1 == content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leaves_midway_ends_the_exchange_and_the_upstream_connection() {
    for alpn in [H1, H2] {
        let rig = Rig::start(HTTP).await;
        let endless = Endless { left: LARGE, taken: Arc::default() };
        let answer = move |_: &hyper::http::request::Parts, _: &Bytes| {
            Response::new(endless.clone().boxed())
        };
        let seen = rig.provider(H1, answer).await;
        let mut client = rig.client(alpn).await;
        let mut body = client.send(request("GET", "/large", "")).await.into_body();
        assert!(body.frame().await.unwrap().is_ok());
        drop((body, client));
        assert_eq!(outcome(&rig.closed(1).await[0]), "aborted");
        let ended = async {
            while seen.ended.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, ended).await.expect("the upstream connection stays open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leaves_before_the_answer_ends_the_exchange_and_the_upstream_connection() {
    use tokio::io::AsyncReadExt as _;
    for alpn in [H1, H2] {
        let rig = Rig::start(HTTP).await;
        let tls = crate::provider::server_config(&rig.authority, crate::rig::HOST, H1);
        let seen = crate::provider::Seen::default();
        let arrived = Arc::new(tokio::sync::Notify::new());
        let arrival = Arc::clone(&arrived);
        let serve = move |mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>| {
            let arrival = Arc::clone(&arrival);
            async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    arrival.notify_one();
                }
            }
        };
        let address = crate::provider::listen(tls, seen.clone(), serve).await;
        rig.resolve(crate::rig::HOST, address);
        let mut client = rig.client(alpn).await;
        let sending = tokio::spawn(async move { client.send(request("GET", "/a", "")).await });
        tokio::time::timeout(LIMIT, arrived.notified()).await.unwrap();
        sending.abort();
        assert_eq!(outcome(&rig.closed(1).await[0]), "aborted");
        let ended = async {
            while seen.ended.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, ended).await.expect("the upstream connection stays open");
    }
}
