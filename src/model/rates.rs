//! How many bytes a second may be sent, by day of the week and time of day.

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Bytes a second through the week. Nothing set is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    spans: Vec<Span>,
}

/// A part of the week and what may be sent then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Days on which it begins, Monday first.
    pub days: [bool; 7],
    /// Minute of the day at which it begins.
    pub from: u16,
    /// Minute at which it ends; not after `from`: on the next day.
    pub to: u16,
    /// Bytes a second; `None`: as many as there are.
    pub rate: Option<u64>,
}

impl Span {
    /// At all times.
    pub fn always(rate: Option<u64>) -> Self {
        Self { days: [true; 7], from: 0, to: DAY, rate }
    }

    /// True at this minute of this day (0: Monday).
    fn holds(&self, day: usize, minute: u16) -> bool {
        let begun = |day: usize| self.days[day % 7];
        if self.from < self.to {
            return begun(day) && (self.from..self.to).contains(&minute);
        }
        (begun(day) && minute >= self.from) || (begun(day + 6) && minute < self.to)
    }
}

impl Rates {
    /// Of several spans that hold, the last one decides.
    pub fn new(spans: Vec<Span>) -> Self {
        Self { spans }
    }

    /// Bytes a second at this minute of the day (0 to 1439) on this day of the week (0: Monday); `None`: no limit.
    pub fn at(&self, day: u8, minute: u16) -> Option<u64> {
        self.spans.iter().rev().find(|span| span.holds(day.into(), minute)).and_then(|span| span.rate)
    }

    /// True if there is no limit at any time.
    pub fn is_none(&self) -> bool {
        self.spans.iter().all(|span| span.rate.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_span_that_holds_decides() {
        let work = Span {
            days: [true, true, true, true, true, false, false],
            from: 8 * 60,
            to: 18 * 60,
            rate: Some(2),
        };
        let night = Span { days: [true; 7], from: 22 * 60, to: 6 * 60, rate: None };
        let friday = Span {
            days: [false, false, false, false, true, false, false],
            from: 23 * 60,
            to: 60,
            rate: Some(9),
        };
        let rates = Rates::new(vec![Span::always(Some(5)), work, night, friday]);
        for (day, hour, want) in [
            (0, 7, Some(5)),
            (0, 8, Some(2)),
            (0, 17, Some(2)),
            (0, 18, Some(5)),
            (5, 12, Some(5)),
            (0, 22, None),
            (6, 0, None),
            (1, 5, None),
            (1, 6, Some(5)),
            (4, 23, Some(9)),
            (5, 0, Some(9)),
            (5, 1, None),
            (3, 0, None),
        ] {
            assert_eq!(rates.at(day, hour * 60), want, "day {day} at {hour}");
        }
        assert_eq!(rates.at(0, 8 * 60 - 1), Some(5));
        assert!(
            !rates.is_none() && Rates::default().is_none() && Rates::new(vec![Span::always(None)]).is_none()
        );
        assert_eq!(Rates::default().at(3, 700), None);
        let whole = Rates::new(vec![Span { from: 60, to: 60, ..Span::always(Some(1)) }]);
        assert!((0..1440).all(|minute| whole.at(2, minute) == Some(1)), "a day long");
        assert_eq!((Span::always(None).from, Span::always(None).to), (0, 1440));
    }
}
