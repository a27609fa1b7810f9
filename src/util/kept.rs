//! Blocks of memory that a worker keeps for its next tasks when one has ended.
//!
//! A task is an allocation, and with glibc's malloc that and its end are a third of all instructions
//! of a spawn: its own cache has seven blocks of each size. Here a block comes from a list of this thread's and
//! goes back to it: no lock, no other thread. Bought, by turns: 10,000 spawns 193 → 156 ns, with handles 240 → 167.
//!
//! Only while a worker's loop runs on the thread ([`keep`]), and [`ROOM`] bytes at most. Elsewhere, beyond that,
//! and for what is large or aligned to more than a pointer, it is the global allocator as ever. Off in models and
//! storms, and in builds with `--cfg sanitized`, for fuzzing and for Miri: a kept block would hide from those that
//! watch memory that somebody uses it after its end.
//!
//! Rejected: giving another worker's blocks back to it, under the lock of its home, and giving them to the global
//! allocator 64 at a time, so that its locks are taken in a row (100,000 sleeps: 6 % less CPU; 10,000, spawns from
//! outside, crowds that wait for a lock or a queue: nothing).

use crate::primitive::{Stays, in_model, in_storm, local};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The most that a thread keeps: a crowd of some thousand tasks.
const ROOM: usize = if cfg!(any(sanitized, fuzzing, miri)) { 0 } else { 1 << 20 };
/// How many sizes there are: up to a kilobyte, in words.
const CLASSES: usize = 128;

local! {
    static KEPT: Kept = Kept::new();
}

/// What one thread keeps.
struct Kept {
    lists: [Cell<Option<NonNull<Free>>>; CLASSES],
    /// Which lists may have a block; others have none.
    listed: Cell<u128>,
    /// How many bytes more are kept: none outside of a worker's loop.
    room: Cell<usize>,
    /// Of which home tasks' blocks are kept: of those that began here, and of what another runtime numbers alike. Others'
    /// would not be needed here, and would be missing where they came from (one CPU, spawns from outside: 8 to 20 %
    /// slower).
    home: Cell<u16>,
    /// Loops on this thread, one inside another.
    loops: Cell<u32>,
}

/// The beginning of a free block: the next one.
struct Free(Option<NonNull<Free>>);

const WORD: usize = size_of::<Free>();

