// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One record as the store keeps it: a frame that says by itself where it belongs and proves its bytes.
//!
//! ```text
//! magic 8 | session 8 | sequence 8 | epoch 4 | kind 1 | len 4 | prev 32 | hash 32 | content len
//! ```
//! Numbers are big endian. A frame can be found and judged in raw bytes of a damaged file, without the
//! storage engine that wrote them: that is how a finding can name the record that was hit, and how an
//! analyst reads a journal without changing a byte of it. Errs towards "not a frame".

use serde::{Deserialize, Serialize};

use crate::model::SessionId;
use crate::model::limits::JOURNAL_RECORD_BYTES_MAX;

use super::{Chain, Hash};

/// What a frame begins with. Its first byte occurs in no UTF-8 text, so that no content of an event can
/// look like a frame.
pub const MAGIC: [u8; 8] = [0xf5, b'E', b'N', b'F', b'R', b'E', b'C', 0xf6];

const HEAD_BYTES: usize = 8 + 8 + 8 + 4 + 1 + 4 + 32 + 32;
const KIND_INLINE: u8 = 1;
const KIND_BODY: u8 = 2;

/// Where the canonical bytes of an event are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Too large for a record: in a body file of this name and length.
    Body(ContentRef),
    /// In the record itself.
    Inline(Vec<u8>),
}

/// Canonical bytes that are kept in a body file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRef {
    /// Name of the body file: BLAKE3 of the canonical bytes.
    pub hash: Hash,
    /// Their number.
    pub bytes: u64,
}

/// One stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The session it belongs to.
    pub session: SessionId,
    /// Its place in the session.
    pub sequence: u64,
    /// Which run of the writer stored it; a record that a crash lost is replaced by a later run.
    pub epoch: u32,
    /// Hash of the record before it.
    pub prev: Hash,
    /// Its own hash, as stored.
    pub hash: Hash,
    /// Its content.
    pub content: Content,
}

/// Bytes that are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The content kind is unknown.
    #[error("the record has an unknown kind `{0}`")]
    Kind(u8),
    /// The content is longer than a record may be, or does not fit its kind.
    #[error("the record has a wrong length `{0}`")]
    Length(u32),
    /// The bytes do not begin with the mark of a record.
    #[error("the bytes do not begin with the mark of a record")]
    Magic,
    /// There are fewer bytes than the record says.
    #[error("the record is cut off")]
    Short,
}

impl Frame {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, content) = content_bytes(&self.content);
        let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(HEAD_BYTES + content.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.session.as_u64().to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.push(kind);
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(self.prev.as_bytes());
        out.extend_from_slice(self.hash.as_bytes());
        out.extend_from_slice(&content);
        out
    }

    /// Reads the frame at the start of `bytes`; returns it and its length. Does not check its hash.
    ///
    /// # Errors
    /// If there is no whole frame.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), FrameError> {
        let (mut frame, kind, len) = Self::read_head(bytes)?;
        let wanted = usize::try_from(len).unwrap_or(usize::MAX);
        if wanted > JOURNAL_RECORD_BYTES_MAX {
            return Err(FrameError::Length(len));
        }
        let end = HEAD_BYTES + wanted;
        let content = bytes.get(HEAD_BYTES..end).ok_or(FrameError::Short)?;
        frame.content = match kind {
            KIND_INLINE => Content::Inline(content.to_vec()),
            KIND_BODY => Content::Body(body_ref(content).ok_or(FrameError::Length(len))?),
            other => return Err(FrameError::Kind(other)),
        };
        Ok((frame, end))
    }

    /// What the head says, with the kind and the length of the content, which is left empty.
    fn read_head(bytes: &[u8]) -> Result<(Self, u8, u32), FrameError> {
        let mut rest = bytes;
        if take::<8>(&mut rest)? != MAGIC {
            return Err(FrameError::Magic);
        }
        let session = SessionId::from_u64(u64::from_be_bytes(take(&mut rest)?));
        let sequence = u64::from_be_bytes(take(&mut rest)?);
        let epoch = u32::from_be_bytes(take(&mut rest)?);
        let [kind] = take(&mut rest)?;
        let len = u32::from_be_bytes(take(&mut rest)?);
        let prev = Hash::from_bytes(take(&mut rest)?);
        let hash = Hash::from_bytes(take(&mut rest)?);
        let content = Content::Inline(Vec::new());
        Ok((Self { session, sequence, epoch, prev, hash, content }, kind, len))
    }

    /// The hash that its place and content have.
    #[must_use]
    pub fn computed_hash(&self) -> Hash {
        Hash::link(
            &self.prev,
            self.session,
            self.sequence,
            &linked_bytes(self.epoch, &self.content),
        )
    }

    /// True if the stored hash is that of its place and content.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.computed_hash() == self.hash
    }
}

impl Chain {
    /// The next record of the session, linked.
    pub fn append(&mut self, epoch: u32, content: Content) -> Frame {
        let (session, sequence) = (self.session(), self.head().count);
        let (prev, hash) = self.link(&linked_bytes(epoch, &content));
        Frame { session, sequence, epoch, prev, hash, content }
    }
}

/// What of a record is chained beyond its place: the run that stored it, the kind and the content.
fn linked_bytes(epoch: u32, content: &Content) -> Vec<u8> {
    let (kind, bytes) = content_bytes(content);
    let mut out = Vec::with_capacity(5 + bytes.len());
    out.extend_from_slice(&epoch.to_be_bytes());
    out.push(kind);
    out.extend_from_slice(&bytes);
    out
}

/// The frames that `bytes` hold somewhere, with the offset and length of each. One whose kind or length
/// is damaged comes with what its head says and without content, and is therefore not intact.
pub fn frames_in(bytes: &[u8]) -> impl Iterator<Item = (usize, usize, Frame)> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = bytes.get(from..)?;
            let at = from + rest.iter().position(|byte| *byte == MAGIC[0])?;
            from = at + 1;
            let found = bytes.get(at..)?;
            if let Ok((frame, len)) = Frame::read(found) {
                return Some((at, len, frame));
            }
            if let Ok((frame, _, _)) = Frame::read_head(found) {
                return Some((at, HEAD_BYTES, frame));
            }
        }
    })
}

fn content_bytes(content: &Content) -> (u8, std::borrow::Cow<'_, [u8]>) {
    match content {
        Content::Inline(bytes) => (KIND_INLINE, bytes.as_slice().into()),
        Content::Body(body) => {
            let mut out = body.hash.as_bytes().to_vec();
            out.extend_from_slice(&body.bytes.to_be_bytes());
            (KIND_BODY, out.into())
        }
    }
}

fn body_ref(mut content: &[u8]) -> Option<ContentRef> {
    let hash = Hash::from_bytes(take(&mut content).ok()?);
    let bytes = u64::from_be_bytes(take(&mut content).ok()?);
    content.is_empty().then_some(ContentRef { hash, bytes })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], FrameError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(FrameError::Short)?;
    *rest = tail;
    Ok(*head)
}
