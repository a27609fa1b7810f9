//! What an operation waits for, and what a descriptor is ready for.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Sub};

/// The kinds of readiness to wait for.
///
/// Interests are joined with `|` (or [`add`](Interest::add) in constants); there is no empty one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interest(u8);

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;
const READ_CLOSED: u8 = 4;
const WRITE_CLOSED: u8 = 8;
const PRIORITY: u8 = 16;
const ERROR: u8 = 32;

impl Interest {
    /// Interest in input, which includes the end of it.
    pub const READABLE: Interest = Interest(READABLE);

    /// Interest in room for output, which includes that nobody will read it.
    pub const WRITABLE: Interest = Interest(WRITABLE);

    /// Interest in urgent data and other exceptional conditions. Reported on Linux and Android only.
    pub const PRIORITY: Interest = Interest(PRIORITY);

    /// Interest in errors that wait to be fetched.
    pub const ERROR: Interest = Interest(ERROR);

    /// Whether input is waited for.
    pub const fn is_readable(self) -> bool {
        self.0 & READABLE != 0
    }

    /// Whether room for output is waited for.
    pub const fn is_writable(self) -> bool {
        self.0 & WRITABLE != 0
    }

    /// Whether urgent data are waited for.
    pub const fn is_priority(self) -> bool {
        self.0 & PRIORITY != 0
    }

    /// Whether errors are waited for.
    pub const fn is_error(self) -> bool {
        self.0 & ERROR != 0
    }

    /// Both interests; `|` for constants.
    pub const fn add(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }

    /// This interest without `other`, or `None` if nothing is left.
    pub const fn remove(self, other: Interest) -> Option<Interest> {
        match self.0 & !other.0 {
            0 => None,
            rest => Some(Interest(rest)),
        }
    }

    /// The readiness that ends a wait for this interest.
    pub(super) const fn mask(self) -> Ready {
        let mut mask = self.0;
        if self.is_readable() || self.is_priority() {
            mask |= READ_CLOSED;
        }
        if self.is_writable() {
            mask |= WRITE_CLOSED;
        }
        Ready(mask)
    }
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        self.add(other)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        names(self.0, f)
    }
}

/// What a descriptor is ready for. More than one kind may hold at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ready(u8);

impl Ready {
    /// Nothing.
    pub const EMPTY: Ready = Ready(0);

    /// There is input.
    pub const READABLE: Ready = Ready(READABLE);

    /// There is room for output.
    pub const WRITABLE: Ready = Ready(WRITABLE);

    /// No input will follow what is buffered.
    pub const READ_CLOSED: Ready = Ready(READ_CLOSED);

    /// No output will be taken.
    pub const WRITE_CLOSED: Ready = Ready(WRITE_CLOSED);

    /// There are urgent data.
    pub const PRIORITY: Ready = Ready(PRIORITY);

    /// There is an error to fetch.
    pub const ERROR: Ready = Ready(ERROR);

    /// Everything.
    pub const ALL: Ready = Ready(0b11_1111);

    /// What makes a descriptor's end or error visible at any time: while one of these holds, an
    /// operation that moved less than asked for proves nothing about the next one.
    pub(super) const NOT_PLAIN: Ready = Ready(READ_CLOSED | WRITE_CLOSED | PRIORITY | ERROR);

    /// The final states: they end no more.
    pub(super) const CLOSED: Ready = Ready(READ_CLOSED | WRITE_CLOSED);

    /// The readiness that ends a wait for `interest`.
    pub fn from_interest(interest: Interest) -> Ready {
        interest.mask()
    }

    /// Whether there is nothing to do.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a read would not block, be it because of the end.
    pub const fn is_readable(self) -> bool {
        self.0 & (READABLE | READ_CLOSED) != 0
    }

    /// Whether a write would not block, be it because it fails.
    pub const fn is_writable(self) -> bool {
        self.0 & (WRITABLE | WRITE_CLOSED) != 0
    }

    /// Whether no input will follow what is buffered.
    pub const fn is_read_closed(self) -> bool {
        self.0 & READ_CLOSED != 0
    }

    /// Whether no output will be taken.
    pub const fn is_write_closed(self) -> bool {
        self.0 & WRITE_CLOSED != 0
    }

    /// Whether there are urgent data.
    pub const fn is_priority(self) -> bool {
        self.0 & PRIORITY != 0
    }

    /// Whether there is an error to fetch.
    pub const fn is_error(self) -> bool {
        self.0 & ERROR != 0
    }

    /// Whether all of `other` is in here.
    pub fn contains<T: Into<Ready>>(self, other: T) -> bool {
        let other = other.into();
        self & other == other
    }

    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    pub(super) const fn from_bits(bits: u8) -> Ready {
        Ready(bits & Ready::ALL.0)
    }
}

impl From<Interest> for Ready {
    fn from(interest: Interest) -> Ready {
        interest.mask()
    }
}

impl BitOr for Ready {
    type Output = Ready;

    fn bitor(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Ready) {
        self.0 |= other.0;
    }
}

impl BitAnd for Ready {
    type Output = Ready;

    fn bitand(self, other: Ready) -> Ready {
        Ready(self.0 & other.0)
    }
}

impl Sub for Ready {
    type Output = Ready;

    fn sub(self, other: Ready) -> Ready {
        Ready(self.0 & !other.0)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        names(self.0, f)
    }
}

fn names(bits: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const NAMES: [&str; 6] =
        ["READABLE", "WRITABLE", "READ_CLOSED", "WRITE_CLOSED", "PRIORITY", "ERROR"];
    let mut set = NAMES.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    match set.next() {
        None => f.write_str("EMPTY"),
        Some((_, first)) => {
            f.write_str(first)?;
            set.try_for_each(|(_, name)| write!(f, " | {name}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_direction_ends_the_wait_for_it() {
        let mask = Ready::from_interest(Interest::READABLE | Interest::WRITABLE);
        assert_eq!(format!("{mask:?}"), "READABLE | WRITABLE | READ_CLOSED | WRITE_CLOSED");
        assert!(Ready::READ_CLOSED.is_readable() && !Ready::READ_CLOSED.is_writable());
        assert_eq!(Interest::READABLE.remove(Interest::READABLE), None);
        assert_eq!(
            (Interest::READABLE | Interest::ERROR).remove(Interest::READABLE),
            Some(Interest::ERROR)
        );
        assert!(Ready::ALL.contains(Interest::PRIORITY));
        assert!(!Ready::READABLE.contains(Interest::READABLE));
        assert_eq!(format!("{:?}", Ready::EMPTY), "EMPTY");
    }
}
