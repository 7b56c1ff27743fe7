// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every route of the admin API, with what it needs: the router is built from this table and from nothing else, so
//! that no route exists without a grade.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use enforcer_core::model::limits;

use super::access::{Wanted, admitted, outsiders_only};
use super::grade::Needs;
use super::host::Host;
use super::{metrics, obligations, records, routes};

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Changes something.
    Post,
}

impl Method {
    /// As it is written in a request.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }

    const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
        }
    }
}

/// One route of the admin API.
#[derive(Debug)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path; a part in braces is a variable.
    pub path: &'static str,
    /// Who may use it.
    pub needs: Needs,
    /// The type of the request's body (JSON), where there is one.
    pub request: Option<&'static str>,
    /// The type of the answer's body: JSON unless the word says otherwise.
    pub answer: &'static str,
    /// What it does, in one sentence.
    pub help: &'static str,
    /// What answers it.
    handle: fn(MethodFilter) -> MethodRouter<Arc<Host>>,
}

/// All routes, by path and method.
pub const ROUTES: &[Route] = &[
    Route {
        method: Method::Get,
        path: "/v1/approvals",
        needs: Needs::Own,
        request: None,
        answer: "array of OpenQuestion",
        help: "Lists the requests that wait for a person; of others' sessions only those that the asking user may \
               answer, unless the user is in the group `enforcer-audit`.",
        handle: |method| on(method, obligations::questions),
    },
    Route {
        method: Method::Get,
        path: "/v1/approvals/{id}",
        needs: Needs::Own,
        request: None,
        answer: "ShownQuestion",
        help: "Shows all of one of them; from then on the asking user may grant it, if the bundle names that user.",
        handle: |method| on(method, obligations::question),
    },
    Route {
        method: Method::Post,
        path: "/v1/approvals/{id}",
        needs: Needs::Use,
        request: Some("Answer"),
        answer: "Answered",
        help: "Grants or refuses one of them, as `by` of the approval in the bundle permits.",
        handle: |method| on(method, obligations::answer),
    },
    Route {
        method: Method::Get,
        path: "/v1/budgets",
        needs: Needs::Audit,
        request: None,
        answer: "array of AccountStatus",
        help: "Lists the budgets of the policy in force, with what is used, reserved and left in each of their \
               counters.",
        handle: |method| on(method, obligations::budgets),
    },
    Route {
        method: Method::Post,
        path: "/v1/budgets/reset",
        needs: Needs::Change,
        request: Some("string"),
        answer: "Amount",
        help: "Sets a counter of a budget back to 0, and records who did it and what the counter had.",
        handle: |method| on(method, obligations::reset),
    },
    Route {
        method: Method::Get,
        path: "/v1/metrics",
        needs: Needs::Audit,
        request: None,
        answer: "text in the exposition format of Prometheus",
        help: "Gives the metrics for a scraper.",
        handle: |method| on(method, metrics::metrics),
    },
    Route {
        method: Method::Get,
        path: "/v1/sessions",
        needs: Needs::Own,
        request: None,
        answer: "array of SessionSummary",
        help: "Lists the recorded sessions.",
        handle: |method| on(method, records::sessions),
    },
    Route {
        method: Method::Post,
        path: "/v1/sessions",
        needs: Needs::Use,
        request: Some("StartSession"),
        answer: "StartedSession",
        help: "Makes the asking process an agent.",
        handle: |method| on(method, routes::start),
    },
    Route {
        method: Method::Get,
        path: "/v1/sessions/begun",
        needs: Needs::Own,
        request: None,
        answer: "array of session ids",
        help: "Lists sessions that began after the session `after`, the oldest first and at most 128.",
        handle: |method| on(method, records::begun),
    },
    Route {
        method: Method::Get,
        path: "/v1/sessions/{id}/events",
        needs: Needs::Own,
        request: None,
        answer: "EventPage",
        help: "Gives one page of the events of a session, from the sequence number `from` on.",
        handle: |method| on(method, records::events),
    },
    Route {
        method: Method::Get,
        path: "/v1/sessions/{id}/events/{sequence}/bodies/{hash}",
        needs: Needs::Own,
        request: None,
        answer: "bytes",
        help: "Gives the stored body of this hash, which that event of that session has to name.",
        handle: |method| on(method, records::body),
    },
    Route {
        method: Method::Get,
        path: "/v1/status",
        needs: Needs::Own,
        request: None,
        answer: "Status",
        help: "Gives the state at a glance; sessions and questions of others, and budgets, only to members of the \
               group `enforcer-audit`.",
        handle: |method| on(method, routes::status),
    },
    Route {
        method: Method::Get,
        path: "/v1/verify",
        needs: Needs::Own,
        request: None,
        answer: "VerifyReport",
        help: "Compares what is stored with what was written, for one session (`session`) or for everything, which \
               takes the group `enforcer-audit`.",
        handle: |method| on(method, records::verify),
    },
];

impl Route {
    pub(super) const fn wanted(&self) -> Wanted {
        Wanted { needs: self.needs, method: self.method.word(), path: self.path }
    }
}

/// The router of these routes.
pub(super) fn router(host: &Arc<Host>) -> Router {
    let routes = ROUTES.iter().fold(Router::new(), |router, route| {
        let check = from_fn_with_state((Arc::clone(host), route.wanted()), admitted);
        let handler = (route.handle)(route.method.filter());
        router.route(route.path, handler.route_layer(check))
    });
    routes
        .layer(from_fn_with_state(Arc::clone(host), outsiders_only))
        .layer(DefaultBodyLimit::max(limits::ADMIN_BODY_BYTES_MAX))
        .with_state(Arc::clone(host))
}

#[cfg(test)]
mod tests;
