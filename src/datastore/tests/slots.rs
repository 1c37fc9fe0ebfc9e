//! Slots as bytes: whatever was written in part, damaged or made up.

use super::{Numbers, mail, record, tombstone};
use crate::core::ids::{HostId, VoterId};
use crate::core::record::{Mail, Record, Slot};
use crate::datastore::layout::{MAIL_PAGES, PAGE, RECORD_PAGES};
use crate::datastore::page::{Kind, PAYLOAD, PageHead, seal};
use crate::datastore::slot::{decode_mail, decode_record, encode_mail, encode_record};
use crate::datastore::{decode_header, decode_page};
use proptest::prelude::*;
use std::fmt::Debug;

const SECTOR: usize = 512;
const HOST: HostId = HostId(2);
const VOTER: VoterId = VoterId(13);
const COLUMN: u8 = 5;

/// The bytes of one slot: its first page, then the further ones.
fn image(pages: usize) -> Vec<u8> {
    vec![0; pages * PAGE]
}

fn written(image: &[u8], pages: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    image[..pages.len()].copy_from_slice(pages);
    image
}

/// The sectors of a writing, in the order in which they reach the device.
fn sectors(pages: &[u8]) -> Vec<usize> {
    let first = 0..PAGE / SECTOR;
    (first.end..pages.len() / SECTOR).chain(first).collect()
}

fn record_in(image: &[u8]) -> Slot<Record> {
    decode_record(HOST, &image[..PAGE], &image[PAGE..])
}

fn mail_in(image: &[u8]) -> Slot<Mail> {
    decode_mail(HOST, COLUMN, &image[..PAGE], &image[PAGE..]).1
}

/// Cuts a writing at each of its sectors: what is read is the old, the new, or torn.
fn cut_everywhere<T: PartialEq + Debug>(old: &[u8], new: &[u8], read: impl Fn(&[u8]) -> Slot<T>) {
    let (before, after) = (read(old), read(&written(old, new)));
    assert!(before != Slot::Torn && matches!(after, Slot::Whole(_)) && before != after);
    let mut image = old.to_vec();
    let order = sectors(new);
    let mut torn = 0;
    for (done, sector) in order.iter().enumerate() {
        let there = sector * SECTOR..(sector + 1) * SECTOR;
        image[there.clone()].copy_from_slice(&new[there]);
        let seen = read(&image);
        torn += usize::from(seen == Slot::Torn);
        assert!(seen == Slot::Torn || seen == before || seen == after, "a mix after {done} sectors");
    }
    assert_eq!(read(&image), after);
    // What fits into one sector beside zeros is there or not.
    assert!(torn > 0 || new.len() == PAGE, "no cut was seen at all");
}

#[test]
fn a_record_that_is_cut_anywhere_is_old_torn_or_new() {
    let sizes = [(0, 0), (1, 1), (180, 0), (220, 0), (500, 40), (4_000, 2_300)];
    for (number, (held, released)) in sizes.into_iter().enumerate() {
        let new = encode_record(&record(2, 9, held, released), 900).expect("it fits");
        cut_everywhere(&image(RECORD_PAGES), &new, record_in);
        for (held, released) in [sizes[0], sizes[3], sizes[4], sizes[(number + 1) % sizes.len()]] {
            let old = encode_record(&record(2, 8, held, released), 800).expect("it fits");
            cut_everywhere(&written(&image(RECORD_PAGES), &old), &new, record_in);
        }
    }
}

#[test]
fn a_mail_that_is_cut_anywhere_is_old_torn_or_new() {
    for new_releases in [0, 3, 250, 700] {
        let new = encode_mail(HOST, VOTER, &mail(Some(tombstone(0, 5, 2)), new_releases, 9), 900).expect("encoded");
        cut_everywhere(&image(MAIL_PAGES), &new, mail_in);
        for releases in [0, 250, 700] {
            let old = encode_mail(HOST, VOTER, &mail(Some(tombstone(0, 4, 1)), releases, 8), 800).expect("encoded");
            cut_everywhere(&written(&image(MAIL_PAGES), &old), &new, mail_in);
        }
    }
}

