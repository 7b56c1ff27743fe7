// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a request to what the policy may know about it: one way, for the data path and for cases.
//!
//! The data path receives a body piece by piece, so the way has three steps: [`need`] says from the head
//! what has to be known of the body, [`decode`] understands a whole body, [`assemble`] puts the facts
//! together. [`of_request`] takes all three for a request that is there already. Nothing here waits, and
//! nothing is half known: what the codec does not understand is `opaque`.

#[cfg(test)]
mod tests;
mod views;
mod why;

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::mask::{DetectorSet, Masker, unescaped};
use crate::model::{
    AgentName, Called, DetectorName, Facts, Http, Opaque, OpaqueCause, Operation, WhyOpaque, limits,
};
use crate::policy::{Endpoint, Policy, Protocol};
use crate::protocol::codec::{self, Route, Understood};
use crate::protocol::content::encoding::{Codings, Fault};

use self::views::{VIEWS, json_places};

/// Headers whose values are secrets of the agent for this very provider; nothing is looked for in them.
const CREDENTIALS: [&str; 3] = ["api-key", "authorization", "x-api-key"];

/// What comes before the body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'h> {
    /// Request method, as sent.
    pub method: &'h str,
    /// Path without query, as sent.
    pub path: &'h str,
    /// Query as sent, without `?`; none if there is none.
    pub query: Option<&'h str>,
    /// Headers in the order they came, names in lower case.
    pub headers: Vec<(&'h str, &'h [u8])>,
}

/// Where something stands in the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'h> {
    /// In the name or the value of the header of this name.
    Header(&'h str),
    /// In the path or the query.
    Line,
}

/// Who asks where, and by whose rules.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'s> {
    /// Who asks.
    pub agent: &'s AgentName,
    /// Where to.
    pub endpoint: &'s Endpoint,
    /// What is going to judge.
    pub policy: &'s Policy,
}

/// What has to be known of a body before the request can be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Only whether there is one, and how long it is; the head says the rest, by this codec if there is one.
    Nothing(Option<Route>),
    /// A codec should understand it and, by what the head says of it, cannot.
    Undecodable(Route, WhyOpaque),
    /// All of it without these content codings, for this codec.
    Encoded(Route, Codings),
    /// All of it, for this codec.
    Whole(Route),
}

/// What is known of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A codec should understand it and cannot.
    Opaque {
        /// Why not.
        why: WhyOpaque,
        /// Its bytes; the largest number if nobody knows.
        size: i64,
    },
    /// Nobody looks at it.
    Unread {
        /// The codec that understands the head.
        route: Option<Route>,
        /// Whether there is one, of whatever length.
        has_body: bool,
        /// Its bytes as declared; the largest number if they are not.
        size: i64,
    },
    /// Its codec understood all of it.
    Understood(Box<Understood>),
}

/// What has to be known of the body of a request that begins like this.
#[must_use]
pub fn need(protocol: Protocol, head: &Head<'_>) -> Need {
    let route = match codec::route(protocol, head.method, head.path) {
        None => return Need::Nothing(None),
        Some(route) if !route.reads_body() => {
            let why = why::cut_answer(head.query.unwrap_or_default());
            return why.map_or(Need::Nothing(Some(route)), |why| Need::Undecodable(route, why));
        }
        Some(route) => route,
    };
    let codings = match head.codings(route) {
        Ok(codings) => codings,
        Err(why) => return Need::Undecodable(route, why),
    };
    let kinds: Vec<&[u8]> = head.values("content-type").collect();
    let route = if head.is_json() {
        route
    } else if kinds.is_empty() && route.is_body_optional() {
        route.without_body()
    } else {
        return Need::Undecodable(route, why::wrong_type(&kinds));
    };
    if codings.is_empty() { Need::Whole(route) } else { Need::Encoded(route, codings) }
}

/// Understands a whole body. The caller holds back what is larger than
/// [`limits::REQUEST_BODY_BYTES_MAX`].
///
/// # Errors
/// Why the request becomes `opaque`.
pub fn decode(
    scope: &Scope<'_>,
    route: Route,
    path: &str,
    query: &str,
    body: &[u8],
) -> Result<Understood, WhyOpaque> {
    let detectors = scope.detectors(route.action(), route.has_other_actions()).0;
    let understood = route.decode(path, query, body, detectors);
    understood.map_err(|cause| match cause {
        OpaqueCause::NotJson => why::not_json(body),
        cause => cause.into(),
    })
}

