// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whatever is done to stored records, the finding names the record.

use proptest::prelude::*;

use super::*;
use crate::record::Content;

type Heads = BTreeMap<SessionId, Head>;

/// Some sessions with some records each, in journal order, and their heads.
fn journal() -> impl Strategy<Value = (Vec<Frame>, Heads)> {
    let contents = prop::collection::vec(any::<u8>(), 0..40);
    let sessions = prop::collection::vec(prop::collection::vec(contents, 2..12), 1..4);
    sessions.prop_map(|sessions| {
        let (mut frames, mut heads) = (Vec::new(), Heads::new());
        for (id, contents) in (1_u64..).zip(sessions) {
            let mut chain = Chain::new(SessionId::from_u64(id));
            frames.extend(contents.into_iter().map(|c| chain.append(1, Content::Inline(c))));
            heads.insert(chain.session(), chain.head());
        }
        (frames, heads)
    })
}

fn sort(frames: &mut [Frame]) {
    frames.sort_by_key(|frame| (frame.session, frame.sequence));
}

fn names(findings: &[Finding], frame: &Frame) -> bool {
    findings.iter().any(|f| f.session == frame.session && f.sequence == frame.sequence)
}

proptest! {
    #[test]
    fn an_untouched_journal_has_no_findings((frames, heads) in journal()) {
        prop_assert_eq!(verify(&frames, &heads), vec![]);
        prop_assert_eq!(verify(&frames, &Heads::new()), vec![]);
    }

    #[test]
    fn a_flipped_bit_names_the_record(
        (mut frames, heads) in journal(), at: prop::sample::Index, byte: prop::sample::Index, bit in 0_u8..8,
    ) {
        let at = at.index(frames.len());
        let original = frames[at].clone();
        let mut bytes = original.to_bytes();
        let byte = byte.index(bytes.len());
        bytes[byte] ^= 1_u8 << bit;
        match Frame::read(&bytes) {
            Ok((flipped, _)) => frames[at] = flipped,
            Err(_) => { frames.remove(at); }
        }
        sort(&mut frames);
        let findings = verify(&frames, &heads);
        prop_assert!(names(&findings, &original), "{findings:?}");
    }

    #[test]
    fn a_dropped_record_is_named((mut frames, heads) in journal(), at: prop::sample::Index) {
        let dropped = frames.remove(at.index(frames.len()));
        let findings = verify(&frames, &heads);
        prop_assert!(names(&findings, &dropped));
        prop_assert!(findings.iter().any(|f| f.kind == FindingKind::Missing));
    }

    #[test]
    fn two_swapped_records_are_named(
        (mut frames, heads) in journal(), a: prop::sample::Index, b: prop::sample::Index,
    ) {
        let (a, b) = (a.index(frames.len()), b.index(frames.len()));
        prop_assume!(a != b);
        // Each takes the other's place and number, as someone would write them who knows the format.
        let (mut x, mut y) = (frames[b].clone(), frames[a].clone());
        (x.session, x.sequence) = (frames[a].session, frames[a].sequence);
        (y.session, y.sequence) = (frames[b].session, frames[b].sequence);
        let (original_a, original_b) = (frames[a].clone(), frames[b].clone());
        (frames[a], frames[b]) = (x, y);
        let findings = verify(&frames, &heads);
        prop_assert!(names(&findings, &original_a) && names(&findings, &original_b));
    }

    #[test]
    fn an_inserted_record_is_named((mut frames, heads) in journal(), at: prop::sample::Index) {
        let at = at.index(frames.len());
        let mut added = frames[at].clone();
        added.content = Content::Inline(b"added".to_vec());
        added.hash = added.computed_hash();
        frames.insert(at + 1, added.clone());
        let findings = verify(&frames, &heads);
        prop_assert!(names(&findings, &added));
    }

    #[test]
    fn an_end_cut_off_is_named((mut frames, heads) in journal(), at: prop::sample::Index) {
        let session = frames[at.index(frames.len())].session;
        let last = frames.iter().rposition(|f| f.session == session).unwrap();
        let cut = frames.remove(last);
        prop_assert_eq!(
            verify(&frames, &heads),
            vec![Finding { session, sequence: cut.sequence, kind: FindingKind::Missing }]
        );
    }

    #[test]
    fn a_session_written_anew_is_not_what_was_signed((frames, heads) in journal(), at: prop::sample::Index) {
        let victim = frames[at.index(frames.len())].clone();
        let mut chain = Chain::new(victim.session);
        let mut forged = Vec::new();
        for frame in frames {
            if frame.session != victim.session {
                forged.push(frame);
            } else if frame.sequence == victim.sequence {
                forged.push(chain.append(1, Content::Inline(b"forged".to_vec())));
            } else {
                forged.push(chain.append(1, frame.content));
            }
        }
        let findings = verify(&forged, &heads);
        prop_assert_eq!(findings.len(), 1);
        prop_assert_eq!(findings[0].kind, FindingKind::Rewritten);
        prop_assert_eq!(findings[0].session, victim.session);
    }

    #[test]
    fn a_frame_reads_back_wherever_it_stands(
        (frames, _) in journal(), noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = Vec::new();
        for frame in &frames {
            bytes.extend_from_slice(&noise);
            bytes.extend_from_slice(&frame.to_bytes());
        }
        let found: Vec<Frame> = super::super::frames_in(&bytes).map(|(_, _, frame)| frame).collect();
        prop_assert_eq!(found, frames);
    }
}
