// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Doors: the methods and path patterns of an API, and what is known of the requests that come through one.
//!
//! Only the exact method and path: a trailing slash, another case or an encoded byte may reach another
//! handler upstream, so such a request has no door and is judged as `http`.

use std::fmt;

use crate::model::{Call, Called, FileRead, Image, OpaqueCause, Operation, Upload};

use super::answer::Shape;
use super::json_tree::Node;

/// One method and path pattern of an API.
#[derive(Clone, Copy)]
pub struct Door {
    /// Method, upper case.
    pub method: &'static str,
    /// Path pattern; `{}` is one segment.
    pub path: &'static str,
    /// The action in rules of a request that is understood.
    pub action: &'static str,
    /// What is read of a request.
    pub reads: Reads,
}

/// What is read of a request.
#[derive(Clone, Copy, Debug)]
pub enum Reads {
    /// A form: it is streamed, and only its length is known.
    Form,
    /// Its head; it has no body that means anything.
    Head,
    /// Its body, which is JSON of this API.
    Json(&'static Api),
}

/// What a JSON body of a door means.
pub struct Api {
    /// Name in the documentation, and as the fact `context.api` where an action has several.
    pub name: &'static str,
    /// How it is read: which strings of requests are no text either, and how answers come.
    pub shape: &'static Shape,
    /// The facts; `None` if a field is not what the API says.
    pub(crate) operation: for<'b> fn(&Asked<'_>, &Node<'b>) -> Option<Operation>,
    /// What it asks with that, each a request of its own; `None` if a field is not what the API says.
    pub(crate) calls: for<'b> fn(&Asked<'_>, &Node<'b>) -> Option<Vec<Called>>,
    /// True if what it asks with that may have another action than its door.
    pub has_other_actions: bool,
    /// True if a model answers, so that what cannot be read of an answer ends it, and its tokens are counted.
    pub is_generated: bool,
    /// True if a request may come without a body.
    pub is_body_optional: bool,
}

/// What the head of a request says to whoever reads its body.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'h> {
    /// The door it came through.
    pub door: &'static Door,
    /// Path without query, as sent.
    pub path: &'h str,
    /// Query as sent, without `?`; empty if there is none.
    pub query: &'h str,
    /// The model that the path names, where the API has it there.
    pub model: Option<&'h str>,
}

/// A door of a table.
pub(super) const fn door(
    method: &'static str,
    path: &'static str,
    action: &'static str,
    reads: Reads,
) -> Door {
    Door { method, path, action, reads }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl PartialEq for Door {
    fn eq(&self, other: &Self) -> bool {
        (self.method, self.path) == (other.method, other.path)
    }
}

impl Eq for Door {}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Door {
    /// Whether a path fits what the pattern has behind `prefix`.
    #[must_use]
    pub fn fits(&self, prefix: &str, path: &str) -> bool {
        let Some(pattern) = self.path.strip_prefix(prefix) else { return false };
        let (mut pattern, mut given) = (pattern.split('/'), path.split('/'));
        loop {
            match (pattern.next(), given.next()) {
                (None, None) => return true,
                (Some("{}"), Some(segment)) if is_segment(segment) => {}
                (Some(literal), Some(segment)) if literal == segment => {}
                _ => return false,
            }
        }
    }
}

impl Asked<'_> {
    /// What the head of a request says, where its body is not read; `size` as declared.
    #[must_use]
    pub fn by_head(&self, size: i64, has_body: bool) -> Option<Operation> {
        match self.door.action {
            "file_read" => {
                let is_content = self.path.ends_with("/content") || self.path.ends_with("/results");
                Some(Operation::FileRead(FileRead { path: self.path.to_owned(), is_content }))
            }
            // The form is not read, so as many may be asked for as there are.
            "image" => Some(Operation::Image(Image { model: String::new(), count: i64::MAX })),
            "file_upload" => Some(Operation::FileUpload(Upload { size })),
            "transcribe" => Some(Operation::Transcribe(Upload { size })),
            _ => self.call(String::new(), has_body),
        }
    }

    /// The operation of a door that has no facts of its own.
    pub(super) fn call(&self, model: String, has_body: bool) -> Option<Operation> {
        let Door { method, path: door, action, .. } = *self.door;
        let call = Call {
            method: method.to_owned(),
            path: self.path.to_owned(),
            query: self.query.to_owned(),
            door: door.to_owned(),
            model,
            has_body,
        };
        Some(match action {
            "administer" => Operation::Administer(call),
            "agent_run" => Operation::AgentRun(call),
            "list_models" => Operation::ListModels(call),
            "realtime" => Operation::Realtime(call),
            "search" => Operation::Search(call),
            "stored_read" => Operation::StoredRead(call),
            "stored_write" => Operation::StoredWrite(call),
            "video" => Operation::Video(call),
            _ => return None,
        })
    }
}

impl Api {
    /// Reads a body.
    ///
    /// # Errors
    /// The cause by which the request becomes `opaque`.
    pub(super) fn read(
        &self,
        asked: &Asked<'_>,
        body: &[u8],
    ) -> Result<(Operation, Vec<Called>), OpaqueCause> {
        if body.is_empty() && self.is_body_optional {
            let operation = asked.call(String::new(), false).ok_or(OpaqueCause::Fields)?;
            return Ok((operation, Vec::new()));
        }
        let body = Node::read(body)?;
        let operation = (self.operation)(asked, &body).ok_or(OpaqueCause::Fields)?;
        Ok((operation, (self.calls)(asked, &body).ok_or(OpaqueCause::Fields)?))
    }
}

/// An id, or a name, and nothing that another reader may take for more: `%3A` is the colon that SDKs escape.
fn is_segment(segment: &str) -> bool {
    let plain = segment.replace("%3A", ":").replace("%3a", ":");
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:~@".contains(&byte);
    !plain.is_empty() && plain.bytes().all(is_part) && plain.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_path_fits() {
        let one = door("GET", "/v1/files/{}/content", "file_read", Reads::Head);
        for path in ["/v1/files/file-abc_1/content", "/v1/files/ft%3Agpt:x.y/content"] {
            assert!(one.fits("", path), "{path}");
        }
        for path in [
            "/v1/files//content",
            "/v1/files/../content",
            "/v1/files/./content",
            "/v1/files/a%2fb/content",
            "/v1/files/a/b/content",
            "/v1/files/a/content/",
            "/v1/files/a/Content",
            "/v1/files/a;b/content",
            "/v1/files/a",
            "v1/files/a/content",
            "",
        ] {
            assert!(!one.fits("", path), "{path}");
        }
        assert!(one.fits("/v1", "/files/a/content") && !one.fits("/v2", "/files/a/content"));
    }
}
