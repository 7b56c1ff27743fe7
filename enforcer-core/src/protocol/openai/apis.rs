// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the bodies of each door mean, beside the chat's own reader.
//!
//! As strict as that one: a field that two readers may read differently, or of another type than the API
//! says, makes the request `opaque`.

use crate::model::{Batch, Embed, FineTune, Image, Moderate, Operation, Speech, TraceExport};
use crate::protocol::door::{Api, Asked};
use crate::protocol::json_tree::Node;

use super::names::{has_alias, model, model_if_any, name, only_model};
use super::{chat, completions, fields, responses, shapes, tokens};

pub(super) static ANY: Api =
    Api { is_body_optional: true, shape: &shapes::TYPED, ..api("any", any) };
pub(super) static BATCH: Api = api("batch", batch);
pub(super) static CHAT: Api =
    Api { is_generated: true, ..api("chat_completions", chat::operation) };
pub(super) static COMPLETIONS: Api =
    Api { is_generated: true, ..api("completions", completions::operation) };
pub(super) static EMBED: Api = api("embeddings", embed);
pub(super) static FINE_TUNE: Api = api("fine_tuning", fine_tune);
pub(super) static IMAGE: Api = Api { shape: &shapes::TYPED, ..api("images", image) };
pub(super) static MODERATE: Api = api("moderations", moderate);
pub(super) static RESPONSES: Api =
    Api { is_generated: true, shape: &shapes::TYPED, ..api("responses", responses::operation) };
pub(super) static RESPONSES_COUNT: Api =
    Api { shape: &shapes::TYPED, ..api("responses", responses::count) };
pub(super) static SPEECH: Api = Api { shape: &shapes::TYPED, ..api("speech", speech) };
pub(super) static TRACE_EXPORT: Api = api("traces", trace_export);

const fn api(
    name: &'static str,
    operation: for<'b> fn(&Asked<'_>, &Node<'b>) -> Option<Operation>,
) -> Api {
    Api {
        name,
        shape: &shapes::CHAT,
        operation,
        calls: |_, _| Some(Vec::new()),
        has_other_actions: false,
        is_generated: false,
        is_body_optional: false,
    }
}

/// A body of which only the model is a fact.
fn any(asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    plain(body, &["model"])?;
    asked.call(only_model(body)?, true)
}

fn batch(_asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    judged(body, &["endpoint", "input_file_id"])?;
    let (target, input_file) = (body.at("endpoint")?, body.at("input_file_id")?);
    let (target, input_file) = (name(target)?, name(input_file)?);
    Some(Operation::Batch(Batch { target, input_file }))
}

fn embed(asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    judged(body, &["model", "input"])?;
    let model = model(asked, body)?;
    let input_count = texts(body.at("input")?)?;
    let input_tokens = tokens::count(&model, body);
    Some(Operation::Embed(Embed { model, input_count, input_tokens }))
}

fn fine_tune(asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    judged(body, &["model", "training_file"])?;
    let (model, training_file) = (model(asked, body)?, name(body.at("training_file")?)?);
    Some(Operation::FineTune(FineTune { model, training_file }))
}

fn image(asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    judged(body, &["model", "n", "prompt"])?;
    body.at("prompt")?.text()?;
    let model = model_if_any(asked, body)?;
    let count = match body.set("n") {
        None => 1,
        Some(node) => i64::try_from(node.number()?).ok()?,
    };
    Some(Operation::Image(Image { model, count }))
}

fn moderate(asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    judged(body, &["model", "input"])?;
    let model = model_if_any(asked, body)?;
    let input_count = match body.at("input")? {
        Node::String(_) => 1,
        input => {
            let items = input.items()?;
            let is_item = |item: &Node<'_>| match item {
                Node::String(_) => true,
                item => item.at("type").is_some_and(|kind| kind.text().is_some()),
            };
            items.iter().all(is_item).then(|| i64::try_from(items.len()).ok()).flatten()?
        }
    };
    Some(Operation::Moderate(Moderate { model, input_count }))
}

fn speech(asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    judged(body, &["model", "input"])?;
    let model = model(asked, body)?;
    body.at("input")?.text()?;
    let input_tokens = tokens::count(&model, body);
    Some(Operation::Speech(Speech { model, input_tokens }))
}

fn trace_export(_asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    judged(body, &["data"])?;
    let item_count = i64::try_from(body.at("data")?.items()?.len()).ok()?;
    Some(Operation::TraceExport(TraceExport { item_count }))
}

