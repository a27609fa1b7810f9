//! Large byte buffers, which travel beside the message instead of inside it.
//!
//! serde has no place for "this goes another way", so a blob writes its number and puts itself into a list of
//! this thread that is open while a message is encoded or decoded (as pickle's protocol 5 does, and
//! ipc-channel). Without such a list, in any other format, a blob is plain bytes.
//!
//! A blob is owned memory, sent through the socket into a buffer that the worker uses again; or shared memory
//! ([`BlobMut`]), of which only the descriptor is sent. Rejected, as measured: a fresh memfd for each job
//! (slower than the socket: fresh pages cost more than the copy). A worker's results are always copied: the
//! parent must not read memory that a worker may still write.

use crate::primitive::{Arc, local};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeTuple, Serializer};
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::{fmt, io, ptr, slice};

local! {
    /// The blobs of the message that this thread encodes or decodes now.
    static BESIDE: RefCell<Option<Vec<Blob>>> = RefCell::new(None);
}

/// Runs `f` with a list for blobs, and gives the list back.
pub(super) fn beside<R>(list: Vec<Blob>, f: impl FnOnce() -> R) -> (R, Vec<Blob>) {
    /// Puts the list back that was there before, also when `f` unwinds.
    struct Restore(Option<Vec<Blob>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            BESIDE.with(|beside| beside.replace(self.0.take()));
        }
    }
    let restore = Restore(BESIDE.with(|beside| beside.replace(Some(list))));
    let result = f();
    let list = BESIDE.with(|beside| beside.take());
    drop(restore);
    (result, list.unwrap_or_default())
}

/// A read-only byte buffer that is cheap to clone, and to send to a worker.
///
/// Made from a `Vec<u8>`, or built in shared memory by a [`BlobMut`]. It derefs to `[u8]`.
///
/// # Examples
///
/// ```
/// use reiver::offload::Blob;
///
/// #[reiver::offload]
/// fn count_zeros(data: Blob) -> usize {
///     data.iter().filter(|byte| **byte == 0).count()
/// }
///
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let data = Blob::from(vec![0; 100_000]);
/// assert_eq!(count_zeros::offload(data).await.unwrap(), 100_000);
/// # });
/// ```
#[derive(Clone)]
pub struct Blob(Arc<Store>);

enum Store {
    Owned(Vec<u8>),
    Shared(Map),
}

/// A byte buffer in shared memory that is being filled; [`freeze`](Self::freeze) makes it a [`Blob`].
///
/// Sending that to a worker passes a descriptor, whatever the size.
///
/// # Examples
///
/// ```
/// let mut buffer = reiver::offload::BlobMut::zeroed(1 << 20)?;
/// buffer[..5].copy_from_slice(b"hello");
/// let blob = buffer.freeze()?;
/// assert_eq!(&blob[..5], b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct BlobMut(Map);

/// Shared memory that is mapped here. Nobody else writes to it: the writer is the one `BlobMut`, and what is
/// received from the parent is sealed against later writers.
struct Map {
    fd: OwnedFd,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the value, and is written through `&mut BlobMut` only.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    fn new(fd: OwnedFd, len: usize, protection: ProtFlags) -> io::Result<Self> {
        // The system maps no 0 bytes.
        // SAFETY: a new mapping, where the system wants it.
        let start = unsafe {
            rustix::mm::mmap(ptr::null_mut(), len.max(1), protection, MapFlags::SHARED, &fd, 0)?
        };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { fd, start, len })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: so much is mapped, as long as `self` is, and it cannot shrink (it is sealed, or we have
        // the only descriptor); nobody writes it meanwhile (see the struct).
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and not referred to any more.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len.max(1)) };
    }
}

impl BlobMut {
    /// `len` zeros.
    ///
    /// # Errors
    ///
    /// If the system has no memory or descriptor left.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = rustix::fs::memfd_create("reiver blob", flags)?;
        rustix::fs::ftruncate(&fd, len as u64)?;
        Map::new(fd, len, ProtFlags::READ | ProtFlags::WRITE).map(Self)
    }

    /// Ends the writing. The memory is sealed: neither its size nor its bytes can change any more.
    ///
    /// # Errors
    ///
    /// If the system cannot seal.
    pub fn freeze(self) -> io::Result<Blob> {
        // Our own mapping stays writable, since unmapping and mapping 64 MiB anew costs more than the hand-over;
        // but `self` was the only way to it.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&self.0.fd, seals)?;
        Ok(Blob(Arc::new(Store::Shared(self.0))))
    }
}

