//! Making a datastore.
//!
//! ```text
//!  what is there? ─▶ does anybody use it? ─▶ room for all ─▶ zeros, synced ─▶ the header, synced
//! ```
//! An old header is the first thing to go and the new one the last to come: whatever happens in between leaves
//! something that nobody opens.

use super::errors::FormatError;
use super::file::{Access, PageFile, Place, find};
use super::header::{Header, decode_header, encode_header, is_good_name};
use super::layout::{HEAD, Layout, MAX_CAPACITY, PAGE};
use super::page::format_of;
use super::pages::Pages;
use super::signature::occupant;
use crate::core::ids::DatastoreId;
use rustix::fs::FallocateFlags;
use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;
use uuid::Uuid;

/// The room for hosts, unless somebody says otherwise.
pub const DEFAULT_CAPACITY: u32 = 1_024;
/// For how long a datastore that is there already is watched: many times as long as a record's interval.
pub const DEFAULT_WATCH: Duration = Duration::from_secs(5);

/// Pages that are written or compared at once.
const STRIDE: usize = 256;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatOptions {
    /// The cluster whose it shall be.
    pub cluster: u128,
    /// Its number in that cluster.
    pub id: DatastoreId,
    /// Its own identity; a new one is made if there is none. No two formattings may have the same: hosts' records are
    /// looked for by it.
    pub uuid: Option<u128>,
    /// What people call it.
    pub name: String,
    /// For how many hosts.
    pub capacity: u32,
    /// Whether what is there may be lost.
    pub force: bool,
    /// For how long a datastore that is there is watched for hosts that use it.
    pub watch: Duration,
}

impl FormatOptions {
    /// What most people want.
    pub fn new(cluster: u128, id: DatastoreId, name: &str) -> FormatOptions {
        let (capacity, watch) = (DEFAULT_CAPACITY, DEFAULT_WATCH);
        FormatOptions { cluster, id, uuid: None, name: name.to_owned(), capacity, force: false, watch }
    }
}

