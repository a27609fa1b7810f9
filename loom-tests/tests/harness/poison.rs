//! An allocator that makes the use of freed memory visible: freed blocks are overwritten, and stay out
//! of use for a while.
//!
//! loom watches cells and atomics, and not the memory that they lie in. In the binaries that have this
//! allocator a use after free meets a pattern that is no pointer and no discriminant, and dies.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering::*};

/// How many freed blocks are kept, the oldest given back first: more than one execution frees.
const KEPT: usize = 4096;
/// Larger blocks go back at once: they are tables, no part of a protocol.
const LARGEST: usize = 1 << 16;
/// What a freed block is filled with; as a pointer it is in no address space.
const PATTERN: u8 = 0xdd;

/// See the module.
pub struct Poison {
    locked: AtomicBool,
    ring: UnsafeCell<Ring>,
}

struct Ring {
    blocks: [(*mut u8, Layout); KEPT],
    at: usize,
}

// SAFETY: `ring` is used under `locked` only.
unsafe impl Sync for Poison {}

impl Poison {
    /// For a `#[global_allocator]`.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        let none = (std::ptr::null_mut(), Layout::new::<u8>());
        Self {
            locked: AtomicBool::new(false),
            ring: UnsafeCell::new(Ring { blocks: [none; KEPT], at: 0 }),
        }
    }
}

// SAFETY: memory is the system's; a block is given back once, after its `dealloc`.
unsafe impl GlobalAlloc for Poison {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives the block up, so it is ours to write and to keep.
        unsafe { block.write_bytes(PATTERN, layout.size()) };
        let mut oldest = (block, layout);
        if layout.size() <= LARGEST {
            while self.locked.swap(true, Acquire) {
                std::hint::spin_loop();
            }
            // SAFETY: the lock is held.
            let ring = unsafe { &mut *self.ring.get() };
            std::mem::swap(&mut ring.blocks[ring.at], &mut oldest);
            ring.at = (ring.at + 1) % KEPT;
            self.locked.store(false, Release);
        }
        if !oldest.0.is_null() {
            // SAFETY: allocated by the system with this layout, and given up by its owner.
            unsafe { System.dealloc(oldest.0, oldest.1) };
        }
    }
}
