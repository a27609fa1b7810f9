//! Where the C library has its own mind about raw `clone`, or nobody has tried it: no templates.

use super::super::orders::Orders;

/// Whether there are templates here.
pub(in crate::offload) const HAS_TEMPLATES: bool = false;

/// Nobody asks for it here.
pub(super) fn serve(_parent: u32) -> Option<Orders> {
    None
}
