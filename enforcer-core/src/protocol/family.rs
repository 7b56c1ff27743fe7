// SPDX-License-Identifier: Apache-2.0 OR MIT
//! API families: a table of doors with one error shape, and the way from a head to its door.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::mask::DetectorSet;
use crate::model::{Denied, ExchangeId, OpaqueCause, Operation};

use super::answer::Shape;
use super::body::detect_body;
use super::door::{Asked, Door, Reads};
use super::understood::Understood;

/// A family of APIs.
pub struct Family {
    /// Its name: `protocol = "…"` in a bundle.
    pub name: &'static str,
    /// Every door that is known.
    pub doors: &'static [Door],
    /// Where a path is within the API.
    pub place: for<'p> fn(&'p str) -> Place<'p>,
    /// How answers come, where the door has no API of its own.
    pub shape: &'static Shape,
    /// Whether its APIs know a header, in lower case.
    pub knows_header: fn(&str) -> bool,
    /// Whether everything in a query is known, where facts are in the body.
    pub knows_query: fn(&str) -> bool,
    /// A body in which every text can be read as one; [`as_sent`] where texts come in no other form. `None` if that
    /// is not possible.
    pub(crate) spelled: Spelled,
    /// The body of a refusal.
    pub refusal: fn(&Denied, Option<ExchangeId>) -> Value,
}

/// Where a path is within an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'p> {
    /// What its doors begin with that is not in `path`.
    pub prefix: &'static str,
    /// The rest of the path.
    pub path: &'p str,
    /// The model that the path names, where it does.
    pub model: Option<&'p str>,
}

/// Turns a body into one in which every text can be read as one.
pub(crate) type Spelled = for<'b> fn(&Asked<'_>, &'b [u8]) -> Option<Cow<'b, [u8]>>;

/// Where texts come as such.
pub(super) fn as_sent<'b>(_asked: &Asked<'_>, body: &'b [u8]) -> Option<Cow<'b, [u8]>> {
    Some(Cow::Borrowed(body))
}

/// The door of a request.
#[derive(Clone, Copy)]
pub struct Route {
    family: &'static Family,
    door: &'static Door,
    /// False if its head says that a body could not be read: it may have none.
    may_have_body: bool,
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.family.name, self.door)
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        let parts = |it: &Self| (it.family.name, it.door, it.may_have_body);
        parts(self) == parts(other)
    }
}

impl Eq for Route {}

impl Family {
    /// The door of a request.
    #[must_use]
    pub fn route(&'static self, method: &str, path: &str) -> Option<Route> {
        let Place { prefix, path, .. } = (self.place)(path);
        let fits = |door: &&Door| door.method == method && door.fits(prefix, path);
        // `{` sorts behind whatever a literal segment begins with: the most literal door is meant.
        let door = self.doors.iter().filter(fits).min_by_key(|door| door.path)?;
        Some(Route { family: self, door, may_have_body: true })
    }
}

impl Route {
    /// The door.
    #[must_use]
    pub const fn door(self) -> &'static Door {
        self.door
    }

    /// True if the facts are in the body, which is JSON; false if the head says all that is known.
    #[must_use]
    pub const fn reads_body(self) -> bool {
        matches!(self.door.reads, Reads::Json(_))
    }

    /// True if a model answers, so that what cannot be read of an answer ends it, and its tokens are counted.
    #[must_use]
    pub const fn is_generated(self) -> bool {
        matches!(self.door.reads, Reads::Json(api) if api.is_generated)
    }

    /// True if a request may hold others with another action than its door.
    #[must_use]
    pub const fn has_other_actions(self) -> bool {
        matches!(self.door.reads, Reads::Json(api) if api.has_other_actions)
    }

    /// True if requests may come without a body, and so without its type.
    #[must_use]
    pub const fn is_body_optional(self) -> bool {
        matches!(self.door.reads, Reads::Json(api) if api.is_body_optional)
    }

    /// The same, of a request that does not say that its body is JSON.
    #[must_use]
    pub const fn without_body(self) -> Self {
        Self { may_have_body: false, ..self }
    }

    /// The action it is in rules, when its body is understood.
    #[must_use]
    pub const fn action(self) -> &'static str {
        self.door.action
    }

    /// How its answers come.
    #[must_use]
    pub const fn shape(self) -> &'static Shape {
        match self.door.reads {
            Reads::Json(api) => api.shape,
            Reads::Form | Reads::Head => self.family.shape,
        }
    }

    /// Whether what a request asks can depend on its query beyond what the facts say.
    #[must_use]
    pub fn knows_query(self, query: &str) -> bool {
        !self.reads_body() || (self.family.knows_query)(query)
    }

    /// Reads a request whose facts are in its body.
    ///
    /// # Errors
    /// The cause by which the request becomes `opaque`.
    pub fn decode(
        self,
        path: &str,
        query: &str,
        body: &[u8],
        detectors: &DetectorSet,
    ) -> Result<Understood, OpaqueCause> {
        let Reads::Json(api) = self.door.reads else { return Err(OpaqueCause::Fields) };
        if !self.may_have_body && !body.is_empty() {
            return Err(OpaqueCause::Encoding);
        }
        let asked = self.asked(path, query);
        let body = &*(self.family.spelled)(&asked, body).ok_or(OpaqueCause::Fields)?;
        let (operation, calls) = api.read(&asked, body)?;
        let is_empty = body.is_empty();
        let detected = if is_empty {
            detectors.look().names()
        } else {
            detect_body(api.shape.tables, body, detectors)?
        };
        Ok(Understood { operation, calls, detected })
    }

    /// What the head of a request says, where its body is not read; `size` as declared.
    #[must_use]
    pub fn by_head(self, path: &str, query: &str, size: i64, has_body: bool) -> Option<Operation> {
        if self.reads_body() { None } else { self.asked(path, query).by_head(size, has_body) }
    }

    /// The body of a request in which every text can be read as one.
    ///
    /// # Errors
    /// When a text cannot be read.
    pub(super) fn spelled(self, body: &[u8]) -> Result<Cow<'_, [u8]>, OpaqueCause> {
        let asked = self.asked(self.door.path, "");
        (self.family.spelled)(&asked, body).ok_or(OpaqueCause::Fields)
    }

    fn asked<'h>(self, path: &'h str, query: &'h str) -> Asked<'h> {
        Asked { door: self.door, path, query, model: (self.family.place)(path).model }
    }
}
