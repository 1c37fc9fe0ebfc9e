//! The header: what this datastore is, and whose.

use super::layout::{COLUMNS, Layout, MAIL_PAGES, PAGE, RECORD_PAGES};
use super::page::{FORMAT, Kind, PageHead, decode_page, format_of, seal};
use super::pages::Pages;
use super::slot::{decode_payload, encode_payload};
use crate::core::ids::{DatastoreId, HostId, VoterId};
use crate::core::record::Slot;
use serde::{Deserialize, Serialize};

/// The longest name of a datastore, in bytes.
pub(super) const MAX_NAME: usize = 64;

/// What a datastore says of itself. It is written once, by formatting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Whose it is.
    pub cluster: u128,
    /// Its number in that cluster.
    pub id: DatastoreId,
    /// Its own identity: another formatting gives another one.
    pub uuid: u128,
    /// What people call it.
    pub name: String,
    /// How many hosts have rows.
    pub layout: Layout,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFault {
    /// They are something else, or nothing.
    NotOurs,
    /// They are a header of this format, which another program understands.
    OtherFormat(u16),
    /// They are damaged.
    Damaged,
}

/// The header as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    cluster: u128,
    id: DatastoreId,
    uuid: u128,
    name: String,
    capacity: u32,
    columns: u32,
    record_pages: u32,
    mail_pages: u32,
}

/// Whether a datastore may be called so.
pub(super) fn is_good_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// The header's page, if it is one that can be stored.
pub(super) fn encode_header(header: &Header) -> Option<Pages> {
    let stored = Stored {
        cluster: header.cluster,
        id: header.id,
        uuid: header.uuid,
        name: header.name.clone(),
        capacity: header.layout.capacity(),
        columns: COLUMNS as u32,
        record_pages: RECORD_PAGES as u32,
        mail_pages: MAIL_PAGES as u32,
    };
    let payload = encode_payload(&stored)?;
    let head = PageHead {
        kind: Kind::Header,
        column: 0,
        host: HostId(0),
        number: 0,
        count: 1,
        sequence: 0,
        write: header.uuid,
        voter: VoterId(0),
    };
    let mut page = Pages::zeroed(1);
    seal(&mut page, &head, &payload);
    Some(page)
}

/// Reads the page at the beginning of a datastore.
pub fn decode_header(page: &[u8]) -> Result<Header, HeaderFault> {
    match format_of(page) {
        None => return Err(HeaderFault::NotOurs),
        Some(format) if format != FORMAT => return Err(HeaderFault::OtherFormat(format)),
        Some(_) => {}
    }
    let Slot::Whole(page) = decode_page(&page[..page.len().min(PAGE)]) else { return Err(HeaderFault::Damaged) };
    if page.head.kind != Kind::Header || page.head.number != 0 || page.head.count != 1 {
        return Err(HeaderFault::Damaged);
    }
    let stored: Stored = decode_payload(page.payload).ok_or(HeaderFault::Damaged)?;
    let shape = (stored.columns as usize, stored.record_pages as usize, stored.mail_pages as usize);
    let layout = Layout::new(stored.capacity).filter(|_| shape == (COLUMNS, RECORD_PAGES, MAIL_PAGES));
    match layout.filter(|_| is_good_name(&stored.name)) {
        Some(layout) => {
            let Stored { cluster, id, uuid, name, .. } = stored;
            Ok(Header { cluster, id, uuid, name, layout })
        }
        None => Err(HeaderFault::Damaged),
    }
}
