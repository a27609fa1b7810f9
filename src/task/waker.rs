//! The waker of a task: a counted reference to its header.

use super::Why;
use super::cell::Header;
use super::harness::release;
use super::state::Wake;
use crate::primitive::explore;
use crate::util::spans::{self, Place};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker that holds no reference: the poll it is made for outlives it.
pub(super) struct Borrowed(ManuallyDrop<Waker>);

impl Deref for Borrowed {
    type Target = Waker;

    fn deref(&self) -> &Waker {
        &self.0
    }
}

/// # Safety
///
/// The cell of `header` outlives the result.
#[inline]
pub(super) unsafe fn borrowed(header: NonNull<Header>) -> Borrowed {
    // SAFETY: the functions of the table keep `RawWaker`'s contract for live headers.
    Borrowed(ManuallyDrop::new(unsafe { Waker::new(header.as_ptr().cast(), &VTABLE) }))
}

/// # Safety
///
/// For all five: `data` is the header that the waker was made with, alive since the waker holds a
/// reference (or was lent by one who does).
unsafe fn header(data: *const ()) -> NonNull<Header> {
    // SAFETY: made from a `NonNull<Header>` in `borrowed` or `clone`.
    unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
}

/// Tells who wants to know what happens to a waker.
#[inline]
fn tell(header: &Header, op: &'static str) {
    if spans::wakers_are_wanted() {
        if let Some(span) = header.span().and_then(Place::get) {
            span.waker(op);
        }
    }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    explore::waker_cloned();
    // SAFETY: the caller's.
    let header = unsafe { header(data).as_ref() };
    tell(header, "waker.clone");
    explore::atomically(|| header.state.retain());
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the caller's; the reference is this waker's, given back after its last use.
    unsafe {
        tell(header(data).as_ref(), "waker.wake");
        submit(data);
        release(header(data));
    }
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the caller's.
    unsafe {
        tell(header(data).as_ref(), "waker.wake_by_ref");
        submit(data);
    }
}

#[inline]
unsafe fn submit(data: *const ()) {
    // SAFETY: the caller's; `Submit` gives us the `Runnable`.
    explore::atomically(|| unsafe {
        let header = header(data);
        if header.as_ref().state.wake() == Wake::Submit {
            (header.as_ref().vtable.schedule)(header, Why::Woken);
        }
    });
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the caller's.
    tell(unsafe { header(data).as_ref() }, "waker.drop");
    // SAFETY: the caller's.
    explore::atomically(|| unsafe { release(header(data)) });
}
