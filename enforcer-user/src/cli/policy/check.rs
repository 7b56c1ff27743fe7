// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy check`: everything that is wrong with a bundle, and what in it does nothing.

use std::io;

use enforcer_core::policy::{Checked, Severity, check};
use serde_json::json;

use super::{Bundle, FINE, INVALID, Output, Streams, count, draw, print_json, read};

pub(super) fn run(bundle: &Bundle, streams: &mut Streams<'_>) -> io::Result<u8> {
    let sources = match read(&bundle.dir, streams)? {
        Ok(sources) => sources,
        Err(code) => return Ok(code),
    };
    let Checked { policy, found } = check(&sources);
    let errors = found.iter().filter(|found| found.severity == Severity::Error).count();
    match (bundle.output, &policy) {
        (Output::Json, _) => {
            let version = sources.version();
            print_json(
                streams,
                &json!({ "valid": errors == 0, "version": version, "diagnostics": found }),
            )?;
        }
        (Output::Text, Some(policy)) => {
            draw(&found, &sources, streams)?;
            let (rules, agents) = (policy.rule_ids().count(), policy.agents().count());
            let endpoints = policy.endpoints().count();
            writeln!(
                streams.out,
                "{}: valid, version {}: {}, {}, {}",
                bundle.dir.display(),
                policy.version(),
                count(rules, "rule"),
                count(agents, "agent"),
                count(endpoints, "endpoint"),
            )?;
        }
        (Output::Text, None) => {
            draw(&found, &sources, streams)?;
            writeln!(streams.err, "{}: {}", bundle.dir.display(), count(errors, "error"))?;
        }
    }
    Ok(if policy.is_some() { FINE } else { INVALID })
}