/// Makes a datastore of a folder, a file or a block device.
pub fn format(path: &Path, options: &FormatOptions) -> Result<Header, FormatError> {
    let header = planned(options)?;
    let (file, place) = prepare(path, options, header.layout)?;
    let page = encode_header(&header).ok_or_else(|| FormatError::BadName { name: options.name.clone() })?;
    let failed = |source| FormatError::Io { doing: "written", path: file.path().to_owned(), source };
    file.write(&page, 0).and_then(|()| file.file().sync_all()).map_err(failed)?;
    if place == Place::InFolder {
        File::open(path).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    Ok(header)
}

/// Whether a datastore could be made there, as far as that can be seen without changing anything.
pub fn check(path: &Path, options: &FormatOptions) -> Result<(), FormatError> {
    let header = planned(options)?;
    let failed = |doing| move |source| FormatError::Io { doing, path: path.to_owned(), source };
    let found = find(path).map_err(failed("opened"))?;
    let Some((place, file_path)) = found else { return Err(FormatError::NoPlace { path: path.to_owned() }) };
    match PageFile::open(&file_path, Access::Read) {
        Err(error) if place == Place::InFolder && error.kind() == io::ErrorKind::NotFound => {
            rustix::fs::access(path, rustix::fs::Access::WRITE_OK).map_err(|error| failed("written")(error.into()))
        }
        opened => refuse(path, &opened.map_err(failed("opened"))?, place, options, header.layout),
    }
}

fn planned(options: &FormatOptions) -> Result<Header, FormatError> {
    let FormatOptions { cluster, id, capacity, .. } = *options;
    let layout = Layout::new(capacity).ok_or(FormatError::BadCapacity { capacity, most: MAX_CAPACITY })?;
    let name = options.name.clone();
    if !is_good_name(&name) {
        return Err(FormatError::BadName { name });
    }
    let uuid = options.uuid.unwrap_or_else(|| Uuid::new_v4().as_u128());
    Ok(Header { cluster, id, uuid, name, layout })
}

/// A file that nobody else formats meanwhile: on one machine, or over a file system that shares locks.
pub(super) struct Claimed(PageFile);

impl Claimed {
    fn new(file: PageFile) -> Result<Claimed, TryLockError> {
        file.file().try_lock()?;
        Ok(Claimed(file))
    }
}

impl Deref for Claimed {
    type Target = PageFile;

    fn deref(&self) -> &PageFile {
        &self.0
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        // To close it is not enough: a child that this process is about to make still has it for a moment.
        self.0.file().unlock().ok();
    }
}

/// All but the header: what is opened afterwards is no datastore.
pub(super) fn prepare(path: &Path, options: &FormatOptions, layout: Layout) -> Result<(Claimed, Place), FormatError> {
    let failed = |doing| move |source| FormatError::Io { doing, path: path.to_owned(), source };
    let found = find(path).map_err(failed("opened"))?;
    let Some((place, file_path)) = found else { return Err(FormatError::NoPlace { path: path.to_owned() }) };
    let file = PageFile::open(&file_path, Access::Fill(place)).map_err(failed("opened"))?;
    let file = Claimed::new(file).map_err(|error| failed("locked")(error.into()))?;
    refuse(path, &file, place, options, layout)?;
    let size = file.size().map_err(failed("read"))?;
    // From here on this is no datastore until it is the new one.
    if size >= PAGE as u64 {
        file.write(&Pages::zeroed(1), 0).and_then(|()| file.file().sync_all()).map_err(failed("written"))?;
    }
    let needed = layout.size();
    if let Err(source) = fill(&file, place, needed) {
        if place == Place::InFolder {
            // What was taken of a file system that is full is given back, and a file that was not there goes.
            let _best_effort = if size == 0 { fs::remove_file(file.path()) } else { file.file().set_len(0) };
        }
        return Err(FormatError::NoRoom { path: path.to_owned(), needed, source });
    }
    Ok((file, place))
}

/// Refuses a place that is too small, that holds something, or that is in use.
fn refuse(
    path: &Path,
    file: &PageFile,
    place: Place,
    options: &FormatOptions,
    layout: Layout,
) -> Result<(), FormatError> {
    let failed = |source| FormatError::Io { doing: "read", path: path.to_owned(), source };
    let size = file.size().map_err(failed)?;
    if place != Place::InFolder && size < layout.size() {
        return Err(FormatError::TooSmall { path: path.to_owned(), size, needed: layout.size() });
    }
    refuse_occupied(file, size, options)?;
    refuse_in_use(file, size, options.watch)
}

fn refuse_occupied(file: &PageFile, size: u64, options: &FormatOptions) -> Result<(), FormatError> {
    let mut beginning = Pages::zeroed(whole_pages(size.min(HEAD)));
    read(file, &mut beginning, 0)?;
    match occupant(&beginning) {
        Some(found) if !options.force => Err(FormatError::Occupied { path: file.path().to_owned(), found }),
        None if size < HEAD && !size.is_multiple_of(PAGE as u64) && !options.force => {
            let found = format!("{size} bytes, which no datastore has");
            Err(FormatError::Occupied { path: file.path().to_owned(), found })
        }
        _ => Ok(()),
    }
}

/// Looks at a datastore that is there again and again. If a record moves, hosts live on it: their tombstones must not
/// vanish, whatever anybody says.
fn refuse_in_use(file: &PageFile, size: u64, watch: Duration) -> Result<(), FormatError> {
    let mut first = Pages::zeroed(1);
    if size < PAGE as u64 {
        return Ok(());
    }
    read(file, &mut first, 0)?;
    if format_of(&first).is_none() {
        return Ok(());
    }
    // Of what another format or a damaged header describes, all is looked at in which first pages may lie.
    let capacity = decode_header(&first).map_or(MAX_CAPACITY, |header| header.layout.capacity());
    let pages = whole_pages(size.min(HEAD + u64::from(capacity) * PAGE as u64));
    let before = checksums(file, pages)?;
    // Nothing ever comes through here: it is a wait that ends by its time-out.
    let (_nobody, end) = mpsc::channel::<()>();
    let mut left = watch;
    while !left.is_zero() {
        let step = left.min(LOOK);
        let _timed_out = end.recv_timeout(step);
        left = left.saturating_sub(step);
        let now = checksums(file, pages)?;
        if let Some(page) = before.iter().zip(&now).position(|(before, now)| before != now) {
            let what = match page.checked_sub(whole_pages(HEAD)) {
                Some(host) => format!("the record in row {host}"),
                None => "its header".to_owned(),
            };
            return Err(FormatError::InUse { path: file.path().to_owned(), what, watch });
        }
    }
    Ok(())
}

fn checksums(file: &PageFile, pages: usize) -> Result<Vec<u32>, FormatError> {
    let mut buffer = Pages::zeroed(STRIDE);
    let mut checksums = Vec::with_capacity(pages);
    for start in (0..pages).step_by(STRIDE) {
        let part = &mut buffer[..STRIDE.min(pages - start) * PAGE];
        read(file, part, (start * PAGE) as u64)?;
        checksums.extend(part.chunks(PAGE).map(crc32fast::hash));
    }
    Ok(checksums)
}

fn read(file: &PageFile, pages: &mut [u8], offset: u64) -> Result<(), FormatError> {
    let failed = |source| FormatError::Io { doing: "read", path: file.path().to_owned(), source };
    file.read(pages, offset).map_err(failed)
}

/// Writes zeros over all of it. So every block is there before a host's life hangs on it, and no later write waits for
/// the file system to find one.
fn fill(file: &PageFile, place: Place, needed: u64) -> io::Result<()> {
    if place == Place::InFolder {
        file.file().set_len(needed)?;
        // Says at once whether there is room, where a file system can say so.
        match rustix::fs::fallocate(file.file(), FallocateFlags::empty(), 0, needed) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let zeros = Pages::zeroed(STRIDE);
    let pages = whole_pages(needed);
    for start in (0..pages).step_by(STRIDE) {
        let part = &zeros[..STRIDE.min(pages - start) * PAGE];
        file.write(part, (start * PAGE) as u64)?;
    }
    file.file().sync_all()
}

fn whole_pages(bytes: u64) -> usize {
    (bytes / PAGE as u64) as usize
}
