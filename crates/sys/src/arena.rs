//! A memory allocator for programs that live for milliseconds: memory is handed out in order and never taken back.
//!
//! The launcher allocates some hundred kilobytes in all and then executes something else or exits. With this allocator
//! that costs no system call; musl's own allocator makes some seventy.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of the arena: in the zeroed data of the program, so that only pages that are touched exist.
const SIZE: usize = 1 << 20;

// Whole pages, so that they can be given back.
#[repr(align(4096))]
struct Memory(UnsafeCell<[u8; SIZE]>);

// SAFETY: the bytes are only reached through pointers that `alloc` hands out, each range once.
unsafe impl Sync for Memory {}

static MEMORY: Memory = Memory(UnsafeCell::new([0; SIZE]));
static USED: AtomicUsize = AtomicUsize::new(0);

/// The allocator: `#[global_allocator] static ARENA: Arena = Arena;`. When the arena is full, the system's takes over.
#[derive(Debug)]
pub struct Arena;

fn base() -> *mut u8 {
    MEMORY.0.get().cast()
}

fn offset_of(pointer: *mut u8) -> Option<usize> {
    let offset = (pointer as usize).wrapping_sub(base() as usize);
    (offset < SIZE).then_some(offset)
}

/// Gives the arena's memory back to the system and goes on with `next`, which has nothing but `state`: a plain value, and
/// no reference to anything that was allocated, because a function pointer captures nothing and never returns.
///
/// For a process that was forked to live long after one that allocated a lot. Whatever was in the arena reads as zeroes
/// afterwards; nothing of it is dropped.
pub fn give_back<T: Copy + 'static>(state: T, next: fn(T) -> !) -> ! {
    // SAFETY: the range is the arena's own, private and anonymous, so that its pages can be dropped (madvise(2)). Nobody
    // reads it again: this process has one thread, its stack up to here is never returned to, and `next` allocates nothing.
    let _ = unsafe { libc::madvise(base().cast(), SIZE, libc::MADV_DONTNEED) };
    next(state)
}

// SAFETY: every range is handed out once: `USED` only grows, by compare-and-swap, but for a range that its only owner gives
// back or resizes while it is the last one. Alignment is kept because the base is aligned to 64 bytes and larger
// alignments go to the system's allocator.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= 64 {
            let mut used = USED.load(Ordering::Relaxed);
            loop {
                let start = used.next_multiple_of(layout.align());
                let Some(end) = start.checked_add(layout.size()).filter(|end| *end <= SIZE) else { break };
                match USED.compare_exchange_weak(used, end, Ordering::Relaxed, Ordering::Relaxed) {
                    // SAFETY: start <= end <= SIZE, so the pointer stays in the arena.
                    Ok(_) => return unsafe { base().add(start) },
                    Err(now) => used = now,
                }
            }
        }
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match offset_of(pointer) {
            Some(start) => {
                let _ = USED.compare_exchange(start + layout.size(), start, Ordering::Relaxed, Ordering::Relaxed);
            }
            // SAFETY: not from the arena, so from the system's allocator.
            None => unsafe { System.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(start) = offset_of(pointer) else {
            // SAFETY: not from the arena, so from the system's allocator.
            return unsafe { System.realloc(pointer, layout, new_size) };
        };
        let (end, new_end) = (start + layout.size(), start.saturating_add(new_size));
        let in_place =
            new_end <= SIZE && USED.compare_exchange(end, new_end, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if in_place || new_size <= layout.size() {
            return pointer;
        }
        // SAFETY: a valid layout of the new size; the old range is live and shorter than the new one, and they do not
        // overlap.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(pointer, moved, layout.size());
            }
            moved
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // A range that was given back may be handed out again with what was in it.
        // SAFETY: the caller's contract is the same; the range has layout.size() bytes.
        unsafe {
            let pointer = self.alloc(layout);
            if !pointer.is_null() {
                ptr::write_bytes(pointer, 0, layout.size());
            }
            pointer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_in_place_move_and_overflow_to_the_system() {
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        // SAFETY: every pointer is used within its layout and given back once.
        unsafe {
            let first = Arena.alloc(layout(16));
            first.write_bytes(7, 16);
            let grown = Arena.realloc(first, layout(16), 4096);
            assert!(offset_of(grown).is_some());
            assert!((0..16).all(|at| *grown.add(at) == 7));
            let second = Arena.alloc(layout(16));
            let moved = Arena.realloc(grown, layout(4096), 8192);
            assert_ne!(moved, grown);
            assert!((0..16).all(|at| *moved.add(at) == 7));
            let zeroed = Arena.alloc_zeroed(layout(64));
            assert!((0..64).all(|at| *zeroed.add(at) == 0));
            let large = Arena.alloc(layout(2 * SIZE));
            assert!(!large.is_null() && offset_of(large).is_none());
            Arena.dealloc(large, layout(2 * SIZE));
            Arena.dealloc(zeroed, layout(64));
            Arena.dealloc(moved, layout(8192));
            Arena.dealloc(second, layout(16));
            let aligned = Arena.alloc(Layout::from_size_align(8, 4096).unwrap());
            assert_eq!(aligned as usize % 4096, 0);
            Arena.dealloc(aligned, Layout::from_size_align(8, 4096).unwrap());
        }
    }
}
