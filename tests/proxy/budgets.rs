// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Budgets against agents that leave, race and name no bound, and providers that report anything.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use enforcer_core::budget::{Amount, Count};
use http_body_util::BodyExt as _;
use http_body_util::channel::Channel;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::client::{Body, H1, H2, chat, chat_request, request_to, whole};
use crate::provider::{Answer, Seen, full, listen, server_config};
use crate::rig::{CHATS, HOST, LIMIT, Rig, outcome, policy_with};

/// What was counted for the one budget of a test.
fn count(rig: &Rig) -> Count {
    let counts = rig.enforcer.budgets.counts(rig.enforcer.clock.now());
    assert!(counts.len() <= 1, "{counts:?}");
    counts.first().map(|(_, count)| *count).unwrap_or_default()
}

/// Waits until nothing is reserved any more.
async fn settled(rig: &Rig) -> Amount {
    let start = Instant::now();
    loop {
        let count = count(rig);
        if count.reserved == Amount::default() {
            return count.used;
        }
        assert!(start.elapsed() < LIMIT, "{count:?}");
        tokio::task::yield_now().await;
    }
}

/// A policy with this one budget, that is charged for these actions.
fn charge(rig: &Rig, budget: &str, action: &str) {
    let budget = format!("[budgets.b]\nper = \"agent\"\nwindow = \"1d\"\n{budget}");
    let rule = format!(
        "@id(\"charged\") @budget(\"b\") @record(\"facts\") \
         permit (principal, action == Action::\"{action}\", resource);"
    );
    rig.enforce(policy_with("enforce", &budget, &rule));
}

/// Who waits for the arrival of a request, by its number.
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<()>>>>;

/// A provider that tells when a request has arrived, and what it said.
#[derive(Clone, Default)]
struct Provider {
    waiting: Waiting,
    seen: Seen,
    /// Tokens that can be proven from the texts that it generated.
    generated: Arc<AtomicU64>,
}

const NUMBER: &str = "x-client-request-id";

impl Provider {
    /// Puts it behind a name; `answer` gives none to who is not answered.
    async fn start(
        rig: &Rig,
        host: &str,
        answer: impl Fn(&Self, u64, &Bytes) -> Option<Answer> + Clone + Send + Sync + 'static,
    ) -> Self {
        let provider = Self::default();
        let tls = server_config(&rig.authority, host, H1);
        let own = provider.clone();
        let serve = move |stream| {
            let (provider, answer) = (own.clone(), answer.clone());
            let service =
                service_fn(move |request| provider.clone().serve(request, answer.clone()));
            async move {
                let http = hyper::server::conn::http1::Builder::new();
                // How a connection ends is the agent's business here.
                drop(http.serve_connection(TokioIo::new(stream), service).await);
            }
        };
        let address = listen(tls, provider.seen.clone(), serve).await;
        rig.resolve(host, address);
        provider
    }

