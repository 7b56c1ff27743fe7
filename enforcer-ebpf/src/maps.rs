// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The maps, with the names and layouts of `enforcer_common`.
//!
//! Nothing is read from here in the fast path of an unguarded task but `SETTINGS`, `PROCESSES`, `MARKS`,
//! `GUARDED` and `WATCH`, and `ENDPOINTS` where the bundle asks for it.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE;
use aya_ebpf::bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE};
use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf, SkStorage};
use aya_ebpf::helpers::generated::{bpf_sk_storage_delete, bpf_sk_storage_get};
use aya_ebpf::macros::btf_map;
use enforcer_common::{
    CgroupName, Door, EndpointKey, Event, Hardening, Label, Origin, OriginKey, ProcessLabel,
    Selector, Servers, SessionStart, Settings, SocketLabel, UNIX_PATH_BYTES, Watch, capacity,
};

#[btf_map]
pub(crate) static SETTINGS: Array<Settings, 1> = Array::new();

#[btf_map]
pub(crate) static GUARDED: HashMap<u64, Label, { capacity::GUARDED as usize }> = HashMap::new();

#[btf_map]
pub(crate) static PROCESSES: HashMap<u32, ProcessLabel, { capacity::PROCESSES as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static MARKS: Array<
    [u8; capacity::MARKS_IN_PAGE as usize],
    { (capacity::PIDS / capacity::MARKS_IN_PAGE) as usize },
> = Array::new();

#[btf_map]
pub(crate) static SELECTORS: Array<Selector, { 2 * capacity::SELECTORS as usize }> = Array::new();

#[btf_map]
pub(crate) static SELECTION: Array<u32, 1> = Array::new();

#[btf_map]
pub(crate) static PLACES: HashMap<CgroupName, u64, { capacity::PLACES as usize }> = HashMap::new();

#[btf_map]
pub(crate) static CGROUPS: HashMap<u64, u64, { capacity::CGROUPS as usize }> = HashMap::new();

#[btf_map]
pub(crate) static SESSIONS: HashMap<u64, SessionStart, { capacity::SESSIONS as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static WATCH: Array<Watch, 1> = Array::new();

#[btf_map]
pub(crate) static ENDPOINTS: HashMap<EndpointKey, u8, { capacity::ENDPOINTS as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static DOORS: HashMap<u64, Door, { capacity::DOORS as usize }> = HashMap::new();

#[btf_map]
pub(crate) static ORIGINS: LruHashMap<OriginKey, Origin, { capacity::ORIGINS as usize }> =
    LruHashMap::new();

#[btf_map]
static SOCKET_ORIGIN: SkStorage<Origin> = SkStorage::new();

#[btf_map]
static SOCKET_SERVERS: SkStorage<Servers> = SkStorage::new();

/// `SkStorage` of aya has no room for `BPF_F_CLONE`, by which an accepted socket inherits the label of its
/// listener.
#[repr(C)]
struct ClonedSkStorage<T> {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize],
}

// SAFETY: the members describe the map to the loader and are never read.
unsafe impl<T> Sync for ClonedSkStorage<T> {}

#[btf_map]
static SOCKET_LABEL: ClonedSkStorage<SocketLabel> = ClonedSkStorage {
    r#type: ptr::null(),
    key: ptr::null(),
    value: ptr::null(),
    max_entries: ptr::null(),
    map_flags: ptr::null(),
};

#[btf_map]
pub(crate) static EVENTS: RingBuf<Event, { capacity::EVENTS_BYTES as usize }> = RingBuf::new();

#[btf_map]
pub(crate) static EVENTS_LOST: PerCpuArray<u64, 1> = PerCpuArray::new();

#[btf_map]
pub(crate) static HARDENING: Array<Hardening, 1> = Array::new();

#[btf_map]
pub(crate) static UNIX_ALLOWED: HashMap<
    [u8; UNIX_PATH_BYTES],
    u8,
    { capacity::UNIX_ALLOWED as usize },
> = HashMap::new();

#[btf_map]
pub(crate) static LSM_CALLS: Array<u64, 1> = Array::new();

/// The origin remembered on a socket; none for a null socket and for one that was never redirected.
#[inline(always)]
pub(crate) fn socket_origin<'a>(socket: *mut c_void) -> Option<&'a Origin> {
    stored(ptr::from_ref(&SOCKET_ORIGIN).cast(), socket)
}

/// Remembers an origin on a socket, replacing an earlier one; false when there is no memory for it.
#[inline(always)]
pub(crate) fn remember(socket: *mut c_void, origin: &mut Origin) -> bool {
    store(ptr::from_ref(&SOCKET_ORIGIN).cast(), socket, origin)
}

/// Forgets the origin of a socket that goes somewhere directly.
#[inline(always)]
pub(crate) fn forget(socket: *mut c_void) {
    if !socket.is_null() {
        let map = ptr::from_ref(&SOCKET_ORIGIN).cast_mut().cast();
        // SAFETY: `socket` is the socket of the context, checked against null. Most have no origin.
        let _ = unsafe { bpf_sk_storage_delete(map, socket) };
    }
}

/// Who made a socket; none when nobody guarded did.
#[inline(always)]
pub(crate) fn socket_label(socket: *mut c_void) -> Option<SocketLabel> {
    stored(ptr::from_ref(&SOCKET_LABEL).cast(), socket).copied()
}

/// Says on a socket who made it; false when there is no memory for it.
#[inline(always)]
pub(crate) fn label_socket(socket: *mut c_void, label: &mut SocketLabel) -> bool {
    store(ptr::from_ref(&SOCKET_LABEL).cast(), socket, label)
}

/// The name servers that a socket asked; none for a null socket and where there is no memory for them.
#[inline(always)]
pub(crate) fn socket_servers<'a>(socket: *mut c_void, is_made: bool) -> Option<&'a mut Servers> {
    if socket.is_null() {
        return None;
    }
    let map = ptr::from_ref(&SOCKET_SERVERS).cast_mut().cast();
    let flags = if is_made { u64::from(BPF_SK_STORAGE_GET_F_CREATE) } else { 0 };
    // SAFETY: `socket` is the socket of the context, checked against null. A new value is all zeros.
    let found = unsafe { bpf_sk_storage_get(map, socket, ptr::null_mut(), flags) };
    // SAFETY: the helper returned a live value of this map, or null.
    unsafe { found.cast::<Servers>().as_mut() }
}

#[inline(always)]
fn stored<'a, T>(map: *const c_void, socket: *mut c_void) -> Option<&'a T> {
    if socket.is_null() {
        return None;
    }
    // SAFETY: `socket` is the socket of the context, checked against null; no value is created.
    let found = unsafe { bpf_sk_storage_get(map.cast_mut(), socket, ptr::null_mut(), 0) };
    // SAFETY: the helper returned a live value of this map, or null. The kernel frees it when no program runs
    // any more that could have seen it.
    unsafe { found.cast::<T>().as_ref() }
}

#[inline(always)]
fn store<T: Copy>(map: *const c_void, socket: *mut c_void, value: &mut T) -> bool {
    if socket.is_null() {
        return false;
    }
    let initial = ptr::from_mut(value).cast();
    let flags = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
    // SAFETY: as in `stored`; the initial value has the value size of the map.
    let kept = unsafe { bpf_sk_storage_get(map.cast_mut(), socket, initial, flags) }.cast::<T>();
    if kept.is_null() {
        return false;
    }
    // SAFETY: the helper returned a live value of this map. An older value is overwritten here.
    unsafe { *kept = *value };
    true
}
