// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections and routes of the stand-in.
#![expect(
    clippy::disallowed_methods,
    reason = "the harness has no supervisor; its tasks end with it"
)]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Channel, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::answer::{self, Turn};
use super::log::{Log, Received, StreamSent, now_ms};
use super::messages::{self, Reply};
use super::response;

/// Bytes of a request body; far above what any test sends on purpose.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

type Body = BoxBody<Bytes, Infallible>;

/// What every connection of one stand-in shares.
#[derive(Debug)]
pub(super) struct State {
    pub(super) answer: String,
    pub(super) pace: Duration,
    pub(super) log: Log,
    /// While true, a streamed answer stops after its first event.
    pub(super) held: watch::Receiver<bool>,
}

/// Serves until it is dropped.
pub(super) async fn accept(listener: TcpListener, tls: Arc<ServerConfig>, state: Arc<State>) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        state.log.connected();
        tokio::spawn(connection(stream, acceptor.clone(), Arc::clone(&state)));
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) {
    stream.set_nodelay(true).ok();
    // A client that ends the handshake or the connection is not an event the stand-in reports.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let (_, session) = stream.get_ref();
    let is_h2 = session.alpn_protocol() == Some(b"h2");
    let server_name = session.server_name().unwrap_or_default().to_owned();
    let service = service_fn(move |request| {
        let (state, server_name) = (Arc::clone(&state), server_name.clone());
        async move { Ok::<_, Infallible>(exchange(request, server_name, state).await) }
    });
    let io = TokioIo::new(stream);
    if is_h2 {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.serve_connection(io, service).await.ok();
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await.ok();
    }
}

async fn exchange(
    request: Request<Incoming>,
    server_name: String,
    state: Arc<State>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(cause) => return refused(StatusCode::BAD_REQUEST, &cause.to_string(), None),
    };
    let received = Received {
        number: 0,
        at_ms: now_ms(),
        protocol: format!("{:?}", head.version),
        server_name,
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let json = received.json();
    let is_authorized =
        received.header("authorization").is_some_and(|value| value.starts_with("Bearer "));
    let has_key = is_authorized || received.header("x-api-key").is_some();
    let is_anthropic = received.header("anthropic-version").is_some();
    let number = state.log.add(received);
    let mut answer = if is_anthropic {
        anthropic(&head.method, head.uri.path(), &json, number, (&state, has_key))
    } else if is_authorized {
        route(&head.method, head.uri.path(), &json, number, &state)
    } else {
        let message = "You didn't provide an API key. You need to provide your API key in an \
                       Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
        refused(StatusCode::UNAUTHORIZED, message, None)
    };
    if let Ok(id) = HeaderValue::from_str(&format!("req_stand_in_{number:06}")) {
        answer.headers_mut().insert("x-request-id", id);
    }
    answer
}

fn route(
    method: &Method,
    path: &str,
    json: &Value,
    number: usize,
    state: &Arc<State>,
) -> Response<Body> {
    let is_chat = path == "/v1/chat/completions";
    let has_model = json["model"].is_string();
    match (method.as_str(), path) {
        ("GET", "/v1/models") => whole(StatusCode::OK, &answer::models()),
        ("POST", "/v1/embeddings") if has_model => whole(StatusCode::OK, &answer::embeddings(json)),
        ("POST", "/v1/traces/ingest") => {
            let mut answer = Response::new(Full::default().boxed());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            answer
        }
        ("POST", "/v1/chat/completions" | "/v1/responses") if !has_model => {
            refused(StatusCode::BAD_REQUEST, "you must provide a model parameter", None)
        }
        ("POST", "/v1/chat/completions" | "/v1/responses") => {
            let is_streamed = json["stream"] == true;
            let turn = Turn::of(json, &state.answer);
            match (is_chat, is_streamed) {
                (true, false) => whole(StatusCode::OK, &answer::chat(json, &turn, number)),
                (true, true) => streamed(answer::chat_events(json, &turn, number), number, state),
                (false, false) => whole(StatusCode::OK, &response::response(json, &turn, number)),
                (false, true) => streamed(response::events(json, &turn, number), number, state),
            }
        }
        ("POST", "/v1/responses/compact") => whole(StatusCode::OK, &response::compacted(number)),
        ("POST", "/v1/responses/input_tokens") => whole(StatusCode::OK, &response::input_tokens()),
        ("GET", path) if path.starts_with("/v1/responses/resp_") => {
            let turn = Turn::Say(state.answer.clone());
            whole(StatusCode::OK, &response::response(json, &turn, number))
        }
        _ => {
            let message = format!(
                "Invalid URL ({method} {path}). Please check the URL for typos, or see the docs \
                 at https://platform.openai.com/docs/api-reference/."
            );
            refused(StatusCode::NOT_FOUND, &message, Some("unknown_url"))
        }
    }
}

/// The same for the Anthropic API, whose clients name its version.
fn anthropic(
    method: &Method,
    path: &str,
    json: &Value,
    number: usize,
    (state, has_key): (&Arc<State>, bool),
) -> Response<Body> {
    let no_key = || {
        let error = messages::error("authentication_error", "x-api-key header is required");
        Reply::Whole(401, error)
    };
    let reply = |()| messages::reply((method.as_str(), path), json, &state.answer, number);
    match has_key.then_some(()).map_or_else(no_key, reply) {
        Reply::Events(events) => streamed(events, number, state),
        Reply::Whole(status, json) => {
            whole(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &json)
        }
    }
}

fn whole(status: StatusCode, json: &Value) -> Response<Body> {
    let mut answer = Response::new(Full::from(json.to_string()).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn refused(status: StatusCode, message: &str, code: Option<&str>) -> Response<Body> {
    whole(status, &answer::error(message, code))
}

fn streamed(events: Vec<String>, number: usize, state: &Arc<State>) -> Response<Body> {
    let (sender, body) = Channel::new(1);
    tokio::spawn(send_events(events, sender, number, Arc::clone(state)));
    let mut answer = Response::new(body.boxed());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

async fn send_events(
    events: Vec<String>,
    mut sender: http_body_util::channel::Sender<Bytes>,
    number: usize,
    state: Arc<State>,
) {
    let mut held = state.held.clone();
    let mut sent = StreamSent { number, first_ms: 0, last_ms: 0, events: 0, finished: true };
    for event in events {
        if sent.events > 0 {
            // The sender lives as long as the stand-in; its end ends this stream too.
            held.wait_for(|held| !held).await.ok();
            tokio::time::sleep(state.pace).await;
        }
        if sender.send_data(Bytes::from(event)).await.is_err() {
            sent.finished = false;
            break;
        }
        sent.last_ms = now_ms();
        if sent.events == 0 {
            sent.first_ms = sent.last_ms;
        }
        sent.events += 1;
    }
    state.log.add_stream(sent);
}
