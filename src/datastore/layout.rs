//! Where everything lies. The picture is at the top of the module.

use crate::core::ids::{HostId, VoterId};
use crate::core::record::MAIL_COLUMNS;

/// The unit of all reading and writing.
pub(super) const PAGE: usize = 4096;
/// Columns of mail.
pub const COLUMNS: usize = MAIL_COLUMNS as usize;
/// The pages that a record may have.
pub(super) const RECORD_PAGES: usize = 32;
/// The pages that a mail may have.
pub(super) const MAIL_PAGES: usize = 4;
/// Header and reserve. Formatting clears them, and with them what other programs look for.
pub(super) const HEAD: u64 = 1 << 20;
/// The most hosts for which a datastore may have rows: 4 GiB.
pub const MAX_CAPACITY: u32 = 16_384;

const PAGE_BYTES: u64 = PAGE as u64;
const MAIL_ROW: u64 = (COLUMNS * MAIL_PAGES) as u64 * PAGE_BYTES;
const RECORD_REST: u64 = (RECORD_PAGES - 1) as u64 * PAGE_BYTES;
const MAIL_REST: u64 = (MAIL_PAGES - 1) as u64 * PAGE_BYTES;

/// The layout of a datastore for so many hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    capacity: u32,
}

/// A host that has a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row(u32);

impl Layout {
    /// For so many hosts; none if that is no possible number of them.
    pub fn new(capacity: u32) -> Option<Layout> {
        (1..=MAX_CAPACITY).contains(&capacity).then_some(Layout { capacity })
    }

    /// How many bytes that takes.
    pub fn size(self) -> u64 {
        HEAD + u64::from(self.capacity) * (PAGE_BYTES + MAIL_ROW + RECORD_REST)
    }

    /// How many hosts have rows.
    pub fn capacity(self) -> u32 {
        self.capacity
    }

    pub(super) fn row(self, host: HostId) -> Option<Row> {
        (host.0 < self.capacity).then_some(Row(host.0))
    }

    pub(super) fn rows(self) -> impl Iterator<Item = (HostId, Row)> {
        (0..self.capacity).map(|number| (HostId(number), Row(number)))
    }

    pub(super) fn record_first(self, row: Row) -> u64 {
        HEAD + u64::from(row.0) * PAGE_BYTES
    }

    pub(super) fn record_rest(self, row: Row) -> u64 {
        HEAD + u64::from(self.capacity) * (PAGE_BYTES + MAIL_ROW) + u64::from(row.0) * RECORD_REST
    }

    /// The first pages of all columns of a row lie side by side.
    pub(super) fn mail_firsts(self, row: Row) -> u64 {
        HEAD + u64::from(self.capacity) * PAGE_BYTES + u64::from(row.0) * MAIL_ROW
    }

    pub(super) fn mail_first(self, row: Row, column: Column) -> u64 {
        self.mail_firsts(row) + u64::from(column.0) * PAGE_BYTES
    }

    pub(super) fn mail_rest(self, row: Row, column: Column) -> u64 {
        self.mail_firsts(row) + COLUMNS as u64 * PAGE_BYTES + u64::from(column.0) * MAIL_REST
    }
}

/// A column of mail. Voters that are there at the same time never share one; the core sees to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Column(pub(super) u8);

impl Column {
    pub(super) fn of(voter: VoterId) -> Column {
        Column(voter.column() as u8)
    }

    pub(super) fn all() -> impl Iterator<Item = Column> {
        (0..COLUMNS as u8).map(Column)
    }

    /// Who is named as its owner while nobody can tell.
    pub(super) fn nameless(self) -> VoterId {
        VoterId(u64::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_things_share_a_page_and_all_pages_are_used() {
        let layout = Layout::new(5).expect("a capacity");
        let mut taken = vec![(0, HEAD)];
        for (_, row) in layout.rows() {
            taken.push((layout.record_first(row), PAGE_BYTES));
            taken.push((layout.record_rest(row), RECORD_REST));
            for column in Column::all() {
                taken.push((layout.mail_first(row, column), PAGE_BYTES));
                taken.push((layout.mail_rest(row, column), MAIL_REST));
            }
        }
        taken.sort_unstable();
        let mut end = 0;
        for (offset, length) in taken {
            assert_eq!(offset, end);
            end += length;
        }
        assert_eq!(end, layout.size());
    }

    #[test]
    fn a_host_beyond_the_capacity_has_no_row() {
        let layout = Layout::new(MAX_CAPACITY).expect("a capacity");
        assert!(layout.row(HostId(MAX_CAPACITY - 1)).is_some() && layout.row(HostId(MAX_CAPACITY)).is_none());
        assert!(Layout::new(0).is_none() && Layout::new(MAX_CAPACITY + 1).is_none());
    }
}
