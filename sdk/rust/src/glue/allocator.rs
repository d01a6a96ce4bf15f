//! The allocator of guests: lists of free blocks by size, in front of the standard library's allocator.
//!
//! Operators allocate and free many small blocks, most of them for the length of a record. A block of a class is taken from
//! the front of its list and put back there: a few instructions, where a general allocator spends tens of nanoseconds in
//! looking for neighbours. Invariants: a block's class follows from its layout alone; memory of a class stays with it.
//! There is one thread.
#![allow(unsafe_code, reason = "an allocator hands out memory")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};

/// The sizes of the classes are multiples of this, and so is the address of every block.
const STEP_BYTES: usize = 16;
/// The largest block that has a class.
const CLASS_BYTES_MAX: usize = 1024;
const CLASSES: usize = CLASS_BYTES_MAX / STEP_BYTES;
/// What a class takes from the standard library's allocator at once.
const REFILL_BYTES: usize = 8 * 1024;

#[global_allocator]
static ALLOCATOR: GuestAllocator = GuestAllocator { free: UnsafeCell::new([None; CLASSES]) };

/// A free block: where the next one is.
struct Free {
    next: Option<NonNull<Free>>,
}

struct GuestAllocator {
    free: UnsafeCell<[Option<NonNull<Free>>; CLASSES]>,
}

// SAFETY: guests have one thread.
unsafe impl Sync for GuestAllocator {}

/// The class of a layout, if it has one.
#[inline]
fn class_of(layout: Layout) -> Option<usize> {
    let is_small = layout.size() <= CLASS_BYTES_MAX && layout.align() <= STEP_BYTES;
    // A layout of no bytes is never asked for.
    is_small.then(|| layout.size().saturating_sub(1) / STEP_BYTES)
}

impl GuestAllocator {
    /// Takes memory for a class, gives one of its blocks, and lists the others.
    #[cold]
    unsafe fn refill(&self, class: usize) -> *mut u8 {
        let block_bytes = (class + 1) * STEP_BYTES;
        let Ok(layout) = Layout::from_size_align(REFILL_BYTES, STEP_BYTES) else { return ptr::null_mut() };
        // SAFETY: the layout has bytes. Blocks lie within what it gives, and one thread uses the list.
        unsafe {
            let memory = System.alloc(layout);
            if memory.is_null() {
                return memory;
            }
            let list = &mut (*self.free.get())[class];
            for index in (1..REFILL_BYTES / block_bytes).rev() {
                let block = memory.add(index * block_bytes).cast::<Free>();
                block.write(Free { next: *list });
                *list = NonNull::new(block);
            }
            memory
        }
    }
}

// SAFETY: a block is handed out once until it comes back; it is as large as its class, which is no smaller than its layout,
// and aligned as every class is.
unsafe impl GlobalAlloc for GuestAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else {
            // SAFETY: the caller's layout.
            return unsafe { System.alloc(layout) };
        };
        // SAFETY: one thread uses the list, and what is listed are free blocks.
        unsafe {
            let list = &mut (*self.free.get())[class];
            match *list {
                Some(block) => {
                    *list = block.as_ref().next;
                    block.as_ptr().cast()
                }
                None => self.refill(class),
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let Some(class) = class_of(layout) else {
            // SAFETY: it came from there, with this layout.
            return unsafe { System.dealloc(memory, layout) };
        };
        // SAFETY: one thread uses the list, and the block is free from here on.
        unsafe {
            let list = &mut (*self.free.get())[class];
            let block = memory.cast::<Free>();
            block.write(Free { next: *list });
            *list = NonNull::new(block);
        }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller answers for the size; what moves are bytes that both blocks have.
        unsafe {
            let grown = Layout::from_size_align_unchecked(size, layout.align());
            match (class_of(layout), class_of(grown)) {
                (None, None) => System.realloc(memory, layout, size),
                (old, new) if old == new => memory,
                _ => {
                    let moved = self.alloc(grown);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(memory, moved, layout.size().min(size));
                        self.dealloc(memory, layout);
                    }
                    moved
                }
            }
        }
    }
}