/// Puts together what the policy may know.
#[must_use]
pub fn assemble(scope: &Scope<'_>, head: &Head<'_>, body: Body) -> Facts {
    let (operation, calls, mut detected) = match body {
        Body::Understood(understood) => {
            let Understood { operation, calls, detected } = *understood;
            (operation, calls, detected)
        }
        Body::Opaque { why: WhyOpaque { cause, detail }, size } => {
            let (method, path) = (head.method.to_owned(), head.path.to_owned());
            (
                Operation::Opaque(Opaque { method, path, size, cause, detail }),
                Vec::new(),
                BTreeSet::new(),
            )
        }
        Body::Unread { route, has_body, size } => {
            let query = head.query.unwrap_or_default();
            let http = || Http {
                method: head.method.to_owned(),
                path: head.path.to_owned(),
                query: query.to_owned(),
                has_body,
            };
            let by_head = |route: Route| route.by_head(head.path, query, size, has_body);
            let operation = route.and_then(by_head).unwrap_or_else(|| Operation::Http(http()));
            (operation, Vec::new(), BTreeSet::new())
        }
    };
    let is_other = |call: &Called| call.operation.action() != operation.action();
    let has_others = calls.iter().any(is_other);
    let (detectors, sought) = scope.detectors(operation.action(), has_others);
    detected.extend(head.detect(detectors));
    let all = || scope.policy.detector_names().into_iter().collect();
    // By name, because a later version may have more detectors than all of today's.
    let sought = Some(sought.cloned().unwrap_or_else(all));
    let (agent, endpoint) = (scope.agent.clone(), scope.endpoint.name.clone());
    Facts { agent, endpoint, detected, sought, hidden: BTreeSet::new(), operation, calls }
}

/// The facts of a request whose body is there completely, as the data path would find them.
#[must_use]
pub fn of_request(scope: &Scope<'_>, head: &Head<'_>, body: &[u8]) -> Facts {
    let size = i64::try_from(body.len()).unwrap_or(i64::MAX);
    let opaque = |why| Body::Opaque { why, size };
    let known = match need(scope.endpoint.protocol, head) {
        Need::Nothing(route) => Body::Unread { route, has_body: !body.is_empty(), size },
        Need::Undecodable(_, why) => opaque(why),
        Need::Encoded(..) | Need::Whole(_) if body.len() > limits::REQUEST_BODY_BYTES_MAX => {
            opaque(OpaqueCause::TooLarge.into())
        }
        Need::Encoded(route, codings) => match plain(&codings, body) {
            Ok(body) => understood(scope, route, head, &body),
            Err(why) => opaque(why),
        },
        Need::Whole(route) => understood(scope, route, head, body),
    };
    assemble(scope, head, known)
}

fn understood(scope: &Scope<'_>, route: Route, head: &Head<'_>, body: &[u8]) -> Body {
    let size = i64::try_from(body.len()).unwrap_or(i64::MAX);
    match decode(scope, route, head.path, head.query.unwrap_or_default(), body) {
        Ok(understood) => Body::Understood(Box::new(understood)),
        Err(why) => Body::Opaque { why, size },
    }
}

/// A body without its codings, where nobody counts the memory.
fn plain<'b>(codings: &Codings, body: &'b [u8]) -> Result<Cow<'b, [u8]>, WhyOpaque> {
    codings.undo(body, &mut |_bytes| true).map_err(|fault| match fault {
        Fault::NoRoom => OpaqueCause::TooLarge.into(),
        Fault::Opaque(why) => why,
    })
}

/// The body that a codec reads of a request that is there completely, without its codings; none if no codec can.
#[must_use]
pub fn readable<'b>(
    protocol: Protocol,
    head: &Head<'_>,
    body: &'b [u8],
) -> Option<(Route, Cow<'b, [u8]>)> {
    match need(protocol, head) {
        Need::Encoded(route, codings) => Some((route, plain(&codings, body).ok()?)),
        Need::Whole(route) => Some((route, Cow::Borrowed(body))),
        Need::Nothing(_) | Need::Undecodable(..) => None,
    }
}

/// What any detector of the bundle finds in a request, whether or not a rule asks for it.
#[must_use]
pub fn detected(
    policy: &Policy,
    protocol: Protocol,
    head: &Head<'_>,
    body: &[u8],
) -> BTreeSet<DetectorName> {
    let mut found = head.detect(policy.detectors());
    if let Some((route, body)) = readable(protocol, head, body)
        && let Ok(understood) =
            route.decode(head.path, head.query.unwrap_or_default(), &body, policy.detectors())
    {
        found.extend(understood.detected);
    }
    found
}

