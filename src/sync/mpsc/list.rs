//! The queue under both channels: an endless line of slots, cut into linked blocks.
//!
//! A sender reserves the next slot with one `fetch_add` on `tail`, writes its value there and says so
//! with one `swap` of the slot's state. The receiver reads the slots in order. To wait it sets
//! `WAITING` in the state of the slot that it is to read next; so the very `swap` that publishes the
//! value tells its sender that somebody waits for it, and no other sender does more than its two
//! read-modify-writes. (tokio counts messages in a further word and asks a waker cell after every
//! message: five read-modify-writes.)
//!
//! # The end
//!
//! [`end`](List::end) reserves a slot for the end mark and sets `CLOSED` in `tail` in the same step.
//! Who reserves a slot after that sees the bit and has failed; all slots before the mark belong to
//! senders that succeed. So the receiver, reading on until it meets the mark, has all values and no
//! counting is needed.
//!
//! # A receiver that goes away
//!
//! It reads on as long as there is something, and where nothing is yet it [gives up](List::give_up): it
//! leaves its place to the sender of that slot, by setting `GONE` in the slot's state. That sender's own
//! `swap` tells it so, and it is the receiver from then on. `README.md`, "A channel without a receiver".
//!
//! # Blocks
//!
//! Senders start to look for their block at `newest`, or, if that is past it already, at `block_tail`.
//! Moving both on is the business of the first sender in a new block; giving blocks back is the
//! receiver's. `newest` is there because `block_tail` waits for the slowest sender: with it alone, as in
//! tokio, a sender preempted between its two steps makes every other one walk all blocks behind it
//! (measured with 4 senders on 2 busy cores: microseconds per send).
//!
//! # Rules
//!
//! 1. A reserved slot is its sender's until it is `READY` or `END`, then the receiver's.
//! 2. `block_tail` moves past a block only when all its slots are `READY`: each sender finds its
//!    block at or after `block_tail`.
//! 3. A sender (the one of the end mark included) uses blocks only between reserving and marking its
//!    slot.
//! 4. `newest` only moves forward, and is at a block, or further, before `block_tail` is moved up to
//!    it. Who loads `block_tail`, by Acquire, cannot see `newest` further back.
//! 5. Who moves `block_tail` past a block then reads `tail` by a read-modify-write and stores the
//!    index in `released` of that block, as its last use of it. A sender that found the block in
//!    `newest` or `block_tail`, or came through it, reserved before that reading of `tail`: had it
//!    reserved after, its own read-modify-write would have shown it both pointers past the block. So
//!    when the receiver has read all slots below `released`, all those senders have marked theirs, and
//!    by rule 3 nobody is left in the block: it is the receiver's.

use crate::primitive::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering::*};
use crate::primitive::{UnsafeCell, in_model};
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};

/// Slots in a block: as tokio's and std's; the cost of a block is divided by it, and an unused
/// channel pays for one block.
const SLOTS: usize = 32;

/// Slots in use of each block: fewer in models, so that they reach the next block.
fn slots() -> usize {
    if in_model() { 2 } else { SLOTS }
}

/// In `tail`: the end mark has been placed.
const CLOSED: usize = 1;
/// In `tail`: one slot.
const ONE: usize = 2;

/// The value is there.
const READY: u8 = 1;
/// The receiver waits for this slot.
const WAITING: u8 = 2;
/// Nothing comes here or later.
const END: u8 = 4;
/// The receiver is gone: who marks this slot as `READY` takes its place.
const GONE: u8 = 8;

struct Slot<T> {
    state: AtomicU8,
    value: UnsafeCell<MaybeUninit<T>>,
}

struct Block<T> {
    /// The index of the first slot. Written before the block is linked, constant while it is.
    start: usize,
    next: AtomicPtr<Block<T>>,
    /// 0, or one more than the index that must have been read before this is given back (rule 5).
    released: AtomicUsize,
    slots: [Slot<T>; SLOTS],
}