/// Refuses a body with a member that some reader may take for one of these.
fn plain(body: &Node<'_>, fields: &[&str]) -> Option<()> {
    (!has_alias(body, fields)).then_some(())
}

/// The same, and refuses one that leads to another model or place than the fields say.
fn judged(body: &Node<'_>, fields: &[&str]) -> Option<()> {
    if fields::leads_elsewhere(body) { None } else { plain(body, fields) }
}

/// How many texts there are. Lists of token numbers were spelled out before, or are not understood.
fn texts(input: &Node<'_>) -> Option<i64> {
    match input {
        Node::String(_) => Some(1),
        Node::Array(items) => {
            let are_texts = items.iter().all(|item| item.text().is_some());
            are_texts.then(|| i64::try_from(items.len()).ok()).flatten()
        }
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::DetectorSet;
    use crate::model::OpaqueCause;
    use crate::protocol::openai::FAMILY;

    fn decoded(path: &str, body: &str) -> Result<Operation, OpaqueCause> {
        let route = FAMILY.route("POST", path).expect("a door");
        let detectors = DetectorSet::compile(Vec::new()).expect("no detectors");
        let understood = route.decode(path, "", body.as_bytes(), &detectors)?;
        assert_eq!(understood.operation.action(), route.action());
        Ok(understood.operation)
    }

    #[test]
    fn each_request_has_its_facts() {
        let embed = decoded("/v1/embeddings", r#"{"model":"m","input":["one","two words"]}"#);
        let Ok(Operation::Embed(embed)) = embed else { panic!("{embed:?}") };
        assert_eq!((embed.model.as_str(), embed.input_count), ("m", 2));
        assert!(embed.input_tokens >= 3, "{embed:?}");
        let check = |path: &str, body: &str, expect: Operation| {
            assert_eq!(decoded(path, body), Ok(expect), "{body}");
        };
        let images = "/v1/images/generations";
        check(
            images,
            r#"{"prompt":"p"}"#,
            Operation::Image(Image { model: String::new(), count: 1 }),
        );
        let model = "gpt-image-1".to_owned();
        check(
            images,
            r#"{"prompt":"p","model":"gpt-image-1","n":4}"#,
            Operation::Image(Image { model, count: 4 }),
        );
        check(
            "/v1/fine_tuning/jobs",
            r#"{"model":"m","training_file":"file-1"}"#,
            Operation::FineTune(FineTune { model: "m".into(), training_file: "file-1".into() }),
        );
        let batch =
            r#"{"endpoint":"/v1/responses","input_file_id":"file-1","completion_window":"24h"}"#;
        check(
            "/v1/batches",
            batch,
            Operation::Batch(Batch { target: "/v1/responses".into(), input_file: "file-1".into() }),
        );
        check(
            "/v1/traces/ingest",
            r#"{"data":[{},{}]}"#,
            Operation::TraceExport(TraceExport { item_count: 2 }),
        );
    }

    #[test]
    fn what_two_readers_may_read_differently_is_opaque() {
        let check = |path: &str, body: &str| {
            assert_eq!(decoded(path, body), Err(OpaqueCause::Fields), "{body}");
        };
        check("/v1/embeddings", r#"{"model":"m","input":[1,2]}"#);
        check("/v1/embeddings", r#"{"model":"m","input":"x","Input":"y"}"#);
        check("/v1/embeddings", r#"{"model":"m"}"#);
        check("/v1/images/generations", r#"{"prompt":"p","n":-1}"#);
        check("/v1/images/generations", r#"{"prompt":["p"]}"#);
        check("/v1/audio/speech", r#"{"model":"m","input":1}"#);
        check("/v1/fine_tuning/jobs", r#"{"model":"m","training_file":null}"#);
        check("/v1/batches", r#"{"endpoint":"/v1/responses"}"#);
        check("/v1/traces/ingest", r#"{"data":{}}"#);
    }

    #[test]
    fn files_are_read_by_exact_paths_only() {
        let read = |path: &str| {
            let route = FAMILY.route("GET", path)?;
            match route.by_head(path, "", 0, false) {
                Some(Operation::FileRead(read)) => Some(read.is_content),
                _ => None,
            }
        };
        assert_eq!(read("/v1/files"), Some(false));
        assert_eq!(read("/v1/files/file-abc_1"), Some(false));
        assert_eq!(read("/v1/files/file-abc/content"), Some(true));
        for path in [
            "/v1/files/",
            "/v1/files//content",
            "/v1/files/a/b",
            "/v1/files/a%2fcontent",
            "/v1/filesx",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }
}
