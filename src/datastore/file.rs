//! The file or device itself: pages in, pages out, past every cache.

use super::layout::PAGE;
use rustix::fs::OFlags;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file in a folder.
pub(super) const FILE_NAME: &str = "holdfast.records";

/// `O_DSYNC` of Linux. The name that rustix has for it stands for `O_SYNC`, which also syncs the time of each change
/// and so makes every write of a record one of the file system's journal too.
const DSYNC: u32 = 0o10_000;

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A file in a folder, which may be made.
    InFolder,
    /// A file that is there.
    File,
    /// A block device.
    Device,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Look only.
    Read,
    /// Read and write; every write is on stable storage when it returns.
    Sync,
    /// Write a lot, synced once at the end; nobody else on this machine may use the device.
    Fill(Place),
}

/// An open file or device.
#[derive(Debug)]
pub(super) struct PageFile {
    file: File,
    path: PathBuf,
    direct: bool,
    identity: (u64, u64, u64),
}

/// What a path leads to, and the path of the file or device. Anything else is not opened: a FIFO would hang.
pub(super) fn find(path: &Path) -> io::Result<Option<(Place, PathBuf)>> {
    let kind = fs::metadata(path)?.file_type();
    Ok(match kind {
        kind if kind.is_dir() => {
            let inside = path.join(FILE_NAME);
            match fs::metadata(&inside) {
                Ok(metadata) if !metadata.is_file() => None,
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => Some((Place::InFolder, inside)),
            }
        }
        kind if kind.is_file() => Some((Place::File, path.to_owned())),
        kind if kind.is_block_device() => Some((Place::Device, path.to_owned())),
        _ => None,
    })
}

impl PageFile {
    /// Opens a file or device that [`find`] has found.
    pub(super) fn open(path: &Path, access: Access) -> io::Result<PageFile> {
        let mut options = OpenOptions::new();
        let flags = match access {
            Access::Read => 0,
            Access::Sync => DSYNC,
            // Without a wish to make the file, this refuses a device that is mounted or in use by a volume manager.
            Access::Fill(Place::Device) => OFlags::EXCL.bits(),
            Access::Fill(_) => 0,
        };
        options.read(true).write(access != Access::Read).mode(0o600);
        options.create(access == Access::Fill(Place::InFolder)).truncate(false);
        let flagged = |flags: u32| i32::try_from(flags).map_err(io::Error::other);
        let direct = options.custom_flags(flagged(flags | OFlags::DIRECT.bits())?).open(path);
        let (file, direct) = match direct {
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                (options.custom_flags(flagged(flags)?).open(path)?, false)
            }
            other => (other?, true),
        };
        let identity = identity(&file.metadata()?);
        Ok(PageFile { file, path: path.to_owned(), direct, identity })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether reads and writes pass by this machine's caches.
    pub(super) fn is_direct(&self) -> bool {
        self.direct
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn size(&self) -> io::Result<u64> {
        (&self.file).seek(SeekFrom::End(0))
    }

    /// Whether the path still leads to what is open here. What is written to a file that was deleted or replaced is
    /// seen by nobody, and nobody's word is found in it.
    pub(super) fn is_in_place(&self) -> io::Result<bool> {
        let alive = self.file.metadata()?.nlink() > 0;
        match fs::metadata(&self.path) {
            Ok(metadata) => Ok(alive && identity(&metadata) == self.identity),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Fills the pages with what lies at an offset.
    pub(super) fn read(&self, pages: &mut [u8], offset: u64) -> io::Result<()> {
        assert_aligned(pages, offset);
        let mut done = 0;
        while done < pages.len() {
            let step = match self.file.read_at(&mut pages[done..], offset + done as u64) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            };
            done += whole_pages(step, ErrorKind::UnexpectedEof)?;
        }
        Ok(())
    }

    /// Writes the pages at an offset.
    pub(super) fn write(&self, pages: &[u8], offset: u64) -> io::Result<()> {
        assert_aligned(pages, offset);
        let mut done = 0;
        while done < pages.len() {
            let step = match self.file.write_at(&pages[done..], offset + done as u64) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            };
            done += whole_pages(step, ErrorKind::WriteZero)?;
        }
        Ok(())
    }
}

/// A transfer that is not aligned succeeds on some file systems and is lost there in silence, so this is no mere matter
/// of tests.
fn assert_aligned(pages: &[u8], offset: u64) {
    let aligned = pages.as_ptr().addr().is_multiple_of(PAGE)
        && pages.len().is_multiple_of(PAGE)
        && offset.is_multiple_of(PAGE as u64);
    assert!(aligned, "pages are read and written whole, from an aligned address");
}

/// A transfer may stop early, but never within a page: that would leave the rest of it out of line.
fn whole_pages(step: usize, otherwise: ErrorKind) -> io::Result<usize> {
    match step {
        step if step > 0 && step.is_multiple_of(PAGE) => Ok(step),
        _ => Err(io::Error::new(otherwise, format!("{step} bytes were transferred, which are no whole pages"))),
    }
}

fn identity(metadata: &Metadata) -> (u64, u64, u64) {
    (metadata.dev(), metadata.ino(), metadata.rdev())
}

#[cfg(test)]
mod tests {
    use super::super::pages::Pages;
    use super::*;

    fn sample() -> (tempfile::TempDir, PageFile) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = PageFile::open(&folder.path().join("f"), Access::Fill(Place::InFolder)).expect("it opens");
        (folder, file)
    }

    #[test]
    #[should_panic(expected = "aligned address")]
    fn a_write_from_an_odd_address_is_never_tried() {
        let (_folder, file) = sample();
        let pages = Pages::zeroed(2);
        let _never = file.write(&pages[512..512 + PAGE], 0);
    }

    #[test]
    #[should_panic(expected = "aligned address")]
    fn a_write_to_an_odd_offset_is_never_tried() {
        let (_folder, file) = sample();
        let _never = file.write(&Pages::zeroed(1), 512);
    }

    #[test]
    fn a_datastore_is_opened_past_the_cache_and_syncs_what_it_writes() {
        let (folder, _file) = sample();
        let file = PageFile::open(&folder.path().join("f"), Access::Sync).expect("it opens");
        let flags = rustix::fs::fcntl_getfl(file.file()).expect("its flags").bits();
        assert_eq!(flags & OFlags::SYNC.bits(), DSYNC, "the data is synced, and not the time of the change");
        assert_eq!(flags & OFlags::DIRECT.bits() != 0, file.is_direct());
    }

    #[test]
    fn where_direct_access_is_refused_that_is_known() {
        // The kernel's own files are the ones that refuse it everywhere.
        let file = PageFile::open(Path::new("/proc/self/status"), Access::Read).expect("it opens");
        assert!(!file.is_direct());
    }

    #[test]
    fn what_is_read_beyond_the_end_is_an_error() {
        let (_folder, file) = sample();
        file.write(&Pages::zeroed(1), 0).expect("written");
        let error = file.read(&mut Pages::zeroed(2), 0).expect_err("only half of it is there");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_that_was_replaced_is_not_in_place() {
        let (folder, file) = sample();
        assert!(file.is_in_place().expect("a verdict"));
        fs::rename(folder.path().join("f"), folder.path().join("g")).expect("renamed");
        assert!(!file.is_in_place().expect("a verdict"));
        fs::write(folder.path().join("f"), b"another").expect("written");
        assert!(!file.is_in_place().expect("a verdict"));
    }
}