impl<T> Block<T> {
    fn allocate() -> NonNull<Self> {
        let slot =
            |_| Slot { state: AtomicU8::new(0), value: UnsafeCell::new(MaybeUninit::uninit()) };
        NonNull::from(Box::leak(Box::new(Self {
            start: 0,
            next: AtomicPtr::new(null_mut()),
            released: AtomicUsize::new(0),
            slots: std::array::from_fn(slot),
        })))
    }

    fn slot(&self, index: usize) -> &Slot<T> {
        &self.slots[index % slots()]
    }

    fn is_written(&self) -> bool {
        // Acquire: pairs with the AcqRel of the senders, so that who starts behind this block sees
        // whatever they did.
        self.slots[..slots()].iter().all(|slot| slot.state.load(Acquire) & READY != 0)
    }
}

/// The receiver's place.
pub(super) struct Head<T> {
    /// The next slot to read.
    index: usize,
    /// The block of that slot, or the one before it if that is not entered yet.
    block: NonNull<Block<T>>,
    /// The first block not given back.
    oldest: NonNull<Block<T>>,
}

/// What a sender owes when its value is there.
#[must_use]
pub(super) enum Pushed {
    /// Nothing.
    Quiet,
    /// A wake-up: the receiver waits for this value.
    Wakes,
    /// All that a receiver does: it is gone, and its place is the sender's.
    Inherits,
}

/// What [`List::pop`] found.
pub(super) enum Pop<T> {
    Value(T),
    /// Nothing yet.
    Empty,
    /// Nothing any more.
    End,
}

/// See the [module](self).
pub(super) struct List<T> {
    /// The next free slot's index and `CLOSED`.
    tail: AtomicUsize,
    /// Where senders start: the last block, as far as is known (rule 4).
    newest: AtomicPtr<Block<T>>,
    /// The first block with a slot that is not written, or one before it (rule 2).
    block_tail: AtomicPtr<Block<T>>,
    /// A clean block, kept so that a steady stream allocates nothing.
    spare: AtomicPtr<Block<T>>,
    /// The index of the end mark, once there is one.
    end: AtomicUsize,
}

impl<T> List<T> {
    pub(super) fn new() -> (Self, Head<T>) {
        let block = Block::allocate();
        let list = Self {
            tail: AtomicUsize::new(0),
            newest: AtomicPtr::new(block.as_ptr()),
            block_tail: AtomicPtr::new(block.as_ptr()),
            spare: AtomicPtr::new(null_mut()),
            end: AtomicUsize::new(usize::MAX),
        };
        (list, Head { index: 0, block, oldest: block })
    }

    /// Whether the end mark has been placed.
    pub(super) fn is_ended(&self) -> bool {
        // Acquire: who sees the end sees what was done before it.
        self.tail.load(Acquire) & CLOSED != 0
    }

    /// Appends a value; gives it back after the end.
    #[inline]
    pub(super) fn push(&self, value: T) -> Result<Pushed, T> {
        // AcqRel: rule 5.
        let tail = self.tail.fetch_add(ONE, AcqRel);
        if tail & CLOSED != 0 {
            return Err(value);
        }
        let index = tail / ONE;
        // SAFETY: reserved above, not marked yet.
        let block = unsafe { self.find(index) };
        // SAFETY: rule 3, until the swap below.
        let slot = unsafe { block.as_ref() }.slot(index);
        // SAFETY: rule 1: ours, and empty.
        slot.value.with_mut(|cell| unsafe { (*cell).write(value) });
        // AcqRel: Release publishes the value to the Acquire in `pop`, `wait` and `give_up`; Acquire pairs
        // with the latter two, so that the waker or the place left before it is seen.
        Ok(match slot.state.swap(READY, AcqRel) {
            0 => Pushed::Quiet,
            state if state & GONE != 0 => Pushed::Inherits,
            _ => Pushed::Wakes,
        })
    }

