//! What lies on storage that somebody wants to format.

use super::header::{HeaderFault, decode_header};
use super::layout::PAGE;
use uuid::Uuid;

/// A sign by which a program finds its own: where, which bytes, and what that is.
const SIGNS: [(usize, &[u8], &str); 13] = [
    (512, b"LABELONE", "an LVM physical volume"),
    (0, b"LABELONE", "an LVM physical volume"),
    (1024, b"LABELONE", "an LVM physical volume"),
    (1536, b"LABELONE", "an LVM physical volume"),
    (0, b"XFSB", "an xfs file system"),
    (1080, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    (65_536, b"\x01\x16\x19\x70", "a GFS2 file system"),
    (65_600, b"_BHRfS_M", "a btrfs file system"),
    (0, b"LUKS\xba\xbe", "a LUKS volume"),
    (4096, b"\xfc\x4e\x2b\xa9", "a member of a Linux RAID"),
    (4086, b"SWAPSPACE2", "a swap area"),
    (512, b"EFI PART", "a GPT partition table"),
    (510, b"\x55\xaa", "a partition table"),
];

/// Names what the first bytes of storage hold; none if they are all zeros.
pub(super) fn occupant(bytes: &[u8]) -> Option<String> {
    let first = bytes.iter().position(|byte| *byte != 0)?;
    match decode_header(&bytes[..bytes.len().min(PAGE)]) {
        Ok(header) => {
            let cluster = Uuid::from_u128(header.cluster);
            return Some(format!("{} \"{}\" of the Holdfast cluster {cluster}", header.id, header.name));
        }
        Err(HeaderFault::OtherFormat(format)) => return Some(format!("a Holdfast datastore of format {format}")),
        Err(HeaderFault::Damaged) => return Some("a Holdfast datastore whose header is damaged".to_owned()),
        Err(HeaderFault::NotOurs) => {}
    }
    let bears = |at: usize, sign: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(sign));
    let known = SIGNS.iter().find(|(at, sign, _)| bears(*at, sign)).map(|(_, _, what)| (*what).to_owned());
    Some(known.unwrap_or_else(|| format!("something unknown, from byte {first} on")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sign_is_known_and_zeros_are_nothing() {
        for (at, sign, what) in SIGNS {
            let mut bytes = vec![0; 1 << 20];
            bytes[at..at + sign.len()].copy_from_slice(sign);
            assert_eq!(occupant(&bytes).as_deref(), Some(what));
        }
        assert_eq!(occupant(&vec![0; 1 << 20]), None);
        assert_eq!(occupant(&[0, 0, 7]).as_deref(), Some("something unknown, from byte 2 on"));
    }
}
