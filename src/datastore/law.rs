//! What holds for whatever bytes a device gives back: see [`crate::laws`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken law is told by a panic")]

use super::header::{decode_header, encode_header};
use super::layout::{MAIL_PAGES, PAGE, RECORD_PAGES};
use super::page::{Kind, PAYLOAD, PageHead, decode_page, seal};
use super::pages::Pages;
use super::slot::{decode_mail, decode_record, encode_mail, encode_record, further_pages};
use crate::core::ids::{HostId, VoterId};
use crate::core::record::Slot;

const HOST: HostId = HostId(7);
const VOTER: VoterId = VoterId(11);

/// The bytes as they are, then as the payload of pages that are sound: checksums would stop all else at the door.
pub(crate) fn law(bytes: &[u8]) -> bool {
    let (first, rest) = bytes.split_at(bytes.len().min(PAGE));
    raw(first, rest);
    let header = sealed(Kind::Header, 1, bytes).is_some_and(|pages| is_header(&pages));
    let record = sealed(Kind::Record, RECORD_PAGES, bytes).is_some_and(|pages| is_record(&pages));
    let mail = sealed(Kind::Mail, MAIL_PAGES, bytes).is_some_and(|pages| is_mail(&pages));
    header || record || mail
}

fn raw(first: &[u8], rest: &[u8]) {
    let page = decode_page(first);
    assert!(further_pages(first, RECORD_PAGES - 1) < RECORD_PAGES);
    // What is no page is no slot either, and what is empty is so for all.
    let (record, (_, mail)) = (decode_record(HOST, first, rest), decode_mail(HOST, VOTER.column() as u8, first, rest));
    match page {
        Slot::Empty => assert!(record == Slot::Empty && mail == Slot::Empty),
        Slot::Torn => assert!(record == Slot::Torn && mail == Slot::Torn),
        Slot::Whole(_) => {}
    }
    let _header = decode_header(first);
}

/// Pages with this payload, if it fits into so many.
fn sealed(kind: Kind, most: usize, payload: &[u8]) -> Option<Pages> {
    let count = payload.len().div_ceil(PAYLOAD).max(1);
    if count > most {
        return None;
    }
    let mut pages = Pages::zeroed(count);
    for (number, page) in pages.chunks_mut(PAGE).enumerate() {
        let begin = number * PAYLOAD;
        let part = payload.get(begin..payload.len().min(begin + PAYLOAD)).unwrap_or_default();
        let (host, column) = match kind {
            Kind::Header => (HostId(0), 0),
            Kind::Record => (HOST, 0),
            Kind::Mail => (HOST, VOTER.column() as u8),
        };
        let head = PageHead {
            kind,
            column,
            host,
            number: number as u16,
            count: count as u16,
            sequence: 1,
            write: 5,
            voter: if kind == Kind::Mail { VOTER } else { VoterId(0) },
        };
        seal(page, &head, part);
    }
    Some(pages)
}

fn is_header(pages: &[u8]) -> bool {
    let Ok(header) = decode_header(pages) else { return false };
    let again = encode_header(&header).expect("what was read can be written");
    assert_eq!(decode_header(&again), Ok(header));
    true
}

fn is_record(pages: &[u8]) -> bool {
    let Slot::Whole(record) = decode_record(HOST, &pages[..PAGE], &pages[PAGE..]) else { return false };
    assert_eq!(record.incarnation.host, HOST, "a record is its own host's");
    let again = encode_record(&record, 6).expect("what was read can be written");
    assert_eq!(decode_record(HOST, &again[..PAGE], &again[PAGE..]), Slot::Whole(record));
    true
}

fn is_mail(pages: &[u8]) -> bool {
    let (voter, slot) = decode_mail(HOST, VOTER.column() as u8, &pages[..PAGE], &pages[PAGE..]);
    let Slot::Whole(mail) = slot else { return false };
    let again = encode_mail(HOST, voter, &mail, 6).expect("what was read can be written");
    let read = decode_mail(HOST, VOTER.column() as u8, &again[..PAGE], &again[PAGE..]);
    assert_eq!(read, (VOTER, Slot::Whole(mail)));
    true
}
