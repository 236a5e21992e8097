//! The three sizes of stack, public.
//!
//! Few classes keep the pools warm: a freed stack fits the next spawn. A slot is one page larger than its class says, so
//! that an odd number of pages lies between neighbours: see `header`.

#![forbid(unsafe_code)]

use std::io;

use super::sys;

/// How large the stack of a greenlet or task is.
///
/// A stack takes as much address space as its number says and one page more. Of that, a guard at the low end is not
/// usable: one page for [`K64`](Self::K64), which so has its full 64 KiB, and 16 KiB for the larger classes, which have
/// 12 KiB less than their number (where pages have 4 KiB). At the top, up to 2.5 KiB hold what is known of the task, and
/// its closure or result if that is small. All stacks of a class are equally deep, but for less than 1 KiB that keeps
/// their tops apart in the caches.
///
/// Physical memory is only taken for pages that are touched, and the smallest stack that is parked takes one page.
///
/// # Choosing
///
/// 64 KiB is enough for ordinary Rust code, including formatting and name resolution. C libraries, deep
/// recursion and code that was built without optimisation may need more. An overflow is always caught: the process
/// reports the greenlet's name, size and spawn site, and aborts.
///
/// ```
/// use greenloom::stack::StackSize;
///
/// assert_eq!(StackSize::default(), StackSize::K64);
/// assert_eq!(StackSize::at_least(100_000).unwrap(), StackSize::K256);
/// assert!(StackSize::at_least(usize::MAX).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum StackSize {
    /// 64 KiB, the default.
    #[default]
    K64 = 0,
    /// 256 KiB, for C libraries and deep call stacks.
    K256 = 1,
    /// 1 MiB, for deep recursion.
    M1 = 2,
}

impl StackSize {
    /// Every class, smallest first; the position is the class's number.
    pub(crate) const ALL: [StackSize; 3] = [StackSize::K64, StackSize::K256, StackSize::M1];

    /// The size in bytes, as in the name.
    #[inline]
    #[must_use]
    pub const fn bytes(self) -> usize {
        1 << self.shift()
    }

    /// The smallest class of at least `bytes` bytes.
    ///
    /// What is usable is somewhat less, see the type's documentation: ask for more than the bare need.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if no class is that large; the message names the largest.
    pub fn at_least(bytes: usize) -> io::Result<StackSize> {
        Self::ALL
            .into_iter()
            .find(|size| size.bytes() >= bytes)
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("no stack has {bytes} bytes: the largest class is StackSize::M1 with {} bytes", Self::M1.bytes()),
                )
            })
    }

    /// Bytes from one slot to the next: an odd number of pages, since every size is an even one.
    #[inline]
    pub(super) fn stride(self) -> usize {
        self.bytes() + sys::page_size()
    }

    /// log2 of the size: 16, 18 or 20.
    #[inline]
    const fn shift(self) -> u32 {
        16 + 2 * self as u32
    }

    /// Bytes of guard wanted at the low end, before rounding up to pages.
    ///
    /// The larger classes are the ones that C code runs on, which touches its frames without probing every page.
    #[inline]
    pub(crate) const fn guard(self) -> usize {
        match self {
            StackSize::K64 => 4 << 10,
            StackSize::K256 | StackSize::M1 => 16 << 10,
        }
    }

    /// The class with this number.
    #[inline]
    pub(crate) const fn from_number(number: usize) -> Option<StackSize> {
        match number {
            0 => Some(StackSize::K64),
            1 => Some(StackSize::K256),
            2 => Some(StackSize::M1),
            _ => None,
        }
    }
}
