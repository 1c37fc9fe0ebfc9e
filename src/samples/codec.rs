//! Columns of numbers with gaps, in as few bytes as is simply done: neighbours differ little, so what is written of each
//! is its difference from the one before, as a number of as many bytes as it needs; and all of that is deflated.

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use std::io::{Read, Write};
use thiserror::Error;

/// A value for each place; nothing: it was not measured.
pub(super) type Column = Vec<Option<u32>>;

/// The form that this build writes.
const FORMAT: u8 = 1;
/// A value takes no more bytes before it is deflated, nor does a gap.
const MOST_BYTES: u64 = 6;

/// What is not in the form of columns.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("it is no list of samples: {0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// Writes columns. A gap at the end of one needs no place.
pub(super) fn encode(columns: &[&[Option<u32>]]) -> Vec<u8> {
    let mut plain = Vec::new();
    for column in columns {
        let length = column.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        put(&mut plain, length as u64);
        put_column(&mut plain, &column[..length]);
    }
    let mut deflated = DeflateEncoder::new(vec![FORMAT], Compression::default());
    // Memory takes whatever is written to it.
    let written = deflated.write_all(&plain).and_then(|()| deflated.finish());
    written.unwrap_or_default()
}

fn put_column(plain: &mut Vec<u8>, column: &[Option<u32>]) {
    let (mut before, mut gap) = (0_i64, 0_u64);
    for value in column {
        let Some(value) = value.map(i64::from) else {
            gap += 1;
            continue;
        };
        put_gap(plain, std::mem::take(&mut gap));
        let difference = value - before;
        // Small numbers of either sign become small ones without; zero stands for a gap.
        put(plain, ((difference << 1) ^ (difference >> 63)).unsigned_abs() + 1);
        before = value;
    }
}

fn put_gap(plain: &mut Vec<u8>, gap: u64) {
    if gap > 0 {
        put(plain, 0);
        put(plain, gap);
    }
}

fn put(plain: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        plain.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    plain.push(number as u8);
}

/// Reads so many columns, none of which may have more places than `longest`.
pub(super) fn decode(bytes: &[u8], columns: usize, longest: usize) -> Result<Vec<Column>, Malformed> {
    let Some((&FORMAT, deflated)) = bytes.split_first() else { return Err(Malformed("its form is not known here")) };
    let limit = (columns as u64) * (longest as u64 + 1) * MOST_BYTES;
    let mut plain = Vec::new();
    let mut inflating = DeflateDecoder::new(deflated).take(limit + 1);
    inflating.read_to_end(&mut plain).map_err(|_| Malformed("it cannot be inflated"))?;
    if plain.len() as u64 > limit {
        return Err(Malformed("it is too long"));
    }
    let mut rest = plain.as_slice();
    let columns = (0..columns).map(|_| take_column(&mut rest, longest)).collect::<Result<_, _>>()?;
    if rest.is_empty() { Ok(columns) } else { Err(Malformed("something is left over")) }
}

fn take_column(rest: &mut &[u8], longest: usize) -> Result<Column, Malformed> {
    let length = usize::try_from(take(rest)?).map_err(|_| Malformed("a column is too long"))?;
    if length > longest {
        return Err(Malformed("a column is too long"));
    }
    let mut column = Column::with_capacity(length);
    let mut before = 0_i64;
    while column.len() < length {
        match take(rest)? {
            0 => {
                let gap = usize::try_from(take(rest)?).unwrap_or(usize::MAX);
                // A column ends with a value.
                if gap == 0 || gap >= length - column.len() {
                    return Err(Malformed("a gap is too long, or none"));
                }
                column.resize(column.len() + gap, None);
            }
            number => {
                let folded = number - 1;
                let difference = i64::try_from(folded >> 1).unwrap_or(i64::MAX) ^ -i64::from(folded & 1 == 1);
                before = before.checked_add(difference).ok_or(Malformed("a value is too great"))?;
                column.push(Some(u32::try_from(before).map_err(|_| Malformed("a value is too great"))?));
            }
        }
    }
    Ok(column)
}

fn take(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, tail) = rest.split_first().ok_or(Malformed("it ends too early"))?;
        *rest = tail;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed("a number is too long"))
}
