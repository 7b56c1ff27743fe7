// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy test`: the cases of a bundle.

use std::io;

use enforcer_core::policy::{Diagnostics, cases};
use serde_json::json;

use super::{Bundle, DIFFERENCE, FINE, INVALID, Output, Streams, count, draw, load, print_json};

pub(super) fn run(bundle: &Bundle, streams: &mut Streams<'_>) -> io::Result<u8> {
    let (policy, sources) = match load(&bundle.dir, streams)? {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let report = match cases::run(&policy, &sources) {
        Ok(report) => report,
        Err(Diagnostics(found)) => {
            draw(&found, &sources, streams)?;
            return Ok(INVALID);
        }
    };
    if bundle.output == Output::Json {
        print_json(streams, &json!(report))?;
    } else {
        for case in &report.cases {
            let mark = if case.has_passed() { "ok  " } else { "FAIL" };
            writeln!(streams.out, "{mark} {}:{} {}", case.file, case.line, case.name)?;
            for mismatch in &case.mismatches {
                let (expected, found) = (&mismatch.expected, &mismatch.found);
                writeln!(
                    streams.out,
                    "       {}: expected {expected}, found {found}",
                    mismatch.what
                )?;
            }
        }
        let failed = report.cases.iter().filter(|case| !case.has_passed()).count();
        writeln!(streams.out, "{}, {failed} failed", count(report.cases.len(), "case"))?;
    }
    if report.cases.is_empty() {
        writeln!(streams.err, "warning: the bundle has no cases, so nothing was tested")?;
        writeln!(streams.err, "hint: write them in `{}`", bundle.dir.join("cases").display())?;
    }
    Ok(if report.has_passed() { FINE } else { DIFFERENCE })
}
