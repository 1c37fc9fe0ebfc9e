//! Least, mean, greatest and 95th percentile of some slots.

/// What some slots had. None is without a slot that was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Summary {
    /// So many slots were measured.
    pub count: u32,
    /// The least.
    pub min: u32,
    /// The mean, rounded.
    pub mean: u32,
    /// What 95 percent of them do not exceed: the value at that place in the order of their values.
    pub p95: u32,
    /// The greatest.
    pub max: u32,
}

impl Summary {
    /// Of slots; none: not one of them was measured.
    pub fn of(slots: impl IntoIterator<Item = Option<u32>>) -> Option<Summary> {
        let mut values: Vec<u32> = slots.into_iter().flatten().collect();
        values.sort_unstable();
        let count = u32::try_from(values.len()).ok()?;
        let sum: u64 = values.iter().map(|value| u64::from(*value)).sum();
        let place = (values.len() * 95).div_ceil(100).checked_sub(1)?;
        Some(Summary {
            count,
            min: *values.first()?,
            mean: rounded(sum, u64::from(count)),
            p95: *values.get(place)?,
            max: *values.last()?,
        })
    }

    /// Of one slot, or of something that is known no finer.
    pub fn one(value: u32) -> Summary {
        Summary { count: 1, min: value, mean: value, p95: value, max: value }
    }

    /// Of several times together; none: there is not one.
    ///
    /// Count, least and greatest are exact, the mean to half a unit. A percentile cannot be formed of others exactly. The
    /// one given here is never less than the true one, and never more than the greatest of the parts' own: each part is
    /// counted as if 95 percent of its slots had its percentile, and the rest its greatest value.
    pub fn over<'a>(parts: impl IntoIterator<Item = &'a Summary>) -> Option<Summary> {
        let parts: Vec<&Summary> = parts.into_iter().collect();
        let counts = || parts.iter().map(|part| u64::from(part.count));
        let (count, sum) =
            (counts().sum::<u64>(), parts.iter().map(|part| u64::from(part.mean) * u64::from(part.count)));
        let (min, max) = (parts.iter().map(|part| part.min).min()?, parts.iter().map(|part| part.max).max()?);
        let mean = rounded(sum.sum(), count);
        Some(Summary {
            count: u32::try_from(count).unwrap_or(u32::MAX),
            min,
            mean,
            p95: percentile(&parts, count),
            max,
        })
    }
}

fn percentile(parts: &[&Summary], count: u64) -> u32 {
    let halves = |part: &&Summary| {
        let within = (u64::from(part.count) * 95).div_ceil(100);
        [(part.p95, within), (part.max, u64::from(part.count) - within)]
    };
    let mut weighted: Vec<(u32, u64)> = parts.iter().flat_map(halves).collect();
    weighted.sort_unstable();
    let mut left = (count * 95).div_ceil(100);
    for (value, weight) in weighted {
        left = left.saturating_sub(weight);
        if left == 0 {
            return value;
        }
    }
    0
}

fn rounded(sum: u64, count: u64) -> u32 {
    u32::try_from((sum + count / 2) / count.max(1)).unwrap_or(u32::MAX)
}
