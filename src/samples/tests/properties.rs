//! What holds for any samples.

use crate::samples::chunk::{Level, decode_raw, decode_summaries, encode_raw, encode_summaries, merge, minutes};
use crate::samples::codec::{decode, encode};
use crate::samples::*;
use proptest::prelude::*;

fn slots() -> impl Strategy<Value = Vec<Option<u32>>> {
    let steady = (any::<u32>(), 0..50_u32).prop_map(|(base, step)| base.saturating_add(step));
    let value = prop_oneof![4 => (0..2_000_u32).boxed(), 1 => any::<u32>().boxed(), 1 => steady.boxed()];
    prop::collection::vec(prop::option::weighted(0.8, value), 0..=HOUR_SLOTS as usize)
}

fn trimmed(mut slots: Vec<Option<u32>>) -> Vec<Option<u32>> {
    let length = slots.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    slots.truncate(length);
    slots
}

/// The percentile as the definition says it, slowly.
fn true_p95(values: &[u32]) -> u32 {
    let within = |bound: &&u32| values.iter().filter(|value| value <= bound).count() * 100 >= values.len() * 95;
    *values.iter().filter(within).min().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn columns_come_back_as_they_were(columns in prop::collection::vec(slots(), 1..4)) {
        let slices: Vec<&[Option<u32>]> = columns.iter().map(Vec::as_slice).collect();
        let bytes = encode(&slices);
        let read = decode(&bytes, columns.len(), HOUR_SLOTS as usize).unwrap();
        prop_assert_eq!(read, columns.into_iter().map(trimmed).collect::<Vec<_>>());
    }

    #[test]
    fn damaged_columns_are_refused_or_read_as_something(slots in slots(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode_raw(&slots);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = decode_raw(&bytes) {
            prop_assert!(read.len() <= HOUR_SLOTS as usize);
        }
        bytes.truncate(at);
        prop_assert!(decode_raw(&bytes).is_err());
    }

    #[test]
    fn summaries_are_what_their_names_say(slots in slots()) {
        let values: Vec<u32> = slots.iter().flatten().copied().collect();
        prop_assume!(!values.is_empty());
        let summary = Summary::of(slots.clone()).unwrap();
        prop_assert_eq!(summary.count as usize, values.len());
        prop_assert_eq!(summary.min, *values.iter().min().unwrap());
        prop_assert_eq!(summary.max, *values.iter().max().unwrap());
        prop_assert_eq!(summary.p95, true_p95(&values));
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        prop_assert!((f64::from(summary.mean) - mean).abs() <= 0.5 + mean * 1e-9);
        let kept = decode_summaries(&encode_summaries(&minutes(&slots)), Level::Minutes).unwrap();
        prop_assert_eq!(kept, minutes(&trimmed(slots)));
    }

    /// The bound that [`Summary::over`] states.
    #[test]
    fn a_percentile_of_parts_is_never_too_low(parts in prop::collection::vec(slots(), 1..6)) {
        let values: Vec<u32> = parts.iter().flatten().flatten().copied().collect();
        let summaries: Vec<Summary> = parts.iter().filter_map(|part| Summary::of(part.iter().copied())).collect();
        prop_assume!(!values.is_empty());
        let all = Summary::over(&summaries).unwrap();
        prop_assert!(all.p95 >= true_p95(&values));
        prop_assert!(all.p95 <= summaries.iter().map(|part| part.p95).max().unwrap());
        let whole = Summary::of(values.iter().map(|value| Some(*value))).unwrap();
        prop_assert_eq!((all.count, all.min, all.max), (whole.count, whole.min, whole.max));
        prop_assert!(all.mean.abs_diff(whole.mean) <= 1);
    }

    /// Where all is known as it was measured, it is exact.
    #[test]
    fn a_percentile_of_slots_is_exact(slots in slots()) {
        let each: Vec<Summary> = slots.iter().flatten().map(|value| Summary::one(*value)).collect();
        prop_assert_eq!(Summary::over(&each), Summary::of(slots));
    }

    /// So it does not matter in which order, or how often, samples come.
    #[test]
    fn merging_knows_no_order(one in slots(), two in slots(), three in slots()) {
        let merged = |parts: &[&Vec<Option<u32>>]| {
            let mut all = Vec::new();
            parts.iter().for_each(|part| merge(&mut all, part));
            all
        };
        let all = merged(&[&one, &two, &three]);
        prop_assert_eq!(&all, &merged(&[&three, &one, &two]));
        prop_assert_eq!(&all, &merged(&[&all, &two, &three, &one]));
    }
}
