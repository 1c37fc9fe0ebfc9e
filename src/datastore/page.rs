//! One page: what it belongs to, its part of the payload, and a checksum over both.

use super::layout::PAGE;
use crate::core::ids::{HostId, VoterId};
use crate::core::record::Slot;

/// The first bytes of every page.
pub(super) const MAGIC: &[u8; 8] = b"HOLDFAST";
/// The layout that this program writes and reads.
pub(super) const FORMAT: u16 = 1;
/// What is left for the payload in each page.
pub(super) const PAYLOAD: usize = PAGE - HEAD;

const HEAD: usize = 64;
const CRC: usize = 60;

/// What a page is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The header of a datastore.
    Header,
    /// A host's record.
    Record,
    /// A mail.
    Mail,
}

/// What a page says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageHead {
    /// What it is part of.
    pub kind: Kind,
    /// Of a mail: the column.
    pub column: u8,
    /// Of a record or a mail: the row.
    pub host: HostId,
    /// Its place among the pages of its slot, from zero.
    pub number: u16,
    /// How many there are.
    pub count: u16,
    /// The record's sequence, or the mail's serial: for people, nothing is decided by it.
    pub sequence: u64,
    /// The random name of the writing that it is from.
    pub write: u128,
    /// Of a mail: whose column it was when it was written.
    pub voter: VoterId,
}

/// A page that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<'a> {
    /// What it says of itself.
    pub head: PageHead,
    /// Its part of the payload.
    pub payload: &'a [u8],
}

/// Makes a page. The payload must fit, which is the caller's to see to.
pub(super) fn seal(page: &mut [u8], head: &PageHead, payload: &[u8]) {
    assert!(page.len() == PAGE && payload.len() <= PAYLOAD, "a page holds at most {PAYLOAD} bytes");
    page.fill(0);
    page[0..8].copy_from_slice(MAGIC);
    page[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    page[10] = match head.kind {
        Kind::Header => 1,
        Kind::Record => 2,
        Kind::Mail => 3,
    };
    page[11] = head.column;
    page[12..16].copy_from_slice(&head.host.0.to_le_bytes());
    page[16..18].copy_from_slice(&head.number.to_le_bytes());
    page[18..20].copy_from_slice(&head.count.to_le_bytes());
    page[20..24].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    page[24..32].copy_from_slice(&head.sequence.to_le_bytes());
    page[32..48].copy_from_slice(&head.write.to_le_bytes());
    page[48..56].copy_from_slice(&head.voter.0.to_le_bytes());
    page[HEAD..HEAD + payload.len()].copy_from_slice(payload);
    let crc = crc_of(page);
    page[CRC..HEAD].copy_from_slice(&crc.to_le_bytes());
}

/// Reads a page: empty if it is all zeros, torn if it is anything but a page as this program makes it.
pub fn decode_page(page: &[u8]) -> Slot<Page<'_>> {
    match whole(page) {
        Some(page) => Slot::Whole(page),
        None if page.len() == PAGE && page.iter().all(|byte| *byte == 0) => Slot::Empty,
        None => Slot::Torn,
    }
}

/// The format of a page that begins like one of ours, whichever format it is.
pub(super) fn format_of(page: &[u8]) -> Option<u16> {
    let has_magic = page.get(..8)? == MAGIC;
    let format = number::<2>(page, 8).map(u16::from_le_bytes)?;
    has_magic.then_some(format)
}

fn whole(page: &[u8]) -> Option<Page<'_>> {
    if page.len() != PAGE || format_of(page)? != FORMAT {
        return None;
    }
    if number::<4>(page, CRC).map(u32::from_le_bytes)? != crc_of(page) {
        return None;
    }
    let kind = match page[10] {
        1 => Kind::Header,
        2 => Kind::Record,
        3 => Kind::Mail,
        _ => return None,
    };
    let length = usize::try_from(u32::from_le_bytes(number(page, 20)?)).ok()?;
    let payload = page.get(HEAD..HEAD.checked_add(length)?)?;
    let head = PageHead {
        kind,
        column: page[11],
        host: HostId(u32::from_le_bytes(number(page, 12)?)),
        number: u16::from_le_bytes(number(page, 16)?),
        count: u16::from_le_bytes(number(page, 18)?),
        sequence: u64::from_le_bytes(number(page, 24)?),
        write: u128::from_le_bytes(number(page, 32)?),
        voter: VoterId(u64::from_le_bytes(number(page, 48)?)),
    };
    Some(Page { head, payload })
}

fn number<const N: usize>(page: &[u8], at: usize) -> Option<[u8; N]> {
    page.get(at..at + N)?.try_into().ok()
}

fn crc_of(page: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&page[..CRC]);
    hasher.update(&page[HEAD..]);
    hasher.finalize()
}
