//! The slots: what each start of a VM last wrote.

use crate::core::ids::{Epoch, VmId};
use crate::core::record::Slot;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use uuid::Uuid;

/// Where the slots begin, and how long each is: a divisor of the page, so that none lies across two.
const LENGTH: usize = 512;
/// The checksum, and the length of what follows.
const PREFIX: usize = 4 + 2;

/// A writing of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The random name of the start.
    pub nonce: Uuid,
    /// Which VM it started.
    pub vm: VmId,
    /// Under which epoch.
    pub epoch: Epoch,
    /// On which host.
    pub host: String,
    /// How many writes it had made then.
    pub sequence: u64,
    /// When that was, on the machine's own clock.
    pub boottime_micros: u64,
}

/// Reads a slot.
pub(super) fn read(disk: &File, number: u64) -> io::Result<Slot<Trace>> {
    let mut bytes = [0; LENGTH];
    let mut read = 0;
    while read < LENGTH {
        match disk.read_at(&mut bytes[read..], place(number) + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(parse(&bytes))
}

fn place(number: u64) -> u64 {
    number.saturating_add(1).saturating_mul(LENGTH as u64)
}

fn parse(bytes: &[u8; LENGTH]) -> Slot<Trace> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Slot::Empty;
    }
    let checksum = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let length = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
    let Some(body) = bytes[PREFIX..].get(..length) else { return Slot::Torn };
    if crc32fast::hash(body) != checksum {
        return Slot::Torn;
    }
    postcard::from_bytes(body).map_or(Slot::Torn, Slot::Whole)
}

/// Writes a slot.
pub(super) fn write(disk: &File, number: u64, trace: &Trace) -> io::Result<()> {
    let mut bytes = [0; LENGTH];
    let body = postcard::to_slice(trace, &mut bytes[PREFIX..]).map_err(io::Error::other)?;
    let length = u16::try_from(body.len()).map_err(io::Error::other)?;
    let checksum = crc32fast::hash(body);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes[4..PREFIX].copy_from_slice(&length.to_le_bytes());
    disk.write_all_at(&bytes, place(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_read_as_it_was_written_and_a_torn_one_as_torn() {
        let file = tempfile::tempfile().unwrap();
        let trace = Trace {
            nonce: Uuid::new_v4(),
            vm: VmId(u32::MAX),
            epoch: Epoch { number: u64::MAX, ..Epoch::NONE },
            host: "h".repeat(64),
            sequence: u64::MAX,
            boottime_micros: u64::MAX,
        };
        assert_eq!(read(&file, 3).unwrap(), Slot::Empty);
        write(&file, 3, &trace).unwrap();
        assert_eq!(read(&file, 2).unwrap(), Slot::Empty);
        assert_eq!(read(&file, 3).unwrap(), Slot::Whole(trace.clone()));
        write(&file, 3, &Trace { sequence: 1, ..trace }).unwrap();
        for cut in 1..LENGTH as u64 {
            let mut byte = [0];
            file.read_exact_at(&mut byte, place(3) + cut).unwrap();
            if byte[0] != 0 {
                file.write_all_at(&[byte[0] ^ 1], place(3) + cut).unwrap();
                assert_eq!(read(&file, 3).unwrap(), Slot::Torn, "byte {cut}");
                file.write_all_at(&byte, place(3) + cut).unwrap();
            }
        }
        write(&file, 4, &Trace { host: "h".repeat(LENGTH), ..parse_whole(&file) }).unwrap_err();
    }

    fn parse_whole(file: &File) -> Trace {
        match read(file, 3).unwrap() {
            Slot::Whole(trace) => trace,
            other => panic!("{other:?}"),
        }
    }
}