impl<'s> Scope<'s> {
    /// What is looked for in a request with this action, and the names of that unless it is everything, as it is
    /// where it holds requests with other actions.
    fn detectors(
        &self,
        action: &str,
        has_others: bool,
    ) -> (&'s DetectorSet, Option<&'s BTreeSet<DetectorName>>) {
        if has_others {
            return (self.policy.detectors(), None);
        }
        match self.policy.detectors_for(self.agent, action, &self.endpoint.name) {
            Some((detectors, sought)) => (detectors, Some(sought)),
            None => (self.policy.detectors(), None),
        }
    }
}

impl Head<'_> {
    /// Detectors that find something in path, query or headers.
    #[must_use]
    pub fn detect(&self, detectors: &DetectorSet) -> BTreeSet<DetectorName> {
        let mut look = detectors.look();
        if !detectors.is_empty() {
            self.read(|_place, text| look.text(text));
        }
        look.names()
    }

    /// The first place in path, query or headers where the masker would change something, if there is one. They
    /// cannot be masked without changing what the request means.
    #[must_use]
    pub fn touched(&self, masker: &Masker) -> Option<Place<'_>> {
        let mut touched = None;
        self.read(|place, text| {
            if touched.is_none() && masker.mask_text(text).count > 0 {
                touched = Some(place);
            }
        });
        touched
    }

    /// Calls back with everything in it that is a text, in every way in which somebody may read it.
    fn read<'a>(&'a self, mut back: impl FnMut(Place<'a>, &str)) {
        let line = std::iter::once(self.path).chain(self.query);
        let line = line.flat_map(|raw| VIEWS.map(|view| view(raw)));
        let line = line.map(|text| (Place::Line, text));
        let fields = self.headers.iter().flat_map(|(name, value)| {
            // A name is a text, too, where a family takes any that begin in its way.
            let value = (!CREDENTIALS.contains(name)).then(|| String::from_utf8_lossy(value));
            let texts = std::iter::once((*name).to_owned()).chain(value.map(Cow::into_owned));
            texts
                .flat_map(|text| {
                    let as_json = unescaped(&text).into_owned();
                    VIEWS.map(|view| view(&text)).into_iter().chain([as_json]).collect::<Vec<_>>()
                })
                .map(|text| (Place::Header(name), text))
                .collect::<Vec<_>>()
        });
        for (place, text) in line.chain(fields) {
            for (from, to) in json_places(&text) {
                back(place, text.get(from..to.unwrap_or(text.len())).unwrap_or_default());
            }
        }
    }

    fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.headers.iter().filter(move |(found, _)| *found == name).map(|(_, value)| *value)
    }

    /// The codings of the body, or why it will not be understood, as far as the head shows it.
    fn codings(&self, route: Route) -> Result<Codings, WhyOpaque> {
        let codings = Codings::declared(self.values("content-encoding"))?;
        let unknown = why::unknown_query(route, self.query.unwrap_or_default());
        unknown.map_or(Ok(codings), Err)
    }

    /// SECURITY: a provider that follows the declared type or character set would read another text than
    /// we do, so only JSON in UTF-8 is understood (RFC 8259 section 8.1).
    fn is_json(&self) -> bool {
        let mut values = self.values("content-type");
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let Some(text) = std::str::from_utf8(value).ok().filter(|text| text.is_ascii()) else {
            return false;
        };
        let mut parts = text.split(';').map(str::trim);
        let is_type =
            parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
        is_type
            && parts.all(|parameter| {
                let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                name.trim().eq_ignore_ascii_case("charset")
                    && value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            })
    }
}

/// A text of the request line without what the masker finds, also behind percent signs and in JSON.
#[must_use]
pub fn masked(text: &str, masker: &Masker) -> String {
    let mut shown = text.to_owned();
    for view in VIEWS {
        let (mut seen, mut is_changed) = (view(&shown), false);
        // From the end on, so that the other places stay where they are.
        for (from, to) in json_places(&seen).into_iter().rev() {
            let to = to.unwrap_or(seen.len());
            let masked = masker.mask_text(seen.get(from..to).unwrap_or_default());
            if masked.count > 0 {
                let masked = masked.text.into_owned();
                seen.replace_range(from..to, &masked);
                is_changed = true;
            }
        }
        if is_changed {
            shown = seen;
        }
    }
    shown
}