    async fn serve(
        self,
        request: Request<Incoming>,
        answer: impl Fn(&Self, u64, &Bytes) -> Option<Answer>,
    ) -> Result<Answer, hyper::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let number = head.headers[NUMBER].to_str().unwrap().parse().unwrap();
        self.seen.requests.lock().unwrap().push((head, body.clone()));
        let answered = answer(&self, number, &body);
        if let Some(waiting) = self.waiting.lock().unwrap().remove(&number) {
            // Who asked may be gone.
            let _gone = waiting.send(());
        }
        match answered {
            Some(answered) => Ok(answered),
            None => std::future::pending().await,
        }
    }

    /// Sends a request and leaves when it has arrived; the status, if there was an answer before.
    async fn send_and_leave(
        &self,
        rig: &Rig,
        (alpn, number): (&[u8], u64),
        mut request: Request<Body>,
    ) -> Option<u16> {
        let (tell, arrived) = oneshot::channel();
        self.waiting.lock().unwrap().insert(number, tell);
        request.headers_mut().insert(NUMBER, number.into());
        let host = request.uri().host().unwrap().to_owned();
        let mut client = rig.client_of(&host, alpn).await;
        tokio::select! {
            answer = client.send(request) => Some(answer.status().as_u16()),
            arrived = arrived => {
                arrived.unwrap();
                None
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_the_head_pays_for_what_may_have_been_generated() {
    const EACH: u64 = 20;
    for alpn in [H1, H2] {
        let rig = Rig::start(CHATS).await;
        charge(&rig, "tokens = 100_000", "chat");
        let provider = Provider::start(&rig, HOST, |_, _, _| None).await;
        let mut content = chat("gpt-4.1", false, "hi");
        content["max_tokens"] = json!(500);
        for number in 0..EACH {
            let left = provider.send_and_leave(&rig, (alpn, number), chat_request(&content)).await;
            assert_eq!(left, None);
        }
        assert_eq!(provider.seen.requests().len() as u64, EACH);
        let closed = rig.closed(usize::try_from(EACH).unwrap()).await;
        assert!(closed.iter().all(|it| outcome(it) == "aborted"), "{closed:?}");
        let used = settled(&rig).await;
        assert_eq!(used.requests, EACH);
        assert!((EACH * 501..EACH * 530).contains(&used.tokens), "{used:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_requests_that_leave_early_as_many_reach_the_provider_as_the_budget_has() {
    const FILES: &str = "files.example.com";
    for alpn in [H1, H2] {
        for is_race in [false, true] {
            let rig = Arc::new(Rig::start(CHATS).await);
            charge(&rig, "requests = 3", "http");
            let provider = Provider::start(&rig, FILES, |_, _, _| None).await;
            let mut agents = JoinSet::new();
            let mut left = Vec::new();
            for number in 0..10 {
                let (rig, provider) = (Arc::clone(&rig), provider.clone());
                agents.spawn(async move {
                    let request = request_to(FILES, "POST", "/pay", "1,000,000");
                    provider.send_and_leave(&rig, (alpn, number), request).await
                });
                if !is_race {
                    left.push(agents.join_next().await.unwrap().unwrap());
                }
            }
            left.extend(agents.join_all().await);
            let refused = left.iter().filter(|status| **status == Some(429)).count();
            assert_eq!((refused, provider.seen.requests().len()), (7, 3), "{left:?}");
            assert_eq!(settled(&rig).await.requests, 3);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixty_chats_at_once_without_a_bound_those_are_sent_whose_answers_have_room() {
    let rig = Arc::new(Rig::start(CHATS).await);
    charge(&rig, "tokens = 2_000\nanswer_tokens = 1_000", "chat");
    let (tell, mut arrivals) = mpsc::unbounded_channel();
    let provider = Provider::start(&rig, HOST, move |_, number, _| {
        tell.send(number).unwrap();
        None
    })
    .await;
    let mut agents = JoinSet::new();
    for number in 0..60 {
        let rig = Arc::clone(&rig);
        agents.spawn(async move {
            let mut request = chat_request(&chat("gpt-4.1", false, "hi"));
            request.headers_mut().insert(NUMBER, number.into());
            rig.ask(request).await.0.status.as_u16()
        });
    }
    // The two that are sent are not answered.
    for _ in 0..58 {
        assert_eq!(agents.join_next().await.unwrap().unwrap(), 429);
    }
    for _ in 0..2 {
        tokio::time::timeout(LIMIT, arrivals.recv()).await.unwrap().unwrap();
    }
    assert_eq!(provider.seen.requests().len(), 2);
    agents.shutdown().await;
    let used = settled(&rig).await;
    assert!(used.tokens >= 2_000 && used.tokens < 2_050, "{used:?}");
}

/// The data of one event with this text.
fn event(text: &str) -> String {
    let delta = json!({"content": text});
    let choice = json!({"index": 0, "delta": delta, "finish_reason": null});
    let chunk = json!({"object": "chat.completion.chunk", "choices": [choice]});
    format!("data: {chunk}\n\n")
}

fn stream(text: impl Into<Bytes>) -> Answer {
    full("text/event-stream", text)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_of_four_thousand_words_is_charged_by_its_text() {
    let words = "word ".repeat(4_000);
    for leaves in [false, true] {
        let rig = Rig::start(CHATS).await;
        charge(&rig, "tokens = 100_000\nanswer_tokens = 10", "chat");
        let text = event(&words);
        let provider = Provider::start(&rig, HOST, move |_, _, _| {
            if !leaves {
                return Some(stream(format!("{text}data: [DONE]\n\n")));
            }
            let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
            let text = text.clone();
            tokio::spawn(async move {
                sender.send_data(text.into()).await.unwrap();
                // It would go on.
                std::future::pending::<()>().await;
            });
            Some(
                Response::builder()
                    .header("content-type", "text/event-stream")
                    .body(body.boxed())
                    .unwrap(),
            )
        })
        .await;
        let mut request = chat_request(&chat("gpt-4.1", true, "hi"));
        request.headers_mut().insert(NUMBER, 0.into());
        let mut body = rig.client(H1).await.send(request).await.into_body();
        let mut read = 0;
        while read < words.len() {
            read += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
        }
        if leaves {
            drop(body);
        } else {
            body.collect().await.unwrap();
        }
        rig.closed(1).await;
        let used = settled(&rig).await.tokens;
        assert!((5_000..5_100).contains(&used), "{used}");
        assert_eq!(provider.seen.requests().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_far_above_what_passed_is_charged_and_told_to_the_operator() {
    let rig = Rig::start(CHATS).await;
    charge(&rig, "tokens = 100_000", "chat");
    let answer = json!({"object": "chat.completion", "choices": [],
        "usage": {"prompt_tokens": 20, "completion_tokens": 70_000}});
    Provider::start(&rig, HOST, move |_, _, _| Some(full("application/json", answer.to_string())))
        .await;
    let mut request = chat_request(&chat("gpt-4.1", false, "hi"));
    request.headers_mut().insert(NUMBER, 0.into());
    assert_eq!(rig.ask(request).await.0.status, 200);
    let closed = rig.closed(1).await;
    let detail = closed[0].detail.as_deref().unwrap_or_default();
    assert!(detail.starts_with("the provider reports 70020 tokens; "), "{detail}");
    assert_eq!(settled(&rig).await.tokens, 70_020);
}

/// The most that the model of the adversarial test answers, in tokens.
const ANSWER_TOKENS: u64 = 400;
/// What every agent of it asks together.
const TOKENS: u64 = 20_000;

/// Numbers that look random, and belong to one exchange (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn place(&mut self, of: usize) -> usize {
        usize::try_from(self.below(of as u64)).unwrap()
    }
}

/// What a provider reports: true, or anything.
fn usage(dice: &mut Dice, tokens: u64) -> Value {
    match dice.below(9) {
        0 => json!({"prompt_tokens": -5_000, "completion_tokens": -5_000}),
        1 => json!({"prompt_tokens": 20.0, "completion_tokens": 5_000.0}),
        2 => json!({"prompt_tokens": "20", "completion_tokens": "1"}),
        3 => json!({"prompt_tokens": 0, "completion_tokens": 0}),
        4 => json!({"prompt_tokens": 0, "completion_tokens": 1}),
        5 => json!({"completion_tokens": 1}),
        6 => Value::Null,
        _ => json!({"prompt_tokens": 20, "completion_tokens": tokens}),
    }
}

/// A provider that says what a number of a request and its bound allow.
fn anything(provider: &Provider, number: u64, body: &Bytes) -> Option<Answer> {
    let mut dice = Dice(number);
    let asked: Value = serde_json::from_slice(body).unwrap();
    if dice.below(10) == 0 {
        let status = [400, 429, 500, 503][dice.place(4)];
        let mut answer = full("application/json", r#"{"error":{"message":"no"}}"#);
        *answer.status_mut() = status.try_into().unwrap();
        return Some(answer);
    }
    let most = asked["max_tokens"].as_u64().unwrap_or(ANSWER_TOKENS);
    let tokens = 1 + dice.below(most);
    let word = ["word ", "wonderful ", "w "][dice.place(3)];
    let per_event = [1, 7, most][dice.place(3)];
    let pieces: Vec<String> = (0..tokens.div_ceil(per_event))
        .map(|piece| per_event.min(tokens - piece * per_event))
        .map(|words| word.repeat(usize::try_from(words).unwrap()))
        .collect();
    let text_bytes = tokens * word.len() as u64;
    if asked["stream"] != true {
        provider.generated.fetch_add(text_bytes / 8, Ordering::SeqCst);
        if dice.below(4) == 0 {
            return None;
        }
        let message = json!({"role": "assistant", "content": pieces.concat()});
        let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
        let usage = usage(&mut dice, tokens);
        let answer = json!({"object": "chat.completion", "choices": choices, "usage": usage});
        return Some(full("application/json", answer.to_string()));
    }
    let proven = (pieces.len() as u64).max(text_bytes / 8);
    provider.generated.fetch_add(proven, Ordering::SeqCst);
    let mut text = String::new();
    for piece in &pieces {
        if dice.below(20) == 0 {
            text += ": still there\n\n";
        }
        text += &event(piece);
    }
    let usage = usage(&mut dice, tokens);
    text += &format!(
        "data: {}\n\n",
        json!({"object": "chat.completion.chunk", "choices": [], "usage": usage})
    );
    if dice.below(3) > 0 {
        text += "data: [DONE]\n\n";
    }
    Some(stream(text).map(|body: http_body_util::combinators::BoxBody<Bytes, Infallible>| body))
}

/// One agent and its one request; true if it was refused.
async fn agent(rig: &Rig, provider: &Provider, number: u64) -> bool {
    let mut dice = Dice(number ^ u64::MAX);
    let mut content = chat("gpt-4.1", dice.below(3) > 0, "hi");
    match dice.below(4) {
        0 => content["max_tokens"] = json!(1 + dice.below(ANSWER_TOKENS)),
        1 => content["max_completion_tokens"] = json!(ANSWER_TOKENS),
        2 => content["max_tokens"] = json!(1_u64 << 40),
        _ => {}
    }
    if content.get("max_completion_tokens").is_some() {
        content["max_tokens"] = json!(1);
    }
    let alpn = if dice.below(2) == 0 { H1 } else { H2 };
    let mut request = chat_request(&content);
    if content["stream"] != true || dice.below(3) == 0 {
        // Gone as soon as the provider has it.
        let left = provider.send_and_leave(rig, (alpn, number), request).await;
        return left == Some(429);
    }
    request.headers_mut().insert(NUMBER, number.into());
    let answer = rig.client(alpn).await.send(request).await;
    let is_refused = answer.headers().get("x-enforcer-denied").is_some();
    if dice.below(2) == 0 {
        // Gone after the first piece.
        drop(answer.into_body().frame().await);
    } else {
        whole(answer).await;
    }
    is_refused
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_agents_and_a_provider_do_one_answer_at_most_is_generated_beyond_the_budget() {
    let rig = Arc::new(Rig::start(CHATS).await);
    let budget = format!("tokens = {TOKENS}\nanswer_tokens = {ANSWER_TOKENS}");
    charge(&rig, &budget, "chat");
    let provider = Provider::start(&rig, HOST, anything).await;
    let mut refused = 0;
    for batch in 0..25_u64 {
        let mut agents = JoinSet::new();
        for number in batch * 8..batch * 8 + 8 {
            let (rig, provider) = (Arc::clone(&rig), provider.clone());
            agents.spawn(async move { agent(&rig, &provider, number).await });
        }
        refused += agents.join_all().await.into_iter().filter(|refused| *refused).count();
    }
    let used = settled(&rig).await;
    let generated = provider.generated.load(Ordering::SeqCst);
    assert_eq!(used.requests, provider.seen.requests().len() as u64);
    assert!(generated <= TOKENS + ANSWER_TOKENS, "{generated} were generated, {used:?}");
    assert!(generated <= used.tokens, "{generated} were generated, {used:?}");
    assert!(generated > TOKENS / 4 && refused > 20, "{generated} generated, {refused} refused");
}