impl Deref for BlobMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl DerefMut for BlobMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and writable; the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.0.start.as_ptr(), self.0.len) }
    }
}

impl fmt::Debug for BlobMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobMut").field("len", &self.len()).finish()
    }
}

impl Blob {
    /// The bytes as a vector: without a copy if they are owned and there is no other clone.
    pub fn into_vec(self) -> Vec<u8> {
        match Arc::try_unwrap(self.0) {
            Ok(Store::Owned(bytes)) => bytes,
            Ok(shared) => shared.bytes().to_vec(),
            Err(shared) => shared.bytes().to_vec(),
        }
    }

    /// The descriptor, if it is shared memory.
    pub(super) fn shared(&self) -> Option<BorrowedFd<'_>> {
        match &*self.0 {
            Store::Owned(_) => None,
            Store::Shared(map) => Some(map.fd.as_fd()),
        }
    }

    /// Shared memory that the parent has sent. It has sealed it, so it is as large as it says, and stays so.
    ///
    /// # Errors
    ///
    /// If it cannot be mapped.
    pub(super) fn from_parent(fd: OwnedFd, len: u64) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        Map::new(fd, len, ProtFlags::READ).map(|map| Self(Arc::new(Store::Shared(map))))
    }

    /// The buffer, if nobody else has it.
    pub(super) fn reclaim(self) -> Option<Vec<u8>> {
        match Arc::try_unwrap(self.0) {
            Ok(Store::Owned(bytes)) => Some(bytes),
            _ => None,
        }
    }
}

impl Store {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(map) => map.bytes(),
        }
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Store::Owned(bytes)))
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Blob {}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("len", &self.len()).finish()
    }
}

/// Puts a blob beside the message that is being encoded; gives its number.
fn put(blob: impl FnOnce() -> Blob) -> Option<u32> {
    BESIDE.with(|beside| {
        beside.borrow_mut().as_mut().map(|list| {
            list.push(blob());
            list.len() as u32 - 1
        })
    })
}

/// A `Vec<u8>` that goes beside the message when it is large, without a copy. `Serialize` takes it out.
///
/// The attribute puts it in the place of each argument and result of that type.
#[derive(Debug)]
pub struct Bytes(RefCell<Vec<u8>>);

/// From this size on, bytes go beside the message.
const LARGE: usize = 16 * 1024;

impl Bytes {
    /// To be encoded, once.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(RefCell::new(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0.into_inner()
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut bytes = self.0.borrow_mut();
        let large = bytes.len() >= LARGE;
        let number = large.then(|| put(|| Blob::from(std::mem::take(&mut *bytes)))).flatten();
        let mut pair = to.serialize_tuple(2)?;
        pair.serialize_element(&number)?;
        pair.serialize_element(&Raw(&bytes))?;
        pair.end()
    }
}

/// Bytes in one piece.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (number, bytes) = <(Option<u32>, &[u8])>::deserialize(from)?;
        let Some(number) = number else { return Ok(Self::new(bytes.to_vec())) };
        // Out of the list, so that this is its only owner.
        let taken = BESIDE.with(|beside| {
            let mut list = beside.borrow_mut();
            let blob = list.as_mut()?.get_mut(number as usize)?;
            Some(std::mem::replace(blob, Blob::from(Vec::new())))
        });
        let taken = taken.ok_or_else(|| D::Error::custom("bytes that were not sent"))?;
        Ok(Self::new(taken.into_vec()))
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match put(|| self.clone()) {
            Some(number) => to.serialize_u32(number),
            None => to.serialize_bytes(self),
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if BESIDE.with(|beside| beside.borrow().is_none()) {
            return <Vec<u8>>::deserialize(from).map(Self::from);
        }
        let number = u32::deserialize(from)? as usize;
        BESIDE.with(|beside| {
            let list = beside.borrow();
            let found = list.as_ref().and_then(|list| list.get(number));
            found.cloned().ok_or_else(|| D::Error::custom("a blob that was not sent"))
        })
    }
}
