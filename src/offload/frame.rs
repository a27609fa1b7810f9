//! Messages on the wire: a head of fixed size, the sizes of the segments, the payload, the segments.
//!
//! Both sides read by [`Reader`], which does no input itself, so that the parent's reads wait and the
//! worker's block. It believes nothing: kind, counts and sizes are checked against the limits before
//! anything is allocated, and memory grows with what has come, not with what was announced.
//!
//! ```text
//! 0 kind  1 context  2..4 segments  4..8 function  8..16 job  16..24 payload's size  24..32 extra
//! ```
//!
//! All little-endian. `context`: how many bytes at the payload's end say for whom a job runs (`context.rs`), in a run
//! only. `function`: in an answer how long it took, in µs; in a hello the process. `extra`: in a run the memory
//! limit, in an answer the worker's resident KiB, in a hello the program's fingerprint. The top bit of a segment's size says that its bytes do not follow: it is
//! shared memory, whose descriptor comes with the first byte of the head.

use crate::io::ReadBuf;
use std::fmt;

/// The size of a head.
pub const HEAD: usize = 32;
/// The most segments of a message.
pub const MAX_SEGMENTS: usize = 1024;
/// The bit of a segment's size that says that it is shared memory.
pub const SHARED: u64 = 1 << 63;
/// What is read at a time before the sizes are known: a small message in one call.
const STAGE: usize = 8192;
/// Memory is taken in steps of at least this much.
const STEP: usize = 256 * 1024;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Worker: it is ready.
    Hello = 1,
    /// Parent: run a function.
    Run = 2,
    /// Worker: the result.
    Done = 3,
    /// Worker: message, place and backtrace of a panic.
    Panicked = 4,
    /// Worker: a text; arguments or result have no encoding.
    Codec = 5,
    /// Worker: there is no such function.
    Unknown = 6,
    /// Worker: the result is longer than allowed; `extra` is its size.
    TooLarge = 7,
    /// Parent: exit in good order.
    Close = 8,
    /// Parent, first of all: the memory in which jobs are offered (`page.rs`).
    Page = 9,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        use Kind::*;
        [Hello, Run, Done, Panicked, Codec, Unknown, TooLarge, Close, Page]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    /// Whether a worker answers a job with it.
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Done | Self::Panicked | Self::Codec | Self::Unknown | Self::TooLarge)
    }
}

/// The head of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub kind: Kind,
    /// How much of the payload, at its end, is context.
    pub context: u8,
    /// How many segments it has.
    pub segments: u16,
    /// The function's number.
    pub function: u32,
    /// The job's number.
    pub job: u64,
    /// The payload's size.
    pub payload: u64,
    /// See the module.
    pub extra: u64,
}

impl Head {
    /// A head without payload and segments.
    pub fn new(kind: Kind, function: u32, job: u64, extra: u64) -> Self {
        Self { kind, context: 0, segments: 0, function, job, payload: 0, extra }
    }

    fn parse(bytes: &[u8; HEAD]) -> Result<Self, Malformed> {
        let u64_at = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let kind = Kind::from_byte(bytes[0]).ok_or(Malformed::Kind(bytes[0]))?;
        let (context, payload) = (bytes[1], u64_at(16));
        if context != 0 && (kind != Kind::Run || u64::from(context) > payload) {
            return Err(Malformed::Context(context));
        }
        Ok(Self {
            kind,
            context,
            segments: u16::from_le_bytes([bytes[2], bytes[3]]),
            function: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            job: u64_at(8),
            payload,
            extra: u64_at(24),
        })
    }

    /// The head and the sizes of its segments, as they are written.
    pub fn write(&self, sizes: impl ExactSizeIterator<Item = u64>, out: &mut Vec<u8>) {
        debug_assert_eq!(usize::from(self.segments), sizes.len());
        out.extend([self.kind as u8, self.context]);
        out.extend(self.segments.to_le_bytes());
        out.extend(self.function.to_le_bytes());
        out.extend(self.job.to_le_bytes());
        out.extend(self.payload.to_le_bytes());
        out.extend(self.extra.to_le_bytes());
        sizes.for_each(|size| out.extend(size.to_le_bytes()));
    }
}

