// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The metrics for a scraper, from one table: name, kind, labels and help of each, and how it is read.
//!
//! The text format is that of Prometheus, version 0.0.4.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;

use super::Status;
use super::host::Host;
use super::routes::state_of_everything;
use crate::enforce::Series;

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Grows until the daemon ends.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Kind {
    /// The word of the text format.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence.
    pub help: &'static str,
    read: fn(&Read<'_>) -> Vec<Sample>,
}

/// What metrics are read from.
struct Read<'r> {
    status: &'r Status,
    denied: &'r Series,
    exchanges: &'r Series,
}

/// The values of the labels, in their order, and the value.
struct Sample(Vec<String>, u64);

/// A metric without labels.
fn plain(value: u64) -> Vec<Sample> {
    vec![Sample(Vec::new(), value)]
}

fn series(series: &Series) -> Vec<Sample> {
    series.iter().map(|(labels, value)| Sample(labels.clone(), *value)).collect()
}

/// All metrics, by name.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "enforcer_alarm",
        kind: Kind::Gauge,
        labels: &["fault"],
        help: "1 while this fault lasts; absent otherwise.",
        read: |read| {
            let alarms = read.status.health.iter();
            alarms.map(|alarm| Sample(vec![alarm.name.name().to_owned()], 1)).collect()
        },
    },
    Metric {
        name: "enforcer_attempts_total",
        kind: Kind::Counter,
        labels: &["technique"],
        help: "Attempts that were refused by the kernel programs, by technique; those of guarded processes to use the \
               admin API, and connections to the proxy's port without a known origin, count as well.",
        read: |read| {
            let attempts = read.status.attempts.iter();
            let sample = |(technique, count): (&enforcer_core::record::Technique, &u64)| {
                Sample(vec![technique.word().to_owned()], *count)
            };
            attempts.map(sample).collect()
        },
    },
    Metric {
        name: "enforcer_denied_total",
        kind: Kind::Counter,
        labels: &["agent", "endpoint", "reason", "rule"],
        help: "Requests and connections that were denied; `rule` is the first of the rules that denied and \
               empty where no rule denied, `endpoint` is `-` for what went to none, and combinations beyond a bound \
               are counted as `other`.",
        read: |read| series(read.denied),
    },
    Metric {
        name: "enforcer_exchanges_total",
        kind: Kind::Counter,
        labels: &["agent", "endpoint", "effect"],
        help: "Exchanges that were judged. `effect` is `deny` where the rules, a budget, a credential, masking or the \
               memory for bodies refused the request, `would_deny` where the bundle observes and its rules would deny, \
               otherwise `allow`. What an approval, the record, the provider or the answer refuses later counts as \
               `allow` here, and is in enforcer_denied_total.",
        read: |read| series(read.exchanges),
    },
    Metric {
        name: "enforcer_healthy",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 if no fault lasts, otherwise 0.",
        read: |read| plain(u64::from(read.status.is_healthy)),
    },
    Metric {
        name: "enforcer_kernel_events_lost_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Refusals of the kernel that were not recorded because the ring buffer was full.",
        read: |read| plain(read.status.kernel_events_lost),
    },
    Metric {
        name: "enforcer_policy_info",
        kind: Kind::Gauge,
        labels: &["version", "mode"],
        help: "Always 1; the labels name the policy in force and its mode (`enforce` or `observe`).",
        read: |read| {
            let policy = &read.status.policy;
            let mode = if policy.mode.is_enforce() { "enforce" } else { "observe" };
            vec![Sample(vec![policy.version.to_string(), mode.to_owned()], 1)]
        },
    },
    Metric {
        name: "enforcer_policy_refused",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 while the bundle in the folder is not in force because it was refused, otherwise 0.",
        read: |read| plain(u64::from(read.status.policy.refused.is_some())),
    },
    Metric {
        name: "enforcer_questions_open",
        kind: Kind::Gauge,
        labels: &[],
        help: "Requests that wait for a person.",
        read: |read| plain(read.status.questions.open as u64),
    },
    Metric {
        name: "enforcer_sessions",
        kind: Kind::Gauge,
        labels: &[],
        help: "Sessions that are alive.",
        read: |read| plain(read.status.sessions.len() as u64),
    },
];

/// The numbers of `status` and the counters of the exchanges.
pub(super) async fn metrics(State(host): State<Arc<Host>>) -> String {
    let status = state_of_everything(&host);
    let denials = &host.enforcer.denials;
    let (denied, exchanges) = (&denials.denied_counts(), &denials.exchange_counts());
    text(&Read { status: &status, denied, exchanges })
}

fn text(read: &Read<'_>) -> String {
    let mut text = String::new();
    for metric in METRICS {
        let (name, help) = (metric.name, metric.help);
        // Writing into a String does not fail.
        let _infallible = writeln!(text, "# HELP {name} {help}");
        let _infallible = writeln!(text, "# TYPE {name} {}", metric.kind.word());
        for Sample(values, value) in (metric.read)(read) {
            let labels = metric.labels.iter().zip(&values);
            let labels: Vec<String> =
                labels.map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let labels =
                if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _infallible = writeln!(text, "{name}{labels} {value}");
        }
    }
    text
}

/// A value of a label as the text format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn every_metric_has_its_help_its_type_and_its_labels() {
        let alarm = json!({"name": "journal", "detail": "x", "advice": "y"});
        let status: Status = serde_json::from_value(json!({
            "version": "1", "pid": 1, "is_healthy": false, "health": [alarm],
            "attempts": {"quic": 2},
            "policy": {"version": "v", "folder": "/x", "mode": "observe", "agents": []},
            "journal": "healthy", "programs": [], "tier": "kernel", "kernel_events_lost": 3,
            "cgroup": "/x", "sessions": [], "questions": {"open": 4},
        }))
        .unwrap();
        let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
        let denied = Series::from([(labels(&["a", "e", "policy", "say \"no\"\\\n"]), 5)]);
        let exchanges = Series::from([(labels(&["a", "e", "deny"]), 6)]);
        let read = Read { status: &status, denied: &denied, exchanges: &exchanges };
        let text = text(&read);
        for metric in METRICS {
            let name = metric.name;
            assert!(text.contains(&format!("# HELP {name} {}\n", metric.help)), "{name}: {text}");
            assert!(text.contains(&format!("# TYPE {name} {}\n", metric.kind.word())), "{text}");
            let samples = (metric.read)(&read);
            assert!(!samples.is_empty(), "{name} says something");
            assert!(samples.iter().all(|Sample(values, _)| values.len() == metric.labels.len()));
            let is_counter = metric.kind == Kind::Counter;
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        }
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len(), "no metric stands twice");
        let rule = r#"{agent="a",endpoint="e",reason="policy",rule="say \"no\"\\\n"} 5"#;
        assert!(text.contains(&format!("enforcer_denied_total{rule}\n")), "{text}");
    }
}
