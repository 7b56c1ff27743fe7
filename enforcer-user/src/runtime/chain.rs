// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An error and its causes as one line for people.

use std::error::Error;

/// The error's text followed by each cause, with `: ` between them. A cause that the text before it
/// repeats already is left out.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        let said = found.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = found.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to open `x`")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_follow_the_text() {
        let error = Outer(std::io::Error::other("disk gone"));
        assert_eq!(chain(&error), "failed to open `x`: disk gone");
    }
}
