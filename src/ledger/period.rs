//! Periods as people name them: a month, a day, the last thirty days, from one moment to another.
//!
//! A month is that of a time zone: in one that turns its clocks, October is an hour longer than thirty-one days. A
//! moment that a clock shows twice is the first of the two; one that it skips is the one after the gap.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use thiserror::Error;

/// A period, from its first moment to the first one after it, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub from: i64,
    /// The first moment after it.
    pub to: i64,
}

/// What is no period.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeriodError {
    /// A zone that nobody knows.
    #[error("\"{0}\" is no time zone: write it as UTC or as Europe/Berlin")]
    Zone(String),
    /// Neither a year, nor a month, nor a day.
    #[error("\"{0}\" is no year, month or day: write it as 2026, 2026-10 or 2026-10-25")]
    Named(String),
    /// No moment.
    #[error("\"{0}\" is no moment: write it as 2026-10-25, 2026-10-25T18:30 or 2026-10-25T16:30:15Z")]
    Moment(String),
    /// It ends before it begins.
    #[error("the period ends at {to} and begins at {from}: the end must come after the beginning")]
    Backwards {
        /// Its beginning, as a person reads it.
        from: String,
        /// Its end.
        to: String,
    },
    /// Nothing of it has happened yet.
    #[error("the period begins at {0}, which is yet to come")]
    Future(String),
}

/// A time zone, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    zone: TimeZone,
}

impl Zone {
    /// Universal time.
    pub fn utc() -> Zone {
        Zone { zone: TimeZone::UTC }
    }

    /// The zone of this name.
    pub fn named(name: &str) -> Result<Zone, PeriodError> {
        let zone = TimeZone::get(name).map_err(|_| PeriodError::Zone(name.to_owned()))?;
        Ok(Zone { zone })
    }

    /// What turns moments into what its clocks show.
    pub fn time_zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// A moment as a clock of this zone shows it, with how far that is from universal time.
    pub fn shown(&self, milliseconds: i64) -> String {
        match Timestamp::from_millisecond(milliseconds) {
            Ok(moment) => moment.to_zoned_datetime(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
            // No clock shows a year that far away.
            Err(_) => milliseconds.to_string(),
        }
    }

    /// The moment at which a text says it is, in this zone where the text names none.
    pub fn moment(&self, text: &str) -> Result<i64, PeriodError> {
        if let Ok(moment) = text.parse::<Timestamp>() {
            return Ok(moment.as_millisecond());
        }
        let bad = || PeriodError::Moment(text.to_owned());
        let civil = text.parse::<DateTime>().map_err(|_| bad())?;
        civil.to_zoned_datetime(self.zone.clone()).map(|zoned| zoned.timestamp().as_millisecond()).map_err(|_| bad())
    }

    fn midnight(&self, date: Date) -> Option<i64> {
        Some(date.to_zoned_datetime(self.zone.clone()).ok()?.timestamp().as_millisecond())
    }

    fn date(&self, milliseconds: i64) -> Option<Date> {
        Some(Timestamp::from_millisecond(milliseconds).ok()?.to_zoned_datetime(self.zone.clone()).date())
    }
}

impl Period {
    /// A year, a month or a day of a zone: `2026`, `2026-10`, `2026-10-25`.
    pub fn named(text: &str, zone: &Zone) -> Result<Period, PeriodError> {
        let read = || {
            let parts: Vec<&str> = text.split('-').collect();
            let is_sound = parts.iter().zip([4, 2, 2]).all(|(part, length)| part.len() == length);
            let number = |place: usize| parts.get(place).map_or(Some(1), |part| part.parse::<i8>().ok());
            let year = parts.first()?.parse::<i16>().ok().filter(|_| is_sound && parts.len() <= 3)?;
            let first = Date::new(year, number(1)?, number(2)?).ok()?;
            let length = match parts.len() {
                1 => 1.year(),
                2 => 1.month(),
                _ => 1.day(),
            };
            let next = first.checked_add(length).ok()?;
            Some(Period { from: zone.midnight(first)?, to: zone.midnight(next)? })
        };
        read().ok_or_else(|| PeriodError::Named(text.to_owned()))
    }

    /// So many milliseconds up to now.
    pub fn last(milliseconds: i64, now: i64) -> Period {
        Period { from: now.saturating_sub(milliseconds.max(0)), to: now }
    }

    /// From one moment to another; the end of what is written down is now.
    pub fn between(from: i64, to: Option<i64>, zone: &Zone, now: i64) -> Result<Period, PeriodError> {
        if from > now {
            return Err(PeriodError::Future(zone.shown(from)));
        }
        match to {
            Some(to) if to <= from => Err(PeriodError::Backwards { from: zone.shown(from), to: zone.shown(to) }),
            to => Ok(Period { from, to: to.unwrap_or(now) }),
        }
    }

    /// Whether it is over.
    pub fn is_over(&self, now: i64) -> bool {
        self.to <= now
    }

