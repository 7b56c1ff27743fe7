// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Numbers of questions: no number is given twice, by this daemon or by any before it.
//!
//! What may have been given is written down before it is given, a block at a time. Where that file is gone and
//! others were given before, numbers go on from the seconds since 2025, which are more than any of those.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use enforcer_core::model::{UnixMillis, limits};

use crate::runtime;

/// 2025-01-01 00:00:00 UTC, in seconds since the Unix epoch.
const BEGINNING: u64 = 1_735_689_600;

/// Gives numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    last: u64,
    /// The last one that is written down as given.
    reserved: u64,
    /// None: numbers live as long as the process.
    file: Option<PathBuf>,
}

impl Numbers {
    /// Goes on where the daemons before ended. `is_first`: there was none.
    pub(super) fn open(path: &Path, is_first: bool, now: UnixMillis) -> io::Result<Self> {
        let last = match (read(path)?, is_first) {
            (Some(last), _) => last,
            (None, true) => {
                // From now on a file that is not there is one that was lost.
                runtime::replace(path, b"0\n")?;
                0
            }
            (None, false) => {
                let last = (now.0 / 1000).saturating_sub(BEGINNING);
                tracing::warn!(
                    path = %path.display(), last,
                    "the number of the last question is not known; numbers go on from a larger one"
                );
                last
            }
        };
        Ok(Self { last, reserved: last, file: Some(path.to_owned()) })
    }

    /// The next number. Blocks on the disk once for each block of numbers.
    pub(super) fn next(&mut self) -> io::Result<u64> {
        let next = self.last.saturating_add(1);
        if let Some(path) = self.file.as_ref().filter(|_| next > self.reserved) {
            let reserved = self.last.saturating_add(limits::QUESTION_NUMBERS_BLOCK);
            runtime::replace(path, format!("{reserved}\n").as_bytes())?;
            self.reserved = reserved;
        }
        self.last = next;
        Ok(next)
    }
}

/// The last number that is written down; none if there is no such file or it holds no number.
pub(super) fn read(path: &Path) -> io::Result<Option<u64>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(limits::QUESTION_NUMBERS_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis((BEGINNING + 28_000_000) * 1000);

    proptest! {
        #[test]
        fn no_number_is_given_twice_by_daemons_that_follow_each_other(
            asked in prop::collection::vec(0..250_usize, 1..8),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("questions");
            let mut given = BTreeSet::new();
            for (daemon, count) in asked.into_iter().enumerate() {
                // Nobody closes it: a daemon may be killed at any time.
                let mut numbers = Numbers::open(&path, daemon == 0, NOW).unwrap();
                for _ in 0..count {
                    prop_assert!(given.insert(numbers.next().unwrap()));
                }
            }
        }
    }

    #[test]
    fn numbers_begin_small_and_go_on_from_a_large_one_where_the_last_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("questions");
        drop(Numbers::open(&path, true, NOW).unwrap());
        assert_eq!(Numbers::open(&path, false, NOW).unwrap().next().unwrap(), 1, "none was asked");
        assert_eq!(Numbers::open(&path, false, NOW).unwrap().next().unwrap(), 101);
        for damage in ["", "x", "-1"] {
            fs::write(&path, damage).unwrap();
            let mut numbers = Numbers::open(&path, false, NOW).unwrap();
            assert_eq!(numbers.next().unwrap(), 28_000_001, "{damage:?}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(Numbers::open(&path, false, NOW).unwrap().next().unwrap(), 28_000_001);
    }

    #[test]
    fn a_number_that_cannot_be_written_down_is_not_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone/questions");
        fs::create_dir(folder.path().join("gone")).unwrap();
        let mut numbers = Numbers::open(&path, true, NOW).unwrap();
        fs::remove_dir_all(folder.path().join("gone")).unwrap();
        assert!(numbers.next().is_err());
        fs::create_dir(folder.path().join("gone")).unwrap();
        assert_eq!(numbers.next().unwrap(), 1);
    }
}