#[test]
fn the_largest_record_is_written_and_a_larger_one_refused() {
    let largest = record(2, 1, 4_000, 2_300);
    let pages = encode_record(&largest, 1).expect("it fits");
    assert_eq!(record_in(&written(&image(RECORD_PAGES), &pages)), Slot::Whole(largest));
    let bytes = encode_record(&record(2, 1, 7_000, 0), 1).expect_err("it does not fit");
    assert!(bytes > RECORD_PAGES * PAYLOAD, "{bytes}");
}

#[test]
fn mail_that_is_too_long_keeps_its_tombstone_and_the_first_releases() {
    let long = mail(Some(tombstone(u32::MAX, u64::MAX, u64::MAX)), 10_000, u64::MAX);
    let pages = encode_mail(HOST, VOTER, &long, 1).expect("encoded");
    let Slot::Whole(read) = mail_in(&written(&image(MAIL_PAGES), &pages)) else { panic!("it is whole") };
    assert_eq!((read.tombstone, read.serial, read.releases_for), (long.tombstone, long.serial, long.releases_for));
    assert_eq!(read.releases, long.releases[..read.releases.len()]);
    assert!(read.releases.len() >= 800, "only {} releases fitted", read.releases.len());
}

#[test]
fn a_slot_says_nothing_in_another_place() {
    let pages = encode_record(&record(2, 1, 5, 5), 1).expect("it fits");
    assert_eq!(decode_record(HostId(3), &pages, &[]), Slot::Torn);
    let pages = encode_mail(HOST, VOTER, &mail(None, 0, 1), 1).expect("encoded");
    assert_eq!(decode_mail(HostId(3), COLUMN, &pages, &[]), (VoterId(5), Slot::Torn));
    assert_eq!(decode_mail(HOST, 4, &pages, &[]), (VoterId(4), Slot::Torn));
    assert_eq!(decode_record(HOST, &pages, &[]), Slot::Torn);
    assert!(matches!(decode_mail(HOST, COLUMN, &pages, &[]), (VOTER, Slot::Whole(_))));
}

#[test]
fn torn_mail_whose_first_page_is_whole_still_names_its_voter() {
    let pages = encode_mail(HOST, VOTER, &mail(None, 300, 1), 1).expect("encoded");
    assert!(pages.len() > PAGE);
    assert_eq!(decode_mail(HOST, COLUMN, &pages[..PAGE], &[]), (VOTER, Slot::Torn));
}

