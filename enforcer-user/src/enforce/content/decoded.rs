// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A body without its content codings, decoded aside: a small one may expand to the largest there is. Its memory comes
//! from the room of all bodies, and how many are decoded at once is bounded.

use bytes::Bytes;
use enforcer_core::model::{OpaqueCause, WhyOpaque, limits};
use enforcer_core::protocol::content::encoding::{Codings, Fault};

use super::{Body, Buffers, Room};
use crate::runtime;

/// What became of a body with content codings.
pub(super) struct Decoded {
    /// The body without them, or the one that came and why it is not understood.
    pub(super) body: Body,
    /// The memory of that.
    pub(super) room: Room,
    /// The body that came, with its own memory, where it could be decoded.
    pub(super) original: Option<Bytes>,
}

/// Undoes the codings of a body that is there whole.
pub(super) async fn undo(codings: Codings, came: Body, room: Room, buffers: &Buffers) -> Decoded {
    let Body::Whole(bytes) = came else { return Decoded { body: came, room, original: None } };
    let place = tokio::time::timeout(limits::REQUEST_BODY_TIMEOUT, buffers.decoder()).await;
    let Ok(Some(place)) = place else {
        return Decoded { body: Body::NoRoom, room, original: None };
    };
    let (encoded, mut taken) = (bytes.clone(), Room::new(buffers));
    let work = move || {
        let undone = codings.undo(&encoded, &mut |more| taken.grow(more));
        let undone = undone.map(|plain| Bytes::from(plain.into_owned()));
        drop(place);
        (undone, taken)
    };
    let opaque = |why| Body::Opaque { why, seen: bytes.clone(), rest: None };
    let body = match runtime::heavy(work).await {
        Ok((Ok(plain), taken)) => {
            let original = Some(room.hold(bytes));
            return Decoded { body: Body::Whole(plain), room: taken, original };
        }
        Ok((Err(Fault::NoRoom), _)) => Body::NoRoom,
        Ok((Err(Fault::Opaque(why)), _)) => opaque(why),
        // A body on which the decoder breaks is one that it does not understand.
        Err(runtime::Panicked) => {
            let detail = "the body cannot be decompressed";
            opaque(WhyOpaque::because(OpaqueCause::Encoding, detail))
        }
    };
    Decoded { body, room, original: None }
}
