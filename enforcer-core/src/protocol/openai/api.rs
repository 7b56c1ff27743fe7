// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every request of the API that has facts of its own, beside the chat's own reader.
//!
//! As strict as that one: a field that two readers may read differently, or of another type than the API
//! says, makes the request `opaque`.

use std::collections::BTreeSet;

use crate::mask::DetectorSet;
use crate::model::{
    Batch, DetectorName, Embed, FileRead, FineTune, Image, OpaqueCause, Operation, Speech,
    TraceExport, Upload,
};
use crate::protocol::json_tree::Node;

use super::mask::detect_body;
use super::request::{chat_facts, has_alias, name};
use super::{Route, fields, tokens};

/// Where files are listed; what is below it is about one of them.
const FILES: &str = "/v1/files";

/// What a request asks, and what the detectors found in its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Understood {
    /// The action and its facts.
    pub operation: Operation,
    /// Detectors that found something anywhere in the body.
    pub detected: BTreeSet<DetectorName>,
}

/// Reads a request whose facts are in its body.
///
/// # Errors
/// The cause by which the request becomes `opaque`.
pub fn decode(
    route: Route,
    body: &[u8],
    detectors: &DetectorSet,
) -> Result<Understood, OpaqueCause> {
    let operation = operation(route, &Node::read(body)?).ok_or(OpaqueCause::Fields)?;
    Ok(Understood { operation, detected: detect_body(body, detectors)? })
}

/// What the head of a request says, where its body is not read; `size` as declared.
#[must_use]
pub fn understood_by_head(route: Route, path: &str, size: i64) -> Option<Operation> {
    match route {
        Route::FileRead => {
            let is_content = path.ends_with("/content");
            Some(Operation::FileRead(FileRead { path: path.to_owned(), is_content }))
        }
        Route::FileUpload => Some(Operation::FileUpload(Upload { size })),
        Route::Transcribe => Some(Operation::Transcribe(Upload { size })),
        Route::Batch
        | Route::Chat
        | Route::Embed
        | Route::FineTune
        | Route::Image
        | Route::Speech
        | Route::TraceExport => None,
    }
}

/// `/v1/files`, `/v1/files/ID` or `/v1/files/ID/content`, and nothing that another reader may take for more.
pub(super) fn is_file(path: &str) -> bool {
    let Some(rest) = path.strip_prefix(FILES) else { return false };
    let is_id = |id: &str| {
        !id.is_empty()
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    rest.is_empty()
        || rest.strip_prefix('/').is_some_and(|id| is_id(id.strip_suffix("/content").unwrap_or(id)))
}

fn operation(route: Route, body: &Node<'_>) -> Option<Operation> {
    if fields::leads_elsewhere(body) {
        return None;
    }
    let plain = |fields: &[&str]| (!has_alias(body, fields)).then_some(());
    match route {
        Route::Chat => chat_facts(body).map(Operation::Chat),
        Route::Embed => {
            plain(&["model", "input"])?;
            let model = name(body.at("model")?)?;
            let input_count = texts(body.at("input")?)?;
            let input_tokens = tokens::count(&model, body);
            Some(Operation::Embed(Embed { model, input_count, input_tokens }))
        }
        Route::Image => {
            plain(&["model", "n", "prompt"])?;
            body.at("prompt")?.text()?;
            let model = match body.set("model") {
                None => String::new(),
                Some(node) => name(node)?,
            };
            let count = match body.set("n") {
                None => 1,
                Some(node) => i64::try_from(node.number()?).ok()?,
            };
            Some(Operation::Image(Image { model, count }))
        }
        Route::Speech => {
            plain(&["model", "input"])?;
            let model = name(body.at("model")?)?;
            body.at("input")?.text()?;
            let input_tokens = tokens::count(&model, body);
            Some(Operation::Speech(Speech { model, input_tokens }))
        }
        Route::FineTune => {
            plain(&["model", "training_file"])?;
            let (model, training_file) = (body.at("model")?, body.at("training_file")?);
            let (model, training_file) = (name(model)?, name(training_file)?);
            Some(Operation::FineTune(FineTune { model, training_file }))
        }
        Route::Batch => {
            plain(&["endpoint", "input_file_id"])?;
            let (target, input_file) = (body.at("endpoint")?, body.at("input_file_id")?);
            let (target, input_file) = (name(target)?, name(input_file)?);
            Some(Operation::Batch(Batch { target, input_file }))
        }
        Route::TraceExport => {
            plain(&["data"])?;
            let item_count = i64::try_from(body.at("data")?.items()?.len()).ok()?;
            Some(Operation::TraceExport(TraceExport { item_count }))
        }
        Route::FileRead | Route::FileUpload | Route::Transcribe => None,
    }
}

/// How many texts there are. Lists of token numbers are a text that no detector can read: not understood.
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
    use crate::protocol::openai::route;

    fn decoded(path: &str, body: &str) -> Result<Operation, OpaqueCause> {
        let route = route("POST", path).expect("a route");
        let detectors = DetectorSet::compile(Vec::new()).expect("no detectors");
        let understood = decode(route, body.as_bytes(), &detectors)?;
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
            let route = route("GET", path)?;
            match understood_by_head(route, path, 0) {
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
