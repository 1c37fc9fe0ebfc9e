//! Slots on an open file: reading them until they are whole, writing them so that no reader takes a mix for one.

use super::file::PageFile;
use super::layout::{COLUMNS, Column, Layout, MAIL_PAGES, PAGE, RECORD_PAGES, Row};
use super::pages::Pages;
use super::slot::{decode_mail, decode_record, further_pages};
use crate::core::ids::{HostId, VoterId};
use crate::core::record::{Mail, Record, Slot};
use std::io;

/// A slot that is torn may just be being written, so it is read again this often before it is called so.
const REREADS: usize = 2;
/// First pages that are read at once.
const SWEEP: usize = 256;

/// The slots of a datastore.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) file: PageFile,
    pub(super) layout: Layout,
}

impl Rows {
    /// All records that were ever written.
    pub(super) fn records(&self) -> io::Result<Vec<(HostId, Slot<Record>)>> {
        let rows: Vec<(HostId, Row)> = self.layout.rows().collect();
        let mut firsts = Pages::zeroed(SWEEP.min(rows.len()));
        let mut found = Vec::new();
        for sweep in rows.chunks(SWEEP) {
            let firsts = &mut firsts[..sweep.len() * PAGE];
            self.file.read(firsts, self.layout.record_first(sweep[0].1))?;
            for ((host, row), first) in sweep.iter().zip(firsts.chunks(PAGE)) {
                match self.record(*host, *row, first)? {
                    Slot::Empty => {}
                    slot => found.push((*host, slot)),
                }
            }
        }
        Ok(found)
    }

    fn record(&self, host: HostId, row: Row, first: &[u8]) -> io::Result<Slot<Record>> {
        let decode = |first: &[u8]| {
            let rest = self.rest(first, RECORD_PAGES, self.layout.record_rest(row))?;
            Ok(decode_record(host, first, &rest))
        };
        let is_torn = |slot: &Slot<Record>| *slot == Slot::Torn;
        self.until_whole(decode(first)?, is_torn, self.layout.record_first(row), decode)
    }

    /// The mail to a host, in all columns that were ever written.
    pub(super) fn mail(&self, host: HostId, row: Row) -> io::Result<Vec<(VoterId, Slot<Mail>)>> {
        let mut firsts = Pages::zeroed(COLUMNS);
        self.file.read(&mut firsts, self.layout.mail_firsts(row))?;
        let mut found = Vec::new();
        for (column, first) in Column::all().zip(firsts.chunks(PAGE)) {
            match self.column_from(host, row, column, first)? {
                (_, Slot::Empty) => {}
                whose => found.push(whose),
            }
        }
        Ok(found)
    }

    /// The mail to a host in one column.
    pub(super) fn column(&self, host: HostId, row: Row, column: Column) -> io::Result<(VoterId, Slot<Mail>)> {
        let mut first = Pages::zeroed(1);
        self.file.read(&mut first, self.layout.mail_first(row, column))?;
        self.column_from(host, row, column, &first)
    }

    fn column_from(&self, host: HostId, row: Row, column: Column, first: &[u8]) -> io::Result<(VoterId, Slot<Mail>)> {
        let decode = |first: &[u8]| {
            let rest = self.rest(first, MAIL_PAGES, self.layout.mail_rest(row, column))?;
            Ok(decode_mail(host, column.0, first, &rest))
        };
        let is_torn = |(_, slot): &(VoterId, Slot<Mail>)| *slot == Slot::Torn;
        self.until_whole(decode(first)?, is_torn, self.layout.mail_first(row, column), decode)
    }

    fn until_whole<T>(
        &self,
        mut slot: T,
        is_torn: impl Fn(&T) -> bool,
        first_at: u64,
        decode: impl Fn(&[u8]) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut first = Pages::zeroed(1);
        for _ in 0..REREADS {
            if !is_torn(&slot) {
                break;
            }
            self.file.read(&mut first, first_at)?;
            slot = decode(&first)?;
        }
        Ok(slot)
    }

    /// The further pages that a first page asks for.
    fn rest(&self, first: &[u8], most: usize, at: u64) -> io::Result<Pages> {
        let mut rest = Pages::zeroed(further_pages(first, most - 1));
        if !rest.is_empty() {
            self.file.read(&mut rest, at)?;
        }
        Ok(rest)
    }

    pub(super) fn write_record(&self, row: Row, pages: &Pages) -> io::Result<()> {
        self.write(pages, self.layout.record_first(row), self.layout.record_rest(row))
    }

    pub(super) fn write_mail(&self, row: Row, column: Column, pages: &Pages) -> io::Result<()> {
        self.write(pages, self.layout.mail_first(row, column), self.layout.mail_rest(row, column))
    }

    /// The further pages are on stable storage before the first one, which makes them count, is begun.
    fn write(&self, pages: &Pages, first_at: u64, rest_at: u64) -> io::Result<()> {
        let (first, rest) = pages.split_at(PAGE);
        if !rest.is_empty() {
            self.file.write(rest, rest_at)?;
        }
        self.file.write(first, first_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::{Access, Place};
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_slot_is_torn_only_if_it_stays_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = PageFile::open(&folder.path().join("f"), Access::Fill(Place::InFolder)).expect("it opens");
        file.write(&Pages::zeroed(1), 0).expect("written");
        let rows = Rows { file, layout: Layout::new(1).expect("a layout") };
        for (whole_after, expected) in [(0, true), (1, true), (REREADS, true), (REREADS + 1, false)] {
            let reads = Cell::new(0);
            let read = |_: &[u8]| {
                reads.set(reads.get() + 1);
                Ok(reads.get() >= whole_after)
            };
            let is_whole = rows.until_whole(whole_after == 0, |is_whole| !is_whole, 0, read).expect("it is read");
            assert_eq!((is_whole, reads.get()), (expected, whole_after.min(REREADS)));
        }
    }
}
