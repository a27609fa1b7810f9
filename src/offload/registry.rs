//! The functions that can be called in a worker: those with `#[reiver::offload]`, in a slice that the linker
//! puts together.
//!
//! Parent and worker are the same executable, so the wire carries the index in the slice; the handshake
//! compares a hash of all names, in their order. Rejected: the function's address as an offset (needs a
//! trampoline for each type, and a wrong executable jumps into wrong code), and a registry that constructors
//! fill (it may not be full yet when ours takes over).

use super::blob::{self, Blob};
use super::error::Trouble;
use serde::de::Deserialize;
use serde::ser::Serialize;

/// Every function with the attribute that is linked into this program.
#[linkme::distributed_slice]
pub static JOBS: [Entry];

/// One function.
#[derive(Debug)]
pub struct Entry {
    name: &'static str,
    file: &'static str,
    line: u32,
    run: fn(Input<'_>) -> Output,
}

impl Entry {
    /// Made by the attribute.
    pub const fn new(
        name: &'static str,
        file: &'static str,
        line: u32,
        run: fn(Input<'_>) -> Output,
    ) -> Self {
        Self { name, file, line, run }
    }

    /// `crate::module::function`.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The function's number, which is the same in the worker.
    pub(super) fn index(&'static self) -> Option<u32> {
        let distance = (self as *const Self as usize).checked_sub(JOBS.as_ptr() as usize)?;
        let index = distance / size_of::<Self>();
        (index < JOBS.len()).then_some(index as u32)
    }

    pub(super) fn at(index: u32) -> Option<&'static Self> {
        JOBS.get(index as usize)
    }

    /// Decodes, calls and encodes, in this process.
    pub(super) fn call(&self, payload: &[u8], blobs: &mut Vec<Blob>) -> Output {
        (self.run)(Input { payload, blobs })
    }
}

/// A hash of all functions: equal in equal executables (FNV-1a).
pub(super) fn fingerprint() -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for entry in JOBS {
        add(entry.name.as_bytes());
        add(&[0]);
        add(entry.file.as_bytes());
        add(&entry.line.to_le_bytes());
    }
    hash
}

/// The encoded arguments of a call.
pub struct Input<'a> {
    payload: &'a [u8],
    blobs: &'a mut Vec<Blob>,
}

/// What a call gave, encoded.
#[derive(Debug)]
pub struct Output(pub(super) Result<Message, Trouble>);

/// Encoded values: what serde made of them, and the blobs beside it.
#[derive(Debug, Default)]
pub struct Message {
    pub(super) payload: Vec<u8>,
    pub(super) blobs: Vec<Blob>,
}

impl Message {
    pub(super) fn len(&self) -> usize {
        self.payload.len() + self.blobs.iter().map(|blob| blob.len()).sum::<usize>()
    }
}

impl<'a> Input<'a> {
    /// The arguments. They may borrow from the message.
    ///
    /// # Errors
    ///
    /// If the bytes are no such arguments; the error is what the call then gives.
    pub fn decode<T: Deserialize<'a>>(&mut self) -> Result<T, Output> {
        decode(self.payload, self.blobs).map_err(|text| Output(Err(Trouble::Arguments(text))))
    }

    /// The result.
    #[must_use]
    pub fn encode<T: Serialize>(&mut self, result: T) -> Output {
        Output(encode(&result).map_err(Trouble::Result))
    }
}

/// As a message.
pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Message, String> {
    let (payload, blobs) = blob::beside(Vec::new(), || postcard::to_stdvec(value));
    Ok(Message { payload: payload.map_err(|error| error.to_string())?, blobs })
}

/// From a message, all of it.
pub(super) fn decode<'a, T: Deserialize<'a>>(
    payload: &'a [u8],
    blobs: &mut Vec<Blob>,
) -> Result<T, String> {
    let (value, rest) = blob::beside(std::mem::take(blobs), || postcard::take_from_bytes(payload));
    *blobs = rest;
    match value {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes too many", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}