/// Any count of VMs that fits, small ones more often.
fn counts() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![(0..40usize, 0..40usize), (0..4_000usize, 0..2_300usize)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_record_comes_back_as_it_was((held, released) in counts(), sequence: u64, write: u128) {
        let written_record = record(2, sequence, held, released);
        let pages = encode_record(&written_record, write).expect("it fits");
        prop_assert_eq!(record_in(&written(&image(RECORD_PAGES), &pages)), Slot::Whole(written_record));
    }

    #[test]
    fn any_mail_comes_back_as_it_was(releases in 0..790usize, has: bool, term: u64, generation: u64, serial: u64) {
        let written_mail = mail(has.then(|| tombstone(7, term, generation)), releases, serial);
        let pages = encode_mail(HOST, VOTER, &written_mail, 1).expect("encoded");
        let read = decode_mail(HOST, COLUMN, &pages[..PAGE], &pages[PAGE..]);
        prop_assert_eq!(read, (VOTER, Slot::Whole(written_mail)));
    }

    /// Of one `write`, the device may carry out the sectors in any order, and lose some of them.
    #[test]
    fn sectors_lost_out_of_order_make_no_mix(
        (old_held, new_held) in (0..3_000usize, 0..3_000usize), losing_first: bool, seed: u64,
    ) {
        let old = encode_record(&record(2, 8, old_held, 3), 800).expect("it fits");
        let new = encode_record(&record(2, 9, new_held, 3), 900).expect("it fits");
        let mut slot = written(&image(RECORD_PAGES), &old);
        let mut numbers = Numbers(seed);
        for sector in sectors(&new) {
            let is_first = sector < PAGE / SECTOR;
            // The first page is begun only when all others are on stable storage.
            let lands = match losing_first {
                true => !is_first || numbers.next() & 8 == 0,
                false => !is_first && numbers.next() & 8 == 0,
            };
            if lands {
                let there = sector * SECTOR..(sector + 1) * SECTOR;
                slot[there.clone()].copy_from_slice(&new[there]);
            }
        }
        let seen = record_in(&slot);
        let good = [Slot::Torn, Slot::Whole(record(2, 8, old_held, 3)), Slot::Whole(record(2, 9, new_held, 3))];
        prop_assert!(good.contains(&seen));
    }

    /// Two processes that write one slot at once under the same sequence, page by page.
    #[test]
    fn pages_of_several_writings_make_no_mix(choices in prop::collection::vec(0..3usize, MAIL_PAGES)) {
        let mails = [1u64, 2, 3].map(|by| {
            let written = Mail { serial: 7, ..mail(Some(tombstone(0, by, 1)), 750, by) };
            let pages = encode_mail(HOST, VOTER, &written, u128::from(by)).expect("encoded").to_vec();
            (written, pages)
        });
        let mut slot = image(MAIL_PAGES);
        for (page, choice) in choices.iter().enumerate() {
            let there = page * PAGE..(page + 1) * PAGE;
            slot[there.clone()].copy_from_slice(&mails[*choice].1[there]);
        }
        let is_of_one = choices.iter().all(|choice| *choice == choices[0]);
        let expected = if is_of_one { Slot::Whole(mails[choices[0]].0.clone()) } else { Slot::Torn };
        prop_assert_eq!(mail_in(&slot), expected);
    }

    #[test]
    fn a_flipped_bit_is_noticed(at in 0..PAGE * 8, held in 0..300usize) {
        let mut pages = encode_record(&record(2, 1, held, 0), 1).expect("it fits");
        pages[at / 8] ^= 1 << (at % 8);
        prop_assert_eq!(decode_record(HOST, &pages[..PAGE], &pages[PAGE..]), Slot::Torn);
    }

    #[test]
    fn no_bytes_make_it_panic(first in prop::collection::vec(any::<u8>(), 0..PAGE + 9), rest: Vec<u8>, column: u8) {
        let _any = (decode_page(&first), decode_header(&first));
        let _any = (decode_record(HOST, &first, &rest), decode_mail(HOST, column, &first, &rest));
    }

    /// Random payloads in pages that are sound, so that nothing stops them before the last step.
    #[test]
    fn no_payload_makes_it_panic(
        mut payload in prop::collection::vec(any::<u8>(), 0..PAYLOAD), count: u16, small in 0..3u16, column in 0..8u8,
    ) {
        if let Some(encoding) = payload.first_mut() {
            *encoding = 1;
        }
        for (kind, count) in [(Kind::Record, count), (Kind::Mail, small), (Kind::Header, 1), (Kind::Record, small)] {
            let voter = VoterId(u64::from(column));
            let column = if kind == Kind::Mail { column } else { 0 };
            let head = PageHead { kind, column, host: HOST, number: 0, count, sequence: 1, write: 1, voter };
            let mut page = image(2);
            seal(&mut page[..PAGE], &head, &payload);
            seal(&mut page[PAGE..], &PageHead { number: 1, ..head }, &payload);
            let (first, rest) = page.split_at(PAGE);
            let _any = (decode_header(first), decode_record(HOST, first, rest), decode_mail(HOST, column, first, rest));
        }
    }
}
