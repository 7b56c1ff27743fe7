// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a misspelt name was probably meant to be.
//!
//! SECURITY: people copy a suggestion without weighing it, so none is wider than what was written. A name that stands for
//! everything is never suggested, and one that stands for several only to whoever was one keystroke away from it
//! and close to no single name.

/// Stands for every action in rules and for every process in `match`.
const EVERYTHING: &str = "any";
/// Names that are listed when none is close to what was written.
const LISTED_MAX: usize = 16;

/// The name that was probably meant: at most a third of it differs. Never the name for everything.
#[must_use]
pub(in crate::policy) fn closest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    within(written, known, |shorter| (shorter / 3).max(1))
}

/// The same where some names stand for several things.
pub(super) fn closest_of<'a>(
    written: &str,
    singles: impl IntoIterator<Item = &'a str>,
    groups: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    closest(written, singles).or_else(|| within(written, groups, |_| 1))
}

fn within<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
    allowed: impl Fn(usize) -> usize,
) -> Option<&'a str> {
    let (distance, word) = known
        .into_iter()
        .filter(|word| *word != EVERYTHING)
        .map(|word| (strsim::damerau_levenshtein(written, word), word))
        .min_by(|left, right| left.cmp(right))?;
    let shorter = word.chars().count().min(written.chars().count());
    // A name of one letter is close to every other one.
    (shorter > 1 && distance <= allowed(shorter)).then_some(word)
}

/// What to do about a name that is not known: the one that was probably meant, or all there are.
#[must_use]
pub fn suggestion<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    Some(match closest(written, known.clone()) {
        Some(word) => did_you_mean(word),
        None => listed(known)?,
    })
}

pub(super) fn did_you_mean(word: &str) -> String {
    format!("did you mean `{word}`?")
}

/// All there are; nothing if they are too many to read.
pub(in crate::policy) fn listed<'a>(known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<String> = known.into_iter().map(|word| format!("`{word}`")).collect();
    match known.len() {
        0 => Some("the bundle has none".to_owned()),
        1..=LISTED_MAX => Some(format!("known: {}", known.join(", "))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{closest, closest_of, suggestion};

    #[test]
    fn a_close_name_is_suggested_and_a_distant_one_is_not() {
        let check = |written: &str, expect: Option<&str>| {
            assert_eq!(closest(written, ["support", "research", "any"]), expect, "{written}");
        };
        check("suport", Some("support"));
        check("supprot", Some("support"));
        check("sales", None);
        check("an", None);
        check("any", None);
        assert_eq!(closest("b", ["a", "c"]), None, "one letter is close to every other");
        assert_eq!(closest("pi", ["pii"]), Some("pii"));
    }

    #[test]
    fn a_group_is_suggested_only_one_keystroke_away_and_never_instead_of_a_single_name() {
        let check = |written: &str, expect: Option<&str>| {
            let found = closest_of(written, ["fine_tune", "chat"], ["admin", "any", "chats"]);
            assert_eq!(found, expect, "{written}");
        };
        check("finetune", Some("fine_tune"));
        check("admn", Some("admin"));
        check("dmn", None);
        check("ny", None);
        check("chatz", Some("chat"));
    }

    #[test]
    fn a_list_that_nobody_would_read_is_left_out() {
        let many: Vec<String> = (0..17).map(|number| format!("name-{number}0000")).collect();
        assert_eq!(suggestion("zzzz", many.iter().map(String::as_str)), None);
        assert_eq!(suggestion("zzzz", ["a", "b"]).as_deref(), Some("known: `a`, `b`"));
        assert_eq!(suggestion("zzzz", []).as_deref(), Some("the bundle has none"));
    }
}