    /// Places the end mark, unless there is one. Answers whether the receiver waits for it.
    pub(super) fn end(&self) -> bool {
        let reserve = |tail| (tail & CLOSED == 0).then_some((tail + ONE) | CLOSED);
        // AcqRel: rule 5.
        let Ok(tail) = self.tail.fetch_update(AcqRel, Relaxed, reserve) else { return false };
        let index = tail / ONE;
        // Relaxed: for `len` only.
        self.end.store(index, Relaxed);
        // SAFETY: reserved above, not marked yet.
        let block = unsafe { self.find(index) };
        // SAFETY: rule 3. AcqRel: as in `push`.
        unsafe { block.as_ref() }.slot(index).state.swap(END, AcqRel) & WAITING != 0
    }

    /// The block of slot `index`.
    ///
    /// # Safety
    ///
    /// The slot is reserved by the caller and not marked (rules 2 and 3).
    #[inline]
    unsafe fn find(&self, index: usize) -> NonNull<Block<T>> {
        // Acquire: pairs with the Release in `walk`; shows the block's start.
        let newest = self.newest.load(Acquire);
        // SAFETY: never null; rule 5: not given back before our slot is marked.
        let newest = unsafe { NonNull::new_unchecked(newest) };
        // SAFETY: as above.
        let start = unsafe { newest.as_ref() }.start;
        // Wrapping: the block may be an older one.
        if index.wrapping_sub(start) < slots() {
            return newest;
        }
        // SAFETY: the caller's.
        unsafe { self.walk(newest, index) }
    }

    /// Goes to the block of slot `index`, making blocks that are missing, and moves `newest` and
    /// `block_tail` on.
    ///
    /// # Safety
    ///
    /// As for `find`; `newest` was loaded after the slot was reserved.
    #[cold]
    unsafe fn walk(&self, newest: NonNull<Block<T>>, index: usize) -> NonNull<Block<T>> {
        let start = index - index % slots();
        let mut block = newest;
        // SAFETY: rule 5, here and for each block that follows.
        if unsafe { newest.as_ref() }.start > start {
            // Acquire: pairs with the Release in `move_tail`.
            // SAFETY: never null; rule 2: not past our block.
            block = unsafe { NonNull::new_unchecked(self.block_tail.load(Acquire)) };
        }
        // SAFETY: rule 5.
        while unsafe { block.as_ref() }.start != start {
            // SAFETY: rule 5.
            block = unsafe { self.next(block) };
        }
        // SAFETY: rule 5.
        if unsafe { newest.as_ref() }.start < start {
            // SAFETY: the caller's.
            unsafe {
                self.move_newest(newest, block);
                self.move_tail(start);
            }
        }
        block
    }

    /// Moves `newest` from where it was seen to `block`, unless it is there or further.
    ///
    /// # Safety
    ///
    /// As for `walk`.
    unsafe fn move_newest(&self, mut seen: NonNull<Block<T>>, block: NonNull<Block<T>>) {
        // SAFETY: rule 5, for both. A block seen here cannot be given a new life meanwhile, so an
        // exchange that succeeds goes forward.
        while unsafe { seen.as_ref().start < block.as_ref().start } {
            let (old, new) = (seen.as_ptr(), block.as_ptr());
            // Release: pairs with the Acquire in `find`.
            match self.newest.compare_exchange(old, new, AcqRel, Acquire) {
                Ok(_) => return,
                // SAFETY: never null.
                Err(now) => seen = unsafe { NonNull::new_unchecked(now) },
            }
        }
    }