/// The bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// No kind has this number.
    Kind(u8),
    /// It has too many segments.
    Segments(u16),
    /// It is longer than allowed.
    Size(u64),
    /// A context came where there is none, or one longer than all.
    Context(u8),
    /// Shared memory came where none is taken.
    Shared,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(byte) => write!(f, "it wrote what is no message (kind {byte})"),
            Self::Segments(n) => write!(f, "it announced {n} segments"),
            Self::Size(size) => write!(f, "it announced {size} bytes"),
            Self::Context(size) => write!(f, "it announced {size} bytes of context"),
            Self::Shared => f.write_str("it announced shared memory"),
        }
    }
}

/// A message that has come.
#[derive(Debug)]
pub struct Frame {
    /// Its head.
    pub head: Head,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Its segments.
    pub segments: Vec<Segment>,
}

/// A segment that has come.
#[derive(Debug, PartialEq)]
pub enum Segment {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// Its size; the descriptor comes beside.
    Shared(u64),
}

/// A message of which parts have come.
struct Partial {
    head: Head,
    /// The announced sizes of the segments that follow the payload, as far as they have come.
    sizes: Vec<u64>,
    payload: Vec<u8>,
    segments: Vec<Segment>,
    /// The segment that is being read, once the payload is complete.
    current: Option<Vec<u8>>,
}

/// Takes messages out of bytes.
pub struct Reader {
    stage: Vec<u8>,
    /// What of `stage` is taken.
    taken: usize,
    limit: u64,
    allows_shared: bool,
    partial: Option<Partial>,
    /// A large buffer to use again: fresh memory costs more than the copy into it.
    spare: Vec<u8>,
}

impl Reader {
    /// A reader of messages up to `limit` bytes.
    pub fn new(limit: u64, allows_shared: bool) -> Self {
        let stage = Vec::with_capacity(STAGE);
        let spare = Vec::new();
        Self { stage, taken: 0, limit, allows_shared, partial: None, spare }
    }

    /// Gives a buffer for the next large segment.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() > self.spare.capacity() {
            self.spare = buffer;
        }
    }

    /// Runs `read` on the room for what comes next; gives what it gave, and how many bytes it filled in.
    pub fn fill<R>(&mut self, read: impl FnOnce(&mut ReadBuf<'_>) -> R) -> (R, usize) {
        let Self { stage, taken, partial, .. } = self;
        stage.drain(..*taken);
        *taken = 0;
        let (target, room) = match partial.as_mut().and_then(Partial::open) {
            Some((part, left)) if stage.is_empty() && left > STAGE as u64 => {
                let step = left.min((part.len().max(STEP)) as u64) as usize;
                part.reserve_exact(step.min(left as usize));
                let room = (part.capacity() - part.len()).min(left as usize);
                (part, room)
            }
            _ => {
                stage.reserve(STAGE);
                (stage, STAGE)
            }
        };
        let len = target.len();
        let mut buf = ReadBuf::uninit(&mut target.spare_capacity_mut()[..room]);
        let result = read(&mut buf);
        let filled = buf.filled().len();
        // SAFETY: a `ReadBuf`'s filled part is initialized, and it begins where the vector ends.
        unsafe { target.set_len(len + filled) };
        (result, filled)
    }

    /// The next message, if it is complete.
    ///
    /// # Errors
    ///
    /// If the bytes are no message, or one that is not allowed. There is no way on after that.
    pub fn next(&mut self) -> Result<Option<Frame>, Malformed> {
        if self.partial.is_none() {
            let Some(bytes) = self.stage[self.taken..].first_chunk::<HEAD>() else {
                return Ok(None);
            };
            let head = Head::parse(bytes)?;
            if usize::from(head.segments) > MAX_SEGMENTS {
                return Err(Malformed::Segments(head.segments));
            }
            if head.payload > self.limit {
                return Err(Malformed::Size(head.payload));
            }
            self.taken += HEAD;
            self.partial = Some(Partial {
                head,
                sizes: Vec::new(),
                payload: Vec::new(),
                segments: Vec::new(),
                current: None,
            });
        }
        let Some(partial) = self.partial.as_mut() else { return Ok(None) };
        while partial.sizes.len() < usize::from(partial.head.segments) {
            let Some(bytes) = self.stage[self.taken..].first_chunk::<8>() else { return Ok(None) };
            self.taken += 8;
            let size = u64::from_le_bytes(*bytes);
            if size & SHARED != 0 && !self.allows_shared {
                return Err(Malformed::Shared);
            }
            partial.sizes.push(size);
            let sizes = partial.sizes.iter().map(|size| size & !SHARED);
            let total = sizes.fold(partial.head.payload, u64::saturating_add);
            if total > self.limit {
                return Err(Malformed::Size(total));
            }
        }
        let whole = partial.take(&self.stage, &mut self.taken, &mut self.spare);
        if !whole {
            return Ok(None);
        }
        Ok(self.partial.take().map(|Partial { head, payload, segments, .. }| Frame {
            head,
            payload,
            segments,
        }))
    }
}

