//! Chance, reproducible: every choice of a simulated world is drawn from a [`Dice`] that comes from the world's seed.

use std::time::Duration;

/// A stream of choices. The same seed gives the same stream on every machine and in every build.
#[derive(Debug, Clone)]
pub struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Dice {
        Dice { seed, state: mix(seed ^ 0x5851_F42D_4C95_7F2D) }
    }

    /// Another stream, which depends on the seed and the label alone: how much was drawn from this one shifts nothing
    /// in that one.
    pub fn fork(&self, label: &str) -> Dice {
        let folded = label
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
        Dice::new(mix(self.seed.wrapping_add(mix(folded))))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// A number from `low` up to, and without, `high`; `low` if there is none.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low);
        if span == 0 {
            return low;
        }
        // The high half of a product is fair enough: spans are tiny against 2^64.
        low + ((u128::from(self.number()) * u128::from(span)) >> 64) as u64
    }

    /// True in so many cases of a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.range(0, 100) < u64::from(percent)
    }

    /// A duration, at least and at most, to the microsecond.
    pub fn duration_between(&mut self, bounds: (Duration, Duration)) -> Duration {
        Duration::from_micros(self.micros_between(bounds))
    }

    /// The same in microseconds.
    pub fn micros_between(&mut self, (least, most): (Duration, Duration)) -> u64 {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX - 1);
        self.range(micros(least), micros(most).saturating_add(1))
    }

    /// One of these, if there is one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(usize::try_from(self.range(0, from.len() as u64)).unwrap_or(0))
    }

    /// Puts these in any order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.range(0, last as u64 + 1)).unwrap_or(0);
            items.swap(last, other);
        }
    }
}

/// The finalizer of splitmix64, by Sebastiano Vigna: each bit of the input changes about half of the output's.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_stream() {
        let (mut one, mut two) = (Dice::new(7), Dice::new(7));
        assert!((0..100).all(|_| one.number() == two.number()));
        assert_ne!(Dice::new(8).number(), Dice::new(7).number());
    }

    #[test]
    fn a_fork_does_not_depend_on_what_was_drawn() {
        let mut used = Dice::new(7);
        used.number();
        assert_eq!(used.fork("network").number(), Dice::new(7).fork("network").number());
        assert_ne!(used.fork("network").number(), used.fork("disk").number());
    }

    #[test]
    fn choices_keep_their_bounds() {
        let mut dice = Dice::new(1);
        assert!((0..1000).all(|_| (3..9).contains(&dice.range(3, 9))));
        assert_eq!(dice.range(5, 5), 5);
        assert!(!dice.chance(0) && dice.chance(100));
        assert_eq!(dice.pick::<u8>(&[]), None);
        let mut cards: Vec<u32> = (0..52).collect();
        dice.shuffle(&mut cards);
        assert_ne!(cards, (0..52).collect::<Vec<_>>());
        cards.sort_unstable();
        assert_eq!(cards, (0..52).collect::<Vec<_>>());
    }
}