    /// Moves `block_tail` on, past blocks that are written, up to the one that starts at `start`.
    ///
    /// # Safety
    ///
    /// The caller has reserved a slot of that block and not marked it (rules 2, 3); `newest` is there
    /// or further (rule 4).
    unsafe fn move_tail(&self, start: usize) {
        loop {
            // Acquire: pairs with the Release below.
            let old = self.block_tail.load(Acquire);
            // SAFETY: rule 5; never null.
            let block = unsafe { &*old };
            if block.start == start || !block.is_written() {
                return;
            }
            // Acquire: pairs with the Release in `next`. Not null: `start` is further on.
            let next = block.next.load(Acquire);
            // Release: pairs with the Acquire above and in `walk`.
            if self.block_tail.compare_exchange(old, next, AcqRel, Relaxed).is_err() {
                return;
            }
            // Rule 5. AcqRel: makes this one of the steps between which senders are ordered.
            let observed = self.tail.fetch_add(0, AcqRel) / ONE;
            // Release: pairs with the Acquire in `give_back`.
            block.released.store(observed + 1, Release);
        }
    }

    /// The block after `block`, made if it is missing.
    ///
    /// # Safety
    ///
    /// `block` is alive (rule 5, or by its receiver).
    unsafe fn next(&self, block: NonNull<Block<T>>) -> NonNull<Block<T>> {
        // SAFETY: the caller's.
        let block = unsafe { block.as_ref() };
        // Acquire: pairs with the Release below.
        if let Some(next) = NonNull::new(block.next.load(Acquire)) {
            return next;
        }
        // AcqRel: Acquire pairs with the Release in `keep`.
        let spare = NonNull::new(self.spare.swap(null_mut(), AcqRel));
        let new = spare.unwrap_or_else(Block::allocate);
        // SAFETY: nobody else has it.
        unsafe { (*new.as_ptr()).start = block.start + slots() };
        // Release: publishes the block.
        match block.next.compare_exchange(null_mut(), new.as_ptr(), AcqRel, Acquire) {
            Ok(_) => new,
            Err(next) => {
                self.keep(new);
                // SAFETY: the exchange failed, so it is not null.
                unsafe { NonNull::new_unchecked(next) }
            }
        }
    }

    /// Keeps a clean block that nobody else has, or frees it if there is one already.
    fn keep(&self, block: NonNull<Block<T>>) {
        // AcqRel: Release pairs with the Acquire in `next`.
        if let Some(other) = NonNull::new(self.spare.swap(block.as_ptr(), AcqRel)) {
            // SAFETY: blocks are boxes; who takes one out of `spare` has it alone.
            drop(unsafe { Box::from_raw(other.as_ptr()) });
        }
    }

    /// Reads the next slot.
    ///
    /// # Safety
    ///
    /// By the receiver, with the head of this list; likewise for what follows.
    #[inline]
    pub(super) unsafe fn pop(&self, head: &mut Head<T>) -> Pop<T> {
        // SAFETY: the caller's.
        let Some(slot) = (unsafe { self.slot(head, false) }) else { return Pop::Empty };
        // Acquire: pairs with the Release in `push` and `end`.
        let state = slot.state.load(Acquire);
        if state & READY != 0 {
            head.index += 1;
            // SAFETY: rule 1: ready and not read before.
            return Pop::Value(slot.value.with(|cell| unsafe { cell.read().assume_init() }));
        }
        if state & END != 0 { Pop::End } else { Pop::Empty }
    }

    /// Says that the receiver, whose waker is in place, waits for the next slot. `false`: something
    /// is there.
    pub(super) unsafe fn wait(&self, head: &mut Head<T>) -> bool {
        // SAFETY: the caller's.
        let slot = unsafe { self.slot(head, true) }.expect("the block is made");
        // AcqRel: Release pairs with the Acquire in `push` and `end`; Acquire as in `pop`.
        slot.state.fetch_or(WAITING, AcqRel) & (READY | END) == 0
    }

    /// Makes the sender of the next slot the receiver, which finds the head where `leave` has put it.
    /// `false`: something is there, and the caller is the receiver still.
    pub(super) unsafe fn give_up(&self, mut head: Head<T>, leave: impl FnOnce(Head<T>)) -> bool {
        // SAFETY: the caller's.
        let slot = unsafe { self.slot(&mut head, true) }.expect("the block is made");
        leave(head);
        // AcqRel: Release publishes the head to the Acquire in `push`; Acquire as in `pop`. With
        // nothing there this is the last access: the slot is its sender's, and so is all else.
        slot.state.fetch_or(GONE, AcqRel) & (READY | END) == 0
    }

