// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The maps, with the names and layouts of `enforcer_common`.
//!
//! Nothing is read from here in the fast path of an unguarded task but `SETTINGS` and `GUARDED`.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::bindings::BPF_SK_STORAGE_GET_F_CREATE;
use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf, SkStorage};
use aya_ebpf::helpers::generated::bpf_sk_storage_get;
use aya_ebpf::macros::btf_map;
use enforcer_common::{Event, Label, Origin, OriginKey, Settings, capacity};

#[btf_map]
pub(crate) static SETTINGS: Array<Settings, 1> = Array::new();

#[btf_map]
pub(crate) static GUARDED: HashMap<u64, Label, { capacity::GUARDED as usize }> = HashMap::new();

#[btf_map]
pub(crate) static ORIGINS: LruHashMap<OriginKey, Origin, { capacity::ORIGINS as usize }> =
    LruHashMap::new();

#[btf_map]
static SOCKET_ORIGIN: SkStorage<Origin> = SkStorage::new();

#[btf_map]
pub(crate) static EVENTS: RingBuf<Event, { capacity::EVENTS_BYTES as usize }> = RingBuf::new();

#[btf_map]
pub(crate) static EVENTS_LOST: PerCpuArray<u64, 1> = PerCpuArray::new();

/// The origin remembered on a socket; none for a null socket and for one that was never redirected.
#[inline(always)]
pub(crate) fn socket_origin(socket: *mut c_void) -> Option<Origin> {
    if socket.is_null() {
        return None;
    }
    let map = ptr::from_ref(&SOCKET_ORIGIN).cast_mut().cast();
    // SAFETY: `socket` is the socket of the context, checked against null; no value is created.
    let found = unsafe { bpf_sk_storage_get(map, socket, ptr::null_mut(), 0) }.cast::<Origin>();
    if found.is_null() {
        return None;
    }
    // SAFETY: the helper returned a live value of this map.
    Some(unsafe { *found })
}

/// Remembers an origin on a socket, replacing an earlier one; false when there is no memory for it.
#[inline(always)]
pub(crate) fn remember(socket: *mut c_void, origin: &mut Origin) -> bool {
    if socket.is_null() {
        return false;
    }
    let map = ptr::from_ref(&SOCKET_ORIGIN).cast_mut().cast();
    let initial = ptr::from_mut(origin).cast();
    let flags = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
    // SAFETY: as in `socket_origin`; the initial value has the value size of the map.
    let kept = unsafe { bpf_sk_storage_get(map, socket, initial, flags) }.cast::<Origin>();
    if kept.is_null() {
        return false;
    }
    // SAFETY: the helper returned a live value of this map. An older value is overwritten here.
    unsafe { *kept = *origin };
    true
}
