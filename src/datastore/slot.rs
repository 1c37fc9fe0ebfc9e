//! Records and mail as pages, and pages as records and mail.
//!
//! Whatever bytes a device gives back, they come out as empty, torn or whole, and nothing is allocated beyond what the
//! pages at hand can hold.

use super::layout::{Column, MAIL_PAGES, PAGE, RECORD_PAGES};
use super::page::{Kind, PAYLOAD, Page, PageHead, decode_page, seal};
use super::pages::Pages;
use crate::core::ids::{HostId, VoterId};
use crate::core::record::{Mail, Record, Slot};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest record, encoded.
pub(super) const LARGEST_RECORD: usize = RECORD_PAGES * PAYLOAD;
/// The largest mail, encoded.
const LARGEST_MAIL: usize = MAIL_PAGES * PAYLOAD;
/// The first byte of every payload: what follows is postcard of the core's types as they are now.
const ENCODING: u8 = 1;
/// The most by which the count in front of a list may grow.
const LIST_COUNT: usize = 5;

/// Where a slot lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    kind: Kind,
    host: HostId,
    column: u8,
    pages: usize,
}

impl Place {
    fn of_record(host: HostId) -> Place {
        Place { kind: Kind::Record, host, column: 0, pages: RECORD_PAGES }
    }

    fn of_mail(host: HostId, column: u8) -> Place {
        Place { kind: Kind::Mail, host, column, pages: MAIL_PAGES }
    }

    /// Whether a page may be the one of this number here.
    fn has(&self, page: &Page<'_>, number: usize) -> bool {
        let head = &page.head;
        let here = (head.kind, head.host, head.column) == (self.kind, self.host, self.column);
        let count = usize::from(head.count);
        here && usize::from(head.number) == number && number < count && count <= self.pages
    }
}

/// The pages of a record; the size in bytes of one that is too large.
pub(super) fn encode_record(record: &Record, write: u128) -> Result<Pages, usize> {
    let payload = encode_payload(record).unwrap_or_default();
    if payload.is_empty() || payload.len() > LARGEST_RECORD {
        return Err(payload.len());
    }
    let place = Place::of_record(record.incarnation.host);
    Ok(encode(place, record.sequence, write, VoterId(0), &payload))
}

/// The pages of a mail. Releases that do not fit are left out, the last ones first: the master writes mail again
/// as long as a VM is to be let go, so those that are left out come into it as others leave it.
pub(super) fn encode_mail(host: HostId, voter: VoterId, mail: &Mail, write: u128) -> Option<Pages> {
    let mut payload = encode_payload(mail)?;
    if payload.len() > LARGEST_MAIL {
        let bare = Mail { releases: Vec::new(), ..mail.clone() };
        let mut room = LARGEST_MAIL.checked_sub(encode_payload(&bare)?.len() + LIST_COUNT)?;
        let mut releases = Vec::new();
        for release in &mail.releases {
            let length = postcard::to_stdvec(release).ok()?.len();
            let Some(left) = room.checked_sub(length) else { break };
            room = left;
            releases.push(*release);
        }
        payload = encode_payload(&Mail { releases, ..bare })?;
    }
    Some(encode(Place::of_mail(host, Column::of(voter).0), mail.serial, write, voter, &payload))
}

/// The record of a host, from its first page and the further ones; more of these than it has do no harm.
pub fn decode_record(host: HostId, first: &[u8], rest: &[u8]) -> Slot<Record> {
    match gather(Place::of_record(host), first, rest) {
        Slot::Empty => Slot::Empty,
        Slot::Torn => Slot::Torn,
        Slot::Whole((_, payload)) => match decode_payload::<Record>(&payload) {
            Some(record) if record.incarnation.host == host => Slot::Whole(record),
            _ => Slot::Torn,
        },
    }
}

/// The mail to a host in a column, and whose it is, from its first page and the further ones. If nobody can tell whose
/// it is, the column's number stands in.
pub fn decode_mail(host: HostId, column: u8, first: &[u8], rest: &[u8]) -> (VoterId, Slot<Mail>) {
    let nameless = Column(column).nameless();
    let place = Place::of_mail(host, column);
    let owner = match decode_page(first) {
        Slot::Whole(page) if place.has(&page, 0) => page.head.voter,
        Slot::Empty => return (nameless, Slot::Empty),
        _ => return (nameless, Slot::Torn),
    };
    if Column::of(owner).0 != column {
        return (nameless, Slot::Torn);
    }
    let mail = match gather(place, first, rest) {
        Slot::Whole((_, payload)) => decode_payload(&payload).map_or(Slot::Torn, Slot::Whole),
        _ => Slot::Torn,
    };
    (owner, mail)
}

/// How many further pages a first page asks for, at most so many as may be there.
pub(super) fn further_pages(first: &[u8], most: usize) -> usize {
    match decode_page(first) {
        Slot::Whole(page) => usize::from(page.head.count).saturating_sub(1).min(most),
        _ => 0,
    }
}

pub(super) fn encode_payload(value: &impl Serialize) -> Option<Vec<u8>> {
    postcard::to_extend(value, vec![ENCODING]).ok()
}

pub(super) fn decode_payload<T: DeserializeOwned>(payload: &[u8]) -> Option<T> {
    let (encoding, payload) = payload.split_first()?;
    match postcard::take_from_bytes(payload) {
        Ok((value, [])) if *encoding == ENCODING => Some(value),
        _ => None,
    }
}

fn encode(place: Place, sequence: u64, write: u128, voter: VoterId, payload: &[u8]) -> Pages {
    let parts: Vec<&[u8]> = payload.chunks(PAYLOAD).collect();
    assert!(!parts.is_empty() && parts.len() <= place.pages, "a slot is never cut short");
    let mut pages = Pages::zeroed(parts.len());
    for (number, (page, part)) in pages.chunks_mut(PAGE).zip(&parts).enumerate() {
        let head = PageHead {
            kind: place.kind,
            column: place.column,
            host: place.host,
            number: number as u16,
            count: parts.len() as u16,
            sequence,
            write,
            voter,
        };
        seal(page, &head, part);
    }
    pages
}

/// Puts the payload together, if all pages are there and of one writing.
fn gather(place: Place, first: &[u8], rest: &[u8]) -> Slot<(PageHead, Vec<u8>)> {
    let first = match decode_page(first) {
        Slot::Empty => return Slot::Empty,
        Slot::Whole(page) if place.has(&page, 0) => page,
        _ => return Slot::Torn,
    };
    let count = usize::from(first.head.count);
    let mut payload = Vec::with_capacity(count * PAYLOAD);
    payload.extend_from_slice(first.payload);
    for number in 1..count {
        let Some(bytes) = rest.get((number - 1) * PAGE..number * PAGE) else { return Slot::Torn };
        match decode_page(bytes) {
            Slot::Whole(page) if page.head == (PageHead { number: number as u16, ..first.head }) => {
                payload.extend_from_slice(page.payload);
            }
            _ => return Slot::Torn,
        }
    }
    Slot::Whole((first.head, payload))
}
