//! What holds for all packets, and for all bytes.

use super::samples::packet;
use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn packets_are_read_back_from_streams(packet in packet()) {
        for version in [OLDEST, NEWEST] {
            let bytes = encode_packet(version, &packet).unwrap();
            prop_assert_eq!(Frame::decode(version, &bytes).unwrap(), Frame::Packet(packet.clone()));
        }
    }

    #[test]
    fn packets_are_read_back_from_datagrams_if_they_fit(packet in packet()) {
        if let Ok(bytes) = encode_datagram(NEWEST, &packet) {
            prop_assert!(bytes.len() <= DATAGRAM_LIMIT);
            prop_assert_eq!(decode_datagram(NEWEST, &bytes).unwrap(), packet);
        } else {
            prop_assert!(encoded_length(&packet) > DATAGRAM_LIMIT || Delivery::of(&packet) == Delivery::Bulk);
        }
    }

    #[test]
    fn what_was_cut_short_is_refused(packet in packet(), part in 0.0..1.0) {
        let bytes = encode_packet(NEWEST, &packet).unwrap();
        let cut = (bytes.len() as f64 * part) as usize;
        prop_assert!(Frame::decode(NEWEST, &bytes[..cut]).is_err());
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Frame::decode(NEWEST, &bytes);
        let _ = decode_datagram(NEWEST, &bytes);
        let _ = decode_hello(&bytes);
        let _ = decode_goodbye(&bytes);
    }

    /// Random bytes behind a header that fits get further than bytes that are random from the start.
    #[test]
    fn whatever_is_read_is_written_and_read_again(kind in 1_u8..8, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let framed = |form: u8| [&[form, kind], &(body.len() as u32).to_le_bytes()[..], &body].concat();
        if let Ok(frame) = Frame::decode(OLDEST, &framed(1)) {
            let again = Frame::decode(OLDEST, &frame.encode(OLDEST).unwrap()).unwrap();
            prop_assert_eq!(again, frame);
        }
        if let Ok(packet) = decode_datagram(OLDEST, &framed(1)) {
            prop_assert_eq!(decode_datagram(OLDEST, &encode_datagram(OLDEST, &packet).unwrap()).unwrap(), packet);
        }
        if let Ok(hello) = decode_hello(&framed(0)) {
            prop_assert_eq!(decode_hello(&hello.encode().unwrap()).unwrap(), hello);
        }
        if let Ok(goodbye) = decode_goodbye(&framed(0)) {
            prop_assert_eq!(decode_goodbye(&goodbye.encode().unwrap()).unwrap(), goodbye);
        }
    }

    /// Damage in the middle of what is true gets furthest of all.
    #[test]
    fn damaged_packets_never_panic(packet in packet(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode_packet(OLDEST, &packet).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(frame) = Frame::decode(OLDEST, &bytes) {
            prop_assert_eq!(Frame::decode(OLDEST, &frame.encode(OLDEST).unwrap()).unwrap(), frame);
        }
    }

    #[test]
    fn rosters_are_read_back(numbers in prop::collection::btree_set(any::<u32>(), 0..600)) {
        let roster = Roster::new(version(5), numbers.into_iter().map(member).collect()).unwrap();
        let mut assembly = RosterAssembly::default();
        let mut whole = None;
        for page in roster.pages() {
            let bytes = Frame::Roster(page).encode(NEWEST).unwrap();
            let Frame::Roster(page) = Frame::decode(NEWEST, &bytes).unwrap() else { panic!("no page") };
            whole = assembly.add(page).unwrap();
        }
        prop_assert_eq!(whole, Some(roster));
    }
}
