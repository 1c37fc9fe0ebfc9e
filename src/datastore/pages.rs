//! Memory that may be handed to a device as it is.

use super::layout::PAGE;
use std::ops::{Deref, DerefMut};

/// A number of pages at an address that is a multiple of the page's size. It never grows, so it never moves.
#[derive(Debug)]
pub(super) struct Pages {
    storage: Box<[u8]>,
    start: usize,
    length: usize,
}

impl Pages {
    /// Pages of zeros.
    pub(super) fn zeroed(count: usize) -> Pages {
        let length = count * PAGE;
        let storage = vec![0; length + PAGE].into_boxed_slice();
        let start = storage.as_ptr().addr().next_multiple_of(PAGE) - storage.as_ptr().addr();
        Pages { storage, start, length }
    }
}

impl Deref for Pages {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.length]
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_aligned_wherever_they_come_to_lie() {
        let many: Vec<Pages> = (0..40).map(|count| Pages::zeroed(count % 7)).collect();
        for (count, pages) in many.iter().enumerate() {
            assert_eq!(pages.len(), (count % 7) * PAGE);
            assert_eq!(pages.as_ptr().addr() % PAGE, 0);
        }
    }
}
