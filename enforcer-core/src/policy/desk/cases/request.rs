// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `[case.request]`: a request as it would come over the wire.
//!
//! `json` is a body written as TOML, sent as JSON with the content type that belongs to it unless the case
//! gives another one. `body` is sent as it stands, with no header that is not written.

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use crate::facts::{Head, Scope, of_request};
use crate::model::{AgentName, EndpointName, Facts};

use super::super::super::decide::policy::Policy;
use super::super::super::load::inventory::Endpoint;
use super::super::super::load::sheet::{Section, Sheet, Word};
use super::names::Names;

const CONTENT_TYPE: &str = "content-type";

/// A raw request of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub(super) method: String,
    /// Without its query.
    pub(super) path: String,
    pub(super) query: Option<String>,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    /// Its body; empty if it has none.
    pub body: Vec<u8>,
}

impl Request {
    /// What comes before the body.
    #[must_use]
    pub fn head(&self) -> Head<'_> {
        let headers = self.headers.iter();
        Head {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers: headers.map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
        }
    }

    /// The facts that the data path would find if this agent sent it there.
    #[must_use]
    pub fn facts(&self, policy: &Policy, agent: &AgentName, endpoint: &Endpoint) -> Facts {
        of_request(&Scope { agent, endpoint, policy }, &self.head(), &self.body)
    }
}

/// What is wrong with a part of a request, and what to do about it.
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) help: &'static str,
}

/// Reads a request; none if something about it was reported.
pub(super) fn read(sheet: &mut Sheet<'_>, section: &Section<'_>) -> Option<Request> {
    let before = sheet.found.len();
    sheet.only(section, &["method", "path", "headers", "body", "json"]);
    for key in ["method", "path"] {
        if !section.table.contains_key(key) {
            sheet.missing(section, key);
        }
    }
    let method = sheet.text(section, "method").and_then(|word| {
        report(sheet, &word, check_method(&word.text))?;
        Some(word.text)
    });
    let target =
        sheet.text(section, "path").and_then(|word| report(sheet, &word, target(&word.text)));
    let mut headers = read_headers(sheet, section);
    let body = read_body(sheet, section);
    let is_json = section.table.contains_key("json");
    if is_json && !headers.iter().any(|(name, _)| name == CONTENT_TYPE) {
        headers.push((CONTENT_TYPE.to_owned(), "application/json".to_owned()));
    }
    let (path, query) = target?;
    let request = Request { method: method?, path, query, headers, body };
    (sheet.found.len() == before).then_some(request)
}

/// Whether requests on this endpoint are ever seen; reported if not.
pub(super) fn judgeable(
    names: &Names<'_>,
    sheet: &mut Sheet<'_>,
    section: &Section<'_>,
    endpoint: &EndpointName,
) -> bool {
    let is_passed_through = names.is_passed_through(endpoint.as_str());
    if is_passed_through {
        let message =
            format!("endpoint `{endpoint}` is passed through, so no request on it is seen");
        sheet.error(section.head.clone(), message).help =
            Some("describe the connection: `action = \"connect\"` with `facts`".to_owned());
    }
    !is_passed_through
}

fn report<T>(sheet: &mut Sheet<'_>, word: &Word, read: Result<T, Wrong>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(Wrong { message, help }) => {
            sheet.error(word.span.clone(), message).help =
                Some(help.to_owned()).filter(|help| !help.is_empty());
            None
        }
    }
}

pub(super) fn check_method(text: &str) -> Result<(), Wrong> {
    let is_method =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if is_method {
        return Ok(());
    }
    let message = format!("`{text}` is not a method");
    Err(Wrong { message, help: "methods are upper case: `GET`, `POST`" })
}

/// Path and query of a request.
pub(super) fn target(text: &str) -> Result<(String, Option<String>), Wrong> {
    let is_sent = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !text.starts_with('/') || !is_sent {
        let message = format!("`{text}` is not a path");
        let help = "as it is sent: from `/` on, percent-encoded, with its query";
        return Err(Wrong { message, help });
    }
    Ok(match text.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (text.to_owned(), None),
    })
}

pub(super) fn check_header(name: &str, value: &str) -> Result<(), Wrong> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(is_token) {
        let message = format!("`{name}` is not the name of a header");
        return Err(Wrong { message, help: "letters, digits, `-`, `_` and `.`" });
    }
    if value.chars().any(char::is_control) {
        let message = format!("the value of header `{name}` has a control character");
        return Err(Wrong { message, help: "a value is one line" });
    }
    Ok(())
}

fn read_headers(sheet: &mut Sheet<'_>, section: &Section<'_>) -> Vec<(String, String)> {
    let Some(table) = sheet.section(section, "headers") else { return Vec::new() };
    let mut headers = Vec::new();
    for name in table.table.keys() {
        let word = Word { text: name.get_ref().to_string(), span: name.span() };
        let Some(value) = sheet.text(&table, &word.text) else { continue };
        if report(sheet, &word, check_header(&word.text, &value.text)).is_some() {
            headers.push((word.text.to_ascii_lowercase(), value.text));
        }
    }
    headers
}

fn read_body(sheet: &mut Sheet<'_>, section: &Section<'_>) -> Vec<u8> {
    match (section.table.get_key_value("body"), section.table.get("json")) {
        (Some((key, _)), Some(_)) => {
            let message = "`body` cannot stand beside `json`: a request has one body";
            sheet.error(key.span(), message);
            Vec::new()
        }
        (None, Some(value)) => serde_json::to_vec(&json(value.get_ref())).unwrap_or_default(),
        (_, None) => {
            sheet.text(section, "body").map(|word| word.text.into_bytes()).unwrap_or_default()
        }
    }
}

/// TOML as JSON. What JSON does not have (dates, numbers that are none) becomes a string.
pub(in crate::policy) fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::String(number.to_string()), Value::from),
        DeValue::Float(number) => {
            let parsed = number.as_str().parse::<f64>().ok().and_then(Number::from_f64);
            parsed.map_or_else(|| Value::String(number.to_string()), Value::Number)
        }
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(members(table)),
    }
}

fn members(table: &DeTable<'_>) -> Map<String, Value> {
    let members = table.iter();
    members.map(|(name, value)| (name.get_ref().to_string(), json(value.get_ref()))).collect()
}
