//! How payloads and snapshots lie in their rows: a byte that names the format, then the value.

use super::error::WriteError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Postcard, as [`crate::election`] defines the types.
const POSTCARD: u8 = 1;

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, WriteError> {
    postcard::to_extend(value, vec![POSTCARD])
        .map_err(|error| WriteError::other(format_args!("a value cannot be written down: {error}")))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, WriteError> {
    let damaged = |why: String| WriteError::corrupt(format_args!("{what} cannot be read: {why}"));
    match bytes.split_first() {
        Some((&POSTCARD, body)) => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(damaged(format!("{} bytes are left over", rest.len()))),
            Err(error) => Err(damaged(error.to_string())),
        },
        Some((format, _)) => Err(damaged(format!("its format {format} is not known here"))),
        None => Err(damaged("it is empty".to_owned())),
    }
}

/// SQLite counts to 2^63 only.
pub(super) fn to_row(number: u64) -> Result<i64, WriteError> {
    i64::try_from(number).map_err(|_| WriteError::other(format_args!("{number} is too great to be kept")))
}

pub(super) fn from_row(number: i64) -> Result<u64, WriteError> {
    u64::try_from(number).map_err(|_| WriteError::corrupt(format_args!("the store holds the number {number}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::Payload;

    #[test]
    fn what_is_written_can_be_read_and_nothing_else() {
        let payload = Payload::Data(vec![7; 300]);
        let bytes = encode(&payload).expect("it is plain");
        assert_eq!(decode::<Payload>(&bytes, "it").expect("it is whole"), payload);
        let longer = [bytes.as_slice(), &[0]].concat();
        let other_format = [&[2], &bytes[1..]].concat();
        for bad in [&bytes[..bytes.len() - 1], &longer, &other_format, &[]] {
            assert!(decode::<Payload>(bad, "it").is_err(), "{bad:?}");
        }
    }
}