/// Memory for a `T`, which [`free`] takes back, on whatever thread.
#[inline]
pub(crate) fn allocate<T>() -> NonNull<T> {
    let layout = const { layout::<T>() };
    let kept = const { class(Layout::new::<T>()) }
        .and_then(|class| KEPT.try_with(|kept| kept.take(class)).ok().flatten());
    if let Some(block) = kept {
        return block.cast();
    }
    // SAFETY: it is not empty: `layout` sees to that.
    let block = unsafe { alloc(layout) };
    NonNull::new(block.cast()).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Takes back memory for a `T`, of which this `home` made use.
///
/// # Safety
///
/// It came from [`allocate`] for the same type, is given back once, and nobody uses it any more.
#[inline]
pub(crate) unsafe fn free<T>(block: NonNull<T>, home: u16) {
    let layout = const { layout::<T>() };
    if let Some(class) = const { class(Layout::new::<T>()) } {
        // SAFETY: the caller's; a block of this class is aligned to and larger than a `Free`.
        let is_kept = KEPT.try_with(|kept| unsafe { kept.put(class, block.cast(), home) });
        if is_kept.unwrap_or(false) {
            return;
        }
    }
    // SAFETY: the caller's: it was allocated with this layout.
    unsafe { dealloc(block.as_ptr().cast(), layout) };
}

/// Which list a block goes to, if it is one that is kept.
const fn class(wanted: Layout) -> Option<usize> {
    let class = wanted.size().div_ceil(WORD);
    if wanted.align() <= WORD && class < CLASSES { Some(class) } else { None }
}

const fn size(class: usize) -> usize {
    WORD * class
}

/// What is asked of the global allocator for a `T`: the same for all types of a class.
const fn layout<T>() -> Layout {
    assert!(size_of::<T>() > 0);
    match class(Layout::new::<T>()) {
        Some(class) => of_class(class),
        None => Layout::new::<T>(),
    }
}

const fn of_class(class: usize) -> Layout {
    match Layout::from_size_align(size(class), WORD) {
        Ok(layout) => layout,
        Err(_) => unreachable!(),
    }
}

impl Kept {
    const fn new() -> Self {
        Self {
            lists: [const { Cell::new(None) }; CLASSES],
            listed: Cell::new(0),
            room: Cell::new(0),
            home: Cell::new(0),
            loops: Cell::new(0),
        }
    }

    #[inline]
    fn take(&self, class: usize) -> Option<NonNull<Free>> {
        let list = &self.lists[class];
        let block = list.get()?;
        // SAFETY: what is listed is a free block, which `put` wrote.
        list.set(unsafe { block.as_ref() }.0);
        self.room.set(self.room.get() + size(class));
        Some(block)
    }

    /// Says whether it keeps the block.
    ///
    /// # Safety
    ///
    /// A block of this class that nobody uses any more. If it is kept, the caller gives it up.
    #[inline]
    unsafe fn put(&self, class: usize, block: NonNull<Free>, home: u16) -> bool {
        if home != self.home.get() {
            return false;
        }
        let Some(room) = self.room.get().checked_sub(size(class)) else { return false };
        self.room.set(room);
        let list = &self.lists[class];
        // SAFETY: the caller's: it is nobody's, and large enough.
        unsafe { block.write(Free(list.get())) };
        list.set(Some(block));
        self.listed.set(self.listed.get() | 1 << class);
        true
    }

    fn empty(&self) {
        let mut listed = self.listed.take();
        while listed != 0 {
            let class = listed.trailing_zeros() as usize;
            listed &= listed - 1;
            while let Some(block) = self.take(class) {
                // SAFETY: all blocks of a class are allocated with this layout.
                unsafe { dealloc(block.as_ptr().cast(), of_class(class)) };
            }
        }
    }
}

/// From here on this thread keeps blocks of `home`, until the guard is dropped. Inside of such a loop on this thread it
/// goes on with that one's.
pub(crate) fn keep(home: u16) -> Keeping {
    KEPT.with(|kept| {
        if kept.loops.get() == 0 && !in_model() && !in_storm() {
            kept.home.set(home);
            kept.room.set(ROOM);
        }
        kept.loops.set(kept.loops.get() + 1);
    });
    Keeping(PhantomData)
}

/// This thread keeps blocks.
#[derive(Debug)]
pub(crate) struct Keeping(PhantomData<Stays>);

impl Drop for Keeping {
    fn drop(&mut self) {
        KEPT.with(|kept| {
            kept.loops.set(kept.loops.get() - 1);
            if kept.loops.get() == 0 {
                kept.empty();
                kept.room.set(0);
            }
        });
    }
}

#[cfg(all(test, not(any(sanitized, fuzzing, miri))))]
mod tests {
    use super::*;

    fn room() -> usize {
        KEPT.with(|kept| kept.room.get())
    }

    #[test]
    fn a_block_is_used_again_while_a_loop_runs() {
        /// A block comes and goes.
        fn used<T>() -> NonNull<T> {
            let block = allocate::<T>();
            // SAFETY: it is from there, and nobody has it.
            unsafe { free(block, 1) };
            block
        }

        used::<[u64; 12]>();
        assert_eq!((room(), KEPT.with(|kept| kept.take(12)).is_none()), (0, true), "not kept");

        let keeping = keep(1);
        let inner = keep(2);
        let first = used::<[u64; 12]>();
        assert_eq!(room(), ROOM - 96);
        drop(inner);
        assert_ne!(used::<[u64; 11]>().cast(), first, "of another size");
        assert_eq!(used::<[u8; 95]>().cast(), first, "words count");
        let stolen = allocate::<[u64; 12]>();
        // SAFETY: as in `used`.
        unsafe { free(stolen, 2) };
        assert_eq!(room(), ROOM - 88, "it was taken, and is another home's");
        drop(keeping);
        assert_eq!((room(), KEPT.with(|kept| kept.take(12)).is_none()), (0, true), "given back");
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let _keeping = keep(1);
        let blocks: Vec<_> = (0..2 * ROOM / 1000).map(|_| allocate::<[u64; 125]>()).collect();
        // SAFETY: they are from there, and nobody has them.
        blocks.into_iter().for_each(|block| unsafe { free(block, 1) });
        assert!(room() < size(CLASSES - 1), "{} bytes left", room());
    }

    #[test]
    fn what_has_no_class_is_as_ever() {
        #[repr(align(16))]
        struct Aligned {
            _bytes: [u8; 48],
        }

        let _keeping = keep(1);
        let aligned = allocate::<Aligned>();
        let large = allocate::<[u64; 128]>();
        assert!(aligned.is_aligned());
        // SAFETY: they are from there, and nobody has them.
        unsafe {
            free(aligned, 1);
            free(large, 1);
        }
        assert_eq!(room(), ROOM, "nothing is kept");
    }
}
