// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The metrics: one table in the program, from which they are written and this page is.

use std::fmt::Write as _;

use enforcer_user::admin::METRICS;

const HEAD: &str = "\
# Metrics reference

<!-- Written by `cargo xtask gen` from the table that the program writes its metrics from; a test compares. -->

The admin API returns the metrics at `GET /v1/metrics` on its socket, in the text format of Prometheus (version 0.0.4):

```sh
curl --silent --unix-socket /run/enforcer/enforcer.sock http://localhost/v1/metrics
```

Reading them takes root or the group `enforcer-audit`. All counters start at 0 when the daemon starts. Labels have bounds: the
values beyond them are counted together under the label value `other`.

| metric | kind | labels | meaning |
|---|---|---|---|
";

#[test]
fn the_page_of_metrics_is_the_table_of_the_program() {
    let mut page = HEAD.to_owned();
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
        writeln!(
            page,
            "| `{}` | {} | {labels} | {} |",
            metric.name,
            metric.kind.word(),
            metric.help
        )
        .unwrap();
    }
    crate::expect_page("docs/metrics-reference.md", &page);
}
