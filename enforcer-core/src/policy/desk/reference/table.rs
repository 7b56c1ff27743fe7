// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tables of Markdown.

/// A text as code.
pub(super) fn code(text: &str) -> String {
    format!("`{text}`")
}

/// Adds a table.
pub(super) fn table<const N: usize>(
    text: &mut String,
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) {
    line(text, &head.map(ToOwned::to_owned));
    line_of_rules(text, N);
    for row in rows {
        line(text, &row.map(|cell| cell.replace('|', "\\|")));
    }
}

fn line(text: &mut String, cells: &[String]) {
    text.push_str("| ");
    text.push_str(&cells.join(" | "));
    text.push_str(" |\n");
}

fn line_of_rules(text: &mut String, count: usize) {
    text.push('|');
    text.push_str(&"---|".repeat(count));
    text.push('\n');
}
