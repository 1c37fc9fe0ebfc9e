//! The form in which a definition travels: to the voters, and to the host that is to start the VM.
//!
//! A byte for the version, then compressed: the XML, with its secrets, what the firmware keeps, if only the VM's host has
//! that, and whether the VM was saved there. Its size is bounded before memory is taken for it.

use super::described::{DescribeError, LONGEST, describe};
use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Read;
use thiserror::Error;

/// The version that this build writes, and the only one that it reads.
const VERSION: u8 = 2;
/// The file of a firmware is rarely longer than half a MiB.
pub const LONGEST_NVRAM: usize = 4 * 1_024 * 1_024;
/// No payload is longer when it is unpacked.
const LONGEST_BODY: usize = LONGEST + LONGEST_NVRAM + 1_024;
/// Nor before that.
pub const LONGEST_PAYLOAD: usize = LONGEST_BODY;

/// Why a payload is none.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum PayloadError {
    /// Another build wrote it.
    #[error("it is of the version {0}, and this build reads {VERSION}: upgrade this host")]
    Version(u8),
    /// It is too long.
    #[error("it is longer than {LONGEST_PAYLOAD} bytes")]
    TooLong,
    /// It cannot be unpacked.
    #[error("it is damaged")]
    Damaged,
    /// What it holds is no definition.
    #[error(transparent)]
    Definition(#[from] DescribeError),
}

/// A definition on its way. It holds secrets, and is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// The XML of libvirt.
    pub xml: String,
    /// What the firmware keeps, if it was read.
    pub nvram: Option<Vec<u8>>,
    /// Whether libvirt has saved the VM's memory, to go on with it at its next start.
    pub is_saved: bool,
}

impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nvram = self.nvram.as_ref().map(Vec::len);
        write!(f, "Package({} bytes of XML, {nvram:?} of NVRAM)", self.xml.len())
    }
}

/// Packs a definition.
pub fn pack(package: &Package) -> Result<Vec<u8>, PayloadError> {
    describe(&package.xml)?;
    if package.nvram.as_ref().is_some_and(|nvram| nvram.len() > LONGEST_NVRAM) {
        return Err(PayloadError::TooLong);
    }
    let body = postcard::to_stdvec(package).map_err(|_| PayloadError::Damaged)?;
    let mut packed = vec![VERSION];
    DeflateEncoder::new(body.as_slice(), Compression::default())
        .read_to_end(&mut packed)
        .map_err(|_| PayloadError::Damaged)?;
    Ok(packed)
}

/// Unpacks a definition, and sees that it is one.
pub fn unpack(bytes: &[u8]) -> Result<Package, PayloadError> {
    if bytes.len() > LONGEST_PAYLOAD {
        return Err(PayloadError::TooLong);
    }
    let (version, packed) = bytes.split_first().ok_or(PayloadError::Damaged)?;
    if *version != VERSION {
        return Err(PayloadError::Version(*version));
    }
    let mut body = Vec::new();
    let bound = u64::try_from(LONGEST_BODY).unwrap_or(u64::MAX);
    DeflateDecoder::new(packed).take(bound + 1).read_to_end(&mut body).map_err(|_| PayloadError::Damaged)?;
    if body.len() > LONGEST_BODY {
        return Err(PayloadError::TooLong);
    }
    let package: Package = postcard::from_bytes(&body).map_err(|_| PayloadError::Damaged)?;
    if package.nvram.as_ref().is_some_and(|nvram| nvram.len() > LONGEST_NVRAM) {
        return Err(PayloadError::TooLong);
    }
    describe(&package.xml)?;
    Ok(package)
}