impl Partial {
    /// The part that is being read, and how much of it is missing.
    fn open(&mut self) -> Option<(&mut Vec<u8>, u64)> {
        if self.sizes.len() < usize::from(self.head.segments) {
            return None;
        }
        let left = self.head.payload - self.payload.len() as u64;
        if left > 0 {
            return Some((&mut self.payload, left));
        }
        let size = *self.sizes.get(self.segments.len())?;
        let part = self.current.as_mut()?;
        let left = size - part.len() as u64;
        Some((part, left))
    }

    /// Takes from the stage what belongs to this message. `true`: it is whole.
    fn take(&mut self, stage: &[u8], taken: &mut usize, spare: &mut Vec<u8>) -> bool {
        loop {
            let payload_left = self.head.payload - self.payload.len() as u64;
            if payload_left == 0 && self.current.is_none() {
                let Some(&size) = self.sizes.get(self.segments.len()) else { return true };
                if size & SHARED != 0 {
                    self.segments.push(Segment::Shared(size & !SHARED));
                    continue;
                }
                let mut buffer = Vec::new();
                if size >= STEP as u64 {
                    buffer = std::mem::take(spare);
                    buffer.clear();
                }
                self.current = Some(buffer);
            }
            let Some((part, left)) = self.open() else { return false };
            let some = (stage.len() - *taken).min(left.min(usize::MAX as u64) as usize);
            part.extend_from_slice(&stage[*taken..*taken + some]);
            *taken += some;
            if some as u64 != left {
                return false;
            }
            if payload_left == 0 {
                self.segments.extend(self.current.take().map(Segment::Bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::rng::Rng;

    /// Gives `bytes` to a reader in pieces of random sizes; all messages, and how it ended.
    fn read_all(bytes: &[u8], limit: u64, rng: &Rng) -> (Vec<Frame>, Result<(), Malformed>) {
        let mut reader = Reader::new(limit, false);
        let (mut rest, mut frames) = (bytes, Vec::new());
        loop {
            match reader.next() {
                Ok(Some(frame)) => {
                    frames.push(frame);
                    continue;
                }
                Ok(None) if rest.is_empty() => return (frames, Ok(())),
                Ok(None) => {}
                Err(malformed) => return (frames, Err(malformed)),
            }
            let most = [1, 7, 64, 100_000][rng.below(4) as usize];
            let (some, filled) = reader.fill(|buf| {
                let some = rest.len().min(most).min(buf.remaining());
                buf.put_slice(&rest[..some]);
                some
            });
            assert_eq!(some, filled);
            assert!(some > 0, "the reader has no room");
            rest = &rest[some..];
        }
    }

    fn random_message(rng: &Rng, out: &mut Vec<u8>) -> (Head, Vec<Vec<u8>>) {
        let size = |rng: &Rng| match rng.below(4) {
            0 => 0,
            1 => rng.below(50) as usize,
            2 => rng.below(20_000) as usize,
            _ => rng.below(900_000) as usize,
        };
        let parts: Vec<Vec<u8>> = (0..1 + rng.below(4))
            .map(|_| {
                let first = rng.next() as u8;
                (0..size(rng)).map(|i| first.wrapping_add(i as u8)).collect()
            })
            .collect();
        let mut head = Head::new(Kind::Done, rng.next() as u32, rng.next(), rng.next());
        head.payload = parts[0].len() as u64;
        head.segments = parts.len() as u16 - 1;
        head.write(parts[1..].iter().map(|part| part.len() as u64), out);
        parts.iter().for_each(|part| out.extend(part));
        (head, parts)
    }

    #[test]
    fn messages_come_out_as_they_went_in_whatever_the_pieces() {
        let rng = Rng::new(1);
        for _ in 0..60 {
            let mut bytes = Vec::new();
            let sent: Vec<_> = (0..3).map(|_| random_message(&rng, &mut bytes)).collect();
            let (frames, end) = read_all(&bytes, 1 << 30, &rng);
            assert_eq!((frames.len(), end), (3, Ok(())));
            for (frame, (head, parts)) in frames.iter().zip(&sent) {
                assert_eq!((&frame.head, &frame.payload), (head, &parts[0]));
                let segments = parts[1..].iter().map(|part| Segment::Bytes(part.clone()));
                assert_eq!(frame.segments, segments.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn random_bytes_neither_panic_nor_allocate_without_bounds() {
        let rng = Rng::new(2);
        let limit = 1 << 20;
        let mut refused = 0;
        for round in 0..20_000 {
            let mut bytes: Vec<u8> = (0..rng.below(300)).map(|_| rng.next() as u8).collect();
            if round % 2 == 0 && bytes.len() > 2 {
                bytes[0] = 1 + (bytes[0] & 7);
                bytes[1] = 0;
            }
            let (frames, end) = read_all(&bytes, limit, &rng);
            refused += usize::from(end.is_err());
            for frame in frames {
                assert!(frame.payload.len() as u64 <= limit);
            }
        }
        assert!(refused > 15_000, "{refused} of 20,000 were refused");
    }

    #[test]
    fn damaged_messages_give_an_error_or_a_message_within_the_limits() {
        let rng = Rng::new(3);
        let limit = 1 << 22;
        let mut refused = 0;
        for _ in 0..300 {
            let mut bytes = Vec::new();
            random_message(&rng, &mut bytes);
            for _ in 0..1 + rng.below(3) {
                let at = rng.below(bytes.len().min(64) as u32) as usize;
                bytes[at] ^= 1 << rng.below(8);
            }
            let (frames, end) = read_all(&bytes, limit, &rng);
            refused += usize::from(end.is_err());
            for frame in frames {
                let segments = frame.segments.iter().map(|segment| match segment {
                    Segment::Bytes(bytes) => bytes.len(),
                    Segment::Shared(_) => panic!("this reader takes none"),
                });
                assert!(frame.payload.len() + segments.sum::<usize>() <= limit as usize);
            }
        }
        assert!(refused > 100, "{refused} of 300 were refused");
    }

    #[test]
    fn memory_comes_with_the_bytes_and_not_with_the_announcement() {
        let mut head = Head::new(Kind::Done, 0, 0, 0);
        head.payload = 1 << 30;
        let mut bytes = Vec::new();
        head.write([].into_iter(), &mut bytes);
        let mut reader = Reader::new(1 << 30, false);
        reader.fill(|buf| buf.put_slice(&bytes));
        assert!(matches!(reader.next(), Ok(None)));
        let ((), filled) = reader.fill(|buf| assert!(buf.remaining() <= STEP));
        assert_eq!(filled, 0);
    }
}
