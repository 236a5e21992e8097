//! A global allocator that counts, so that "nothing allocates on a switch" is a measured row.
//!
//! The count is per thread and a plain cell: an atomic would cost as much as the small allocations of the
//! spawn benchmark themselves. It counts requests for memory (new and regrown), not their bytes and not
//! what is given back. The cell has no destructor and a constant initial value, so touching it neither
//! allocates nor fails, at whatever point of a thread's life the allocator is called, and a signal handler
//! may read it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator with a counter before it.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many times this thread has asked for memory since it started.
pub(crate) fn count() -> u64 {
    COUNT.with(Cell::get)
}

/// Adds one request of this thread.
fn note() {
    COUNT.with(|count| count.set(count.get() + 1));
}

// SAFETY: every method forwards its arguments unchanged to `System`, which is a correct allocator, and
// returns what it returned; the counter touches no memory that `System` hands out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise about `layout` is the one `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise about `layout` is the one `System` asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `System` through one of the methods here, with this `layout`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note();
        // SAFETY: `ptr` came from `System` with this `layout`; `new_size` is as the caller promised.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_new_and_regrown_memory_and_nothing_else() {
        let before = count();
        let mut list = std::hint::black_box(Vec::<u64>::with_capacity(1));
        assert_eq!(count() - before, 1);
        list.push(1);
        assert_eq!(count() - before, 1);
        list.push(2);
        assert_eq!(count() - before, 2);
        drop(list);
        assert_eq!(count() - before, 2);
    }
}
