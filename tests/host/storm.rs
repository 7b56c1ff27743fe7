// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Under load: daemons come and go, programs are replaced, processes and threads are made by the thousand.
//! Nothing guarded gets out and nothing unguarded is disturbed.

/// The program that connects as often as it is told.
pub(crate) const CLIENT: &str = env!("CARGO_BIN_EXE_connect-storm");

/// What a client counted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) right: u32,
    pub(crate) refused: u32,
    pub(crate) wrong: u32,
    pub(crate) left: u32,
}

impl Counts {
    pub(crate) fn read(report: &str) -> Self {
        let words: Vec<_> = report.split(' ').collect();
        let [right, refused, wrong, left] = [1, 3, 5, 7].map(|place| words[place].parse().unwrap());
        Self { right, refused, wrong, left }
    }
}
