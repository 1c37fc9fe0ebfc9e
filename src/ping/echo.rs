//! ICMP's echo, as bytes.

/// The first bytes of each: type, code, checksum, identifier, sequence.
const HEADER: usize = 8;
/// What a request says of itself and its answer repeats.
pub(super) const COOKIE: usize = 16;

/// Which ICMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// For IPv4.
    V4,
    /// For IPv6.
    V6,
}

/// Whether a socket shows the header of IPv4 before the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// It does.
    WithHeader,
    /// It does not.
    Bare,
}

/// A request. On a socket for pings the kernel puts in an identifier of its own; on IPv6 also the checksum.
pub(super) fn request(family: Family, cookie: &[u8; COOKIE], sequence: u16) -> [u8; HEADER + COOKIE] {
    let mut packet = [0; HEADER + COOKIE];
    packet[0] = match family {
        Family::V4 => 8,
        Family::V6 => 128,
    };
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet[HEADER..].copy_from_slice(cookie);
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// Whether this answers a request with that cookie.
pub(super) fn is_reply(family: Family, framing: Framing, bytes: &[u8], cookie: &[u8; COOKIE]) -> bool {
    let packet = match framing {
        Framing::Bare => Some(bytes),
        Framing::WithHeader => bytes.first().and_then(|first| bytes.get(usize::from(first & 15) * 4..)),
    };
    let reply = match family {
        Family::V4 => 0,
        Family::V6 => 129,
    };
    packet.is_some_and(|packet| packet.starts_with(&[reply, 0]) && packet.get(HEADER..) == Some(cookie.as_slice()))
}

/// The sum of the internet's protocols, for an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let sum = bytes.chunks_exact(2).fold(0_u32, |sum, pair| match pair {
        [high, low] => sum + u32::from(u16::from_be_bytes([*high, *low])),
        _ => sum,
    });
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINE: [u8; COOKIE] = [7; COOKIE];

    fn answered(family: Family) -> Vec<u8> {
        let mut packet = request(family, &MINE, 3).to_vec();
        packet[0] = if family == Family::V4 { 0 } else { 129 };
        packet
    }

    #[test]
    fn only_the_answer_to_what_was_asked_counts() {
        for family in [Family::V4, Family::V6] {
            let answer = answered(family);
            assert!(is_reply(family, Framing::Bare, &answer, &MINE));
            assert!(!is_reply(family, Framing::Bare, &answer, &[8; COOKIE]));
            assert!(!is_reply(family, Framing::Bare, &request(family, &MINE, 3), &MINE), "an echo of the request");
            assert!(!is_reply(family, Framing::Bare, &answer[..answer.len() - 1], &MINE));
            assert!(!is_reply(family, Framing::Bare, &[answer, vec![0]].concat(), &MINE));
        }
    }

    #[test]
    fn the_header_is_as_long_as_it_says() {
        for words in [5, 6, 15] {
            let header = vec![0x40 + words; usize::from(words) * 4];
            let packet = [header, answered(Family::V4)].concat();
            assert!(is_reply(Family::V4, Framing::WithHeader, &packet, &MINE));
        }
    }

    #[test]
    fn the_checksum_makes_the_sum_right() {
        let packet = request(Family::V4, &[0xfe; COOKIE], 0xffff);
        assert_eq!(checksum(&packet), 0);
    }

    proptest! {
        #[test]
        fn what_anyone_sends_is_no_answer(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for framing in [Framing::Bare, Framing::WithHeader] {
                prop_assert!(!is_reply(Family::V4, framing, &bytes, &MINE));
                prop_assert!(!is_reply(Family::V6, framing, &bytes, &MINE));
            }
        }
    }
}
