//! An intrusive doubly linked list: the links live in the element, so nothing is allocated and an
//! element leaves in constant time from anywhere.
//!
//! The list owns nothing. Its rules, cited at each use as *list rule n*:
//!
//! 1. An element stays at its address, alive, from the call that links it to the call that unlinks it.
//! 2. All calls on one list, and on elements linked into it, are made under one lock (or by one
//!    thread): the links have no synchronisation of their own.
//! 3. An element is in at most one list at a time, and [`remove`](List::remove) is called on the list
//!    that holds it.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomPinned;
use std::ptr::NonNull;

/// The two pointers inside an element.
pub(crate) struct Links<T> {
    // In an `UnsafeCell`: neighbours write them while shared references to the element exist.
    pointers: UnsafeCell<Pointers<T>>,
    _pin: PhantomPinned,
}

struct Pointers<T> {
    prev: Option<NonNull<T>>,
    next: Option<NonNull<T>>,
}

impl<T> Links<T> {
    pub(crate) const fn new() -> Self {
        Self { pointers: UnsafeCell::new(Pointers { prev: None, next: None }), _pin: PhantomPinned }
    }
}

impl<T> fmt::Debug for Links<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Links")
    }
}

/// A type with [`Links`] inside.
///
/// # Safety
///
/// `links` gives the same field of the element on every call, without reading or writing the element.
pub(crate) unsafe trait Linked: Sized {
    /// Where the links of `element` are.
    ///
    /// # Safety
    ///
    /// `element` points to a live value.
    unsafe fn links(element: NonNull<Self>) -> NonNull<Links<Self>>;
}

/// A list of elements that live elsewhere.
pub(crate) struct List<T: Linked> {
    head: Option<NonNull<T>>,
    tail: Option<NonNull<T>>,
}

// SAFETY: a list is two pointers to `T`s that other threads may reach; moving it to another thread
// gives that thread what the lock around it (list rule 2) gives anyway.
unsafe impl<T: Linked + Send> Send for List<T> {}

impl<T: Linked> List<T> {
    pub(crate) const fn new() -> Self {
        Self { head: None, tail: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// The first element.
    pub(crate) fn front(&self) -> Option<NonNull<T>> {
        self.head
    }

    /// The last element.
    pub(crate) fn back(&self) -> Option<NonNull<T>> {
        self.tail
    }

    /// The element after `element`.
    ///
    /// # Safety
    ///
    /// List rules 2 and 3: `element` is in this list.
    pub(crate) unsafe fn after(&self, element: NonNull<T>) -> Option<NonNull<T>> {
        // SAFETY: the caller's.
        unsafe { pointers(element) }.next
    }

    /// Links `element` in at the end.
    ///
    /// # Safety
    ///
    /// List rules 1 to 3; `element` is in no list.
    pub(crate) unsafe fn push_back(&mut self, element: NonNull<T>) {
        // SAFETY: the caller's; the tail, if any, is linked here and therefore alive (list rule 1).
        unsafe {
            *pointers(element) = Pointers { prev: self.tail, next: None };
            match self.tail {
                Some(tail) => pointers(tail).next = Some(element),
                None => self.head = Some(element),
            }
        }
        self.tail = Some(element);
    }

    /// Unlinks and gives back the first element.
    pub(crate) fn pop_front(&mut self) -> Option<NonNull<T>> {
        let head = self.head?;
        // SAFETY: the head is in this list.
        unsafe { self.remove(head) };
        Some(head)
    }

    /// Unlinks `element`.
    ///
    /// # Safety
    ///
    /// List rules 2 and 3: `element` is in this list.
    pub(crate) unsafe fn remove(&mut self, element: NonNull<T>) {
        // SAFETY: the caller's; neighbours are linked here and therefore alive (list rule 1).
        unsafe {
            let Pointers { prev, next } =
                std::mem::replace(pointers(element), Pointers { prev: None, next: None });
            match prev {
                Some(prev) => pointers(prev).next = next,
                None => self.head = next,
            }
            match next {
                Some(next) => pointers(next).prev = prev,
                None => self.tail = prev,
            }
        }
    }

    /// Takes all elements, leaving this list empty. Their links stay as they are.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

impl<T: Linked> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Linked> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("is_empty", &self.is_empty()).finish()
    }
}

/// # Safety
///
/// `element` is alive and nobody else uses its links now (list rule 2).
unsafe fn pointers<'a, T: Linked>(element: NonNull<T>) -> &'a mut Pointers<T> {
    // SAFETY: the caller's.
    unsafe { &mut *T::links(element).as_ref().pointers.get() }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Node {
        value: u32,
        links: Links<Node>,
    }

    // SAFETY: always the field `links`.
    unsafe impl Linked for Node {
        unsafe fn links(element: NonNull<Self>) -> NonNull<Links<Self>> {
            // SAFETY: the caller's; no reference to the whole element is made.
            unsafe { NonNull::new_unchecked(&raw mut (*element.as_ptr()).links) }
        }
    }

    fn values(list: &List<Node>) -> Vec<u32> {
        let mut out = Vec::new();
        let mut at = list.front();
        while let Some(node) = at {
            // SAFETY: the nodes outlive the list in these tests, which have one thread.
            unsafe {
                out.push(node.as_ref().value);
                at = list.after(node);
            }
        }
        out
    }

    #[test]
    fn elements_leave_from_anywhere() {
        let nodes: Vec<Box<Node>> =
            (0..5).map(|value| Box::new(Node { value, links: Links::new() })).collect();
        let at = |n: usize| NonNull::from(&*nodes[n]);
        let mut list = List::new();
        // SAFETY: the boxes keep their nodes in place; one thread; one list.
        unsafe {
            for n in 0..5 {
                list.push_back(at(n));
            }
            list.remove(at(2));
            assert_eq!(values(&list), [0, 1, 3, 4]);
            list.remove(at(0));
            list.remove(at(4));
            assert_eq!(values(&list), [1, 3]);
            list.push_back(at(2));
        }
        assert_eq!(values(&list), [1, 3, 2]);
        let mut rest = list.take();
        assert!(list.is_empty());
        let popped: Vec<u32> =
            // SAFETY: as above.
            std::iter::from_fn(|| rest.pop_front()).map(|n| unsafe { n.as_ref().value }).collect();
        assert_eq!(popped, [1, 3, 2]);
    }
}
