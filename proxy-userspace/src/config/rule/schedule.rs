//! Times of day and days of the week.

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Day {
    /// All days, from Monday.
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// As it is written in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Monday => "mon",
            Self::Tuesday => "tue",
            Self::Wednesday => "wed",
            Self::Thursday => "thu",
            Self::Friday => "fri",
            Self::Saturday => "sat",
            Self::Sunday => "sun",
        }
    }

    /// The day before.
    #[must_use]
    pub const fn before(self) -> Self {
        Self::ALL[(self as usize + 6) % 7]
    }
}

/// Some of the days of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Days(u8);

impl Days {
    /// Whether there is none, which as a condition asks for nothing.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `day` is one of them.
    #[must_use]
    pub const fn contains(self, day: Day) -> bool {
        self.0 & (1 << day as u8) != 0
    }

    /// With `day` as well.
    #[must_use]
    pub const fn with(self, day: Day) -> Self {
        Self(self.0 | 1 << day as u8)
    }
}

impl FromIterator<Day> for Days {
    fn from_iter<I: IntoIterator<Item = Day>>(days: I) -> Self {
        days.into_iter().fold(Self::default(), Self::with)
    }
}

/// A part of the day, which may go on into the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    /// The first minute, counted from midnight, below [`MINUTES`].
    begin: u16,
    /// The first minute that is no longer part of it, up to [`MINUTES`], never `begin`.
    end: u16,
}

/// Minutes of a day.
const MINUTES: u16 = 24 * 60;

impl Period {
    /// Reads `08:00-17:30`. The end is no longer part of it; `24:00` is the end of the day.
    ///
    /// # Errors
    ///
    /// What is wrong, and the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        let malformed =
            || format!("expected a part of the day, such as \"08:00-17:30\", found \"{text}\"");
        let (begin, end) = text.split_once('-').ok_or_else(malformed)?;
        let begin = minute(begin).filter(|begin| *begin < MINUTES);
        let (begin, end) = begin.zip(minute(end)).ok_or_else(malformed)?;
        if begin == end {
            return Err(format!(
                "\"{text}\" begins when it ends; leave `time` out for the whole day"
            ));
        }
        Ok(Self { begin, end })
    }

    /// The day on which the period began that is under way at `minute` of `day`; `None` if none
    /// is.
    #[must_use]
    pub const fn began(self, day: Day, minute: u16) -> Option<Day> {
        if self.begin < self.end {
            return if self.begin <= minute && minute < self.end {
                Some(day)
            } else {
                None
            };
        }
        if minute >= self.begin {
            Some(day)
        } else if minute < self.end {
            Some(day.before())
        } else {
            None
        }
    }
}

/// `hh:mm`, two digits each, `24:00` included, as minutes from midnight.
fn minute(text: &str) -> Option<u16> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let &[h1, h0, b':', m1, m0] = text.as_bytes() else {
        return None;
    };
    let (hour, minute) = (digit(h1)? * 10 + digit(h0)?, digit(m1)? * 10 + digit(m0)?);
    (minute < 60 && hour * 60 + minute <= MINUTES).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(text: &str) -> Period {
        Period::parse(text).unwrap()
    }

    #[test]
    fn within_a_day() {
        let office = period("08:00-17:30");
        let began = |minute| office.began(Day::Friday, minute);
        assert_eq!(began(8 * 60 - 1), None);
        assert_eq!(began(8 * 60), Some(Day::Friday));
        assert_eq!(began(17 * 60 + 29), Some(Day::Friday));
        assert_eq!(began(17 * 60 + 30), None);
        let late = period("17:00-24:00");
        assert_eq!(late.began(Day::Friday, MINUTES - 1), Some(Day::Friday));
        assert_eq!(late.began(Day::Saturday, 0), None);
    }

    #[test]
    fn across_midnight_it_belongs_to_the_day_it_began_on() {
        let night = period("22:00-06:00");
        assert_eq!(night.began(Day::Monday, 22 * 60), Some(Day::Monday));
        assert_eq!(night.began(Day::Monday, 0), Some(Day::Sunday));
        assert_eq!(night.began(Day::Monday, 6 * 60 - 1), Some(Day::Sunday));
        assert_eq!(night.began(Day::Monday, 6 * 60), None);
        let evening = period("22:00-00:00");
        assert_eq!(evening.began(Day::Monday, MINUTES - 1), Some(Day::Monday));
        assert_eq!(evening.began(Day::Monday, 0), None);
    }

    #[test]
    fn what_is_no_period() {
        for text in [
            "",
            "-",
            "08:00",
            "8:00-9:00",
            "08:00-25:00",
            "24:00-08:00",
            "08:60-09:00",
            "08:00-09:00 ",
            "+8:00-09:00",
            "08.00-09.00",
            "08:00-09:00-10:00",
            "08:00–09:00",
        ] {
            let said = Period::parse(text).unwrap_err();
            assert!(
                said.starts_with("expected a part of the day"),
                "{text}: {said}"
            );
        }
        assert!(
            Period::parse("08:00-08:00")
                .unwrap_err()
                .contains("begins when it ends")
        );
    }

    #[test]
    fn days() {
        let weekend: Days = [Day::Saturday, Day::Sunday].into_iter().collect();
        assert!(weekend.contains(Day::Sunday) && !weekend.contains(Day::Monday));
        assert!(!weekend.is_empty() && Days::default().is_empty());
        assert_eq!(Day::Monday.before(), Day::Sunday);
        assert_eq!(Day::Sunday.before(), Day::Saturday);
    }
}