    /// Whether there is no value to read.
    pub(super) unsafe fn is_empty(&self, head: &Head<T>) -> bool {
        // SAFETY: the caller's: blocks from `head.block` on are alive.
        let mut block = unsafe { head.block.as_ref() };
        if head.index - block.start == slots() {
            // Acquire: pairs with the Release in `next`.
            let Some(next) = NonNull::new(block.next.load(Acquire)) else { return true };
            // SAFETY: as above.
            block = unsafe { next.as_ref() };
        }
        block.slot(head.index).state.load(Acquire) & READY == 0
    }

    /// How many slots before the end are reserved and not read.
    pub(super) fn len(&self, head: &Head<T>) -> usize {
        // Relaxed: a number that is old at once.
        let tail = (self.tail.load(Acquire) / ONE).min(self.end.load(Relaxed));
        tail.saturating_sub(head.index)
    }

    /// Whether the next slot is reserved: if it is not ready, it soon will be.
    pub(super) fn is_reserved(&self, head: &Head<T>) -> bool {
        // Acquire: a send that happened before this call is seen.
        self.tail.load(Acquire) / ONE > head.index
    }

    /// The next slot; `None` if its block is missing and not to be made.
    unsafe fn slot(&self, head: &mut Head<T>, make: bool) -> Option<&Slot<T>> {
        // SAFETY: blocks from `oldest` on are the receiver's to read.
        let block = unsafe { head.block.as_ref() };
        if head.index - block.start < slots() {
            return Some(block.slot(head.index));
        }
        // Acquire: pairs with the Release in `next`.
        if block.next.load(Acquire).is_null() && !make {
            return None;
        }
        // SAFETY: as above.
        let next = unsafe { self.next(head.block) };
        head.block = next;
        // SAFETY: the caller's.
        unsafe { self.give_back(head) };
        // SAFETY: as above.
        Some(unsafe { next.as_ref() }.slot(head.index))
    }

    /// Gives back the blocks before `head.block` that nobody uses any more.
    unsafe fn give_back(&self, head: &mut Head<T>) {
        while head.oldest != head.block {
            // SAFETY: not given back yet.
            let block = unsafe { head.oldest.as_ref() };
            // Acquire: pairs with the Release in `walk`.
            let released = block.released.load(Acquire);
            if released == 0 || released - 1 > head.index {
                return;
            }
            // Relaxed, all: rule 5: it is ours alone; `keep` publishes it clean.
            let next = block.next.load(Relaxed);
            block.next.store(null_mut(), Relaxed);
            block.released.store(0, Relaxed);
            block.slots[..slots()].iter().for_each(|slot| slot.state.store(0, Relaxed));
            self.keep(head.oldest);
            // SAFETY: a block before `head.block` has a next one.
            head.oldest = unsafe { NonNull::new_unchecked(next) };
        }
    }

    /// Drops the values that are left and frees all blocks.
    ///
    /// # Safety
    ///
    /// Nobody uses the list any more.
    pub(super) unsafe fn dispose(&mut self, mut head: Head<T>) {
        // SAFETY: the caller's.
        while let Pop::Value(value) = unsafe { self.pop(&mut head) } {
            drop(value);
        }
        let mut block = Some(head.oldest);
        while let Some(this) = block {
            // SAFETY: blocks are boxes, linked once, and nobody uses them.
            let this = unsafe { Box::from_raw(this.as_ptr()) };
            // Acquire: pairs with the Release in `next`.
            block = NonNull::new(this.next.load(Acquire));
        }
        if let Some(spare) = NonNull::new(self.spare.swap(null_mut(), AcqRel)) {
            // SAFETY: as in `keep`.
            drop(unsafe { Box::from_raw(spare.as_ptr()) });
        }
    }
}