    /// How long it is, in milliseconds.
    pub fn length(&self) -> i64 {
        self.to.saturating_sub(self.from)
    }

    /// Its days in a zone, the first and the last one cut to it. Those of more than `limit` days are not told.
    pub fn days(&self, zone: &Zone, limit: usize) -> Vec<Period> {
        let mut days = Vec::new();
        let mut from = self.from;
        let mut date = zone.date(from);
        while let Some(next) =
            date.and_then(|date| date.tomorrow().ok()).filter(|_| from < self.to && days.len() < limit)
        {
            let to = zone.midnight(next).unwrap_or(self.to).min(self.to);
            // A day that a zone leaves out has no moment of its own.
            if to > from {
                days.push(Period { from, to });
                from = to;
            }
            date = Some(next);
        }
        days
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000;

    fn hours(name: &str, zone: &str) -> i64 {
        let period = Period::named(name, &Zone::named(zone).unwrap()).unwrap();
        assert_eq!(period.length() % HOUR, 0);
        period.length() / HOUR
    }

    #[test]
    fn a_month_is_as_long_as_clocks_make_it() {
        assert_eq!(hours("2026-10", "UTC"), 31 * 24);
        assert_eq!(hours("2026-10", "Europe/Berlin"), 31 * 24 + 1);
        assert_eq!(hours("2026-03", "Europe/Berlin"), 31 * 24 - 1);
        assert_eq!(hours("2026-03-29", "Europe/Berlin"), 23);
        assert_eq!(hours("2026-10-25", "Europe/Berlin"), 25);
        assert_eq!(hours("2026-11-01", "America/New_York"), 25);
        assert_eq!(hours("2026", "Europe/Berlin"), 365 * 24);
        assert_eq!(hours("2028-02", "UTC"), 29 * 24);
        // Samoa went over the date line and left a day out.
        assert_eq!(hours("2011-12", "Pacific/Apia"), 30 * 24);
    }

    #[test]
    fn a_moment_is_one_of_its_zone() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let utc = |text: &str| Zone::utc().moment(text).unwrap();
        assert_eq!(berlin.moment("2026-10-25"), Ok(utc("2026-10-24T22:00:00Z")));
        assert_eq!(berlin.moment("2026-10-25T02:30"), Ok(utc("2026-10-25T00:30:00Z")), "the first of the two");
        assert_eq!(berlin.moment("2026-03-29T02:30"), Ok(utc("2026-03-29T01:30:00Z")), "there is none: after the gap");
        assert_eq!(berlin.moment("2026-10-25T16:30:15.250Z"), Ok(utc("2026-10-25T16:30:15.250")));
        assert_eq!(berlin.moment("2026-10-25T16:30:15+09:00"), Ok(utc("2026-10-25T07:30:15Z")));
        assert_eq!(berlin.shown(utc("2026-10-25T00:30:00Z")), "2026-10-25 02:30:00 +02:00");
        assert_eq!(berlin.shown(utc("2026-10-25T01:30:00Z")), "2026-10-25 02:30:00 +01:00");
    }

    #[test]
    fn what_is_no_period_is_refused_in_words() {
        let zone = Zone::utc();
        for text in ["", "26", "2026-13", "2026-10-32", "2026-1", "2026-10-25-1", "october", "-2026", "2026-1a"] {
            assert_eq!(Period::named(text, &zone), Err(PeriodError::Named(text.to_owned())));
        }
        for name in ["", "Berlin", "Europe/Nowhere", "../etc/passwd"] {
            assert_eq!(Zone::named(name), Err(PeriodError::Zone(name.to_owned())));
        }
        assert!(matches!(zone.moment("yesterday"), Err(PeriodError::Moment(_))));
        assert!(matches!(Period::between(10, Some(10), &zone, 20), Err(PeriodError::Backwards { .. })));
        assert!(matches!(Period::between(30, None, &zone, 20), Err(PeriodError::Future(_))));
        assert_eq!(Period::between(10, None, &zone, 20), Ok(Period { from: 10, to: 20 }));
        assert_eq!(Period::last(15, 20), Period { from: 5, to: 20 });
    }

    proptest! {
        #[test]
        fn days_are_the_whole_of_a_period(from in 0i64..4_000_000_000_000, length in 1i64..40 * 24 * HOUR, zone in 0usize..5) {
            let zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"];
            let zone = Zone::named(zones[zone]).unwrap();
            let period = Period { from, to: from + length };
            let days = period.days(&zone, 100);
            prop_assert_eq!((days[0].from, days[days.len() - 1].to), (period.from, period.to));
            prop_assert!(days.windows(2).all(|pair| pair[0].to == pair[1].from));
            for inner in days.iter().skip(1).rev().skip(1) {
                prop_assert!((23 * HOUR..=25 * HOUR).contains(&inner.length()), "{:?}", inner);
            }
        }
    }
}
