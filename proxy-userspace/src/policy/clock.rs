//! What the router's clock shows.

use jiff::{ZonedDateTime, civil::Weekday};

use crate::config::{Conditions, Day};

/// A minute of the week in the router's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) day: Day,
    /// From midnight.
    pub(super) minute: u16,
}

impl Moment {
    /// The zone is that of `TZ` or `/etc/localtime`, UTC if there is neither; a change of it is
    /// noticed within minutes.
    pub(super) fn now() -> Self {
        Self::of(&ZonedDateTime::now())
    }

    fn of(time: &ZonedDateTime) -> Self {
        let part = |part: i8| u16::try_from(part).unwrap_or_default();
        Self {
            day: match time.weekday() {
                Weekday::Monday => Day::Monday,
                Weekday::Tuesday => Day::Tuesday,
                Weekday::Wednesday => Day::Wednesday,
                Weekday::Thursday => Day::Thursday,
                Weekday::Friday => Day::Friday,
                Weekday::Saturday => Day::Saturday,
                Weekday::Sunday => Day::Sunday,
            },
            minute: part(time.hour()) * 60 + part(time.minute()),
        }
    }

    /// Whether the times and days of `conditions` hold. What goes on past midnight belongs to the
    /// day on which it began.
    pub(super) fn is_in(self, conditions: &Conditions) -> bool {
        let Conditions { periods, days, .. } = conditions;
        let is_day = |day| days.is_empty() || days.contains(day);
        if periods.is_empty() {
            return is_day(self.day);
        }
        let mut began = periods
            .iter()
            .filter_map(|period| period.began(self.day, self.minute));
        began.any(is_day)
    }
}

/// The time for people, such as `2026-01-31 08:15:00 +01:00`.
pub(super) fn shown() -> String {
    ZonedDateTime::now()
        .strftime("%Y-%m-%d %H:%M:%S %:z")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Period;

    #[test]
    fn the_zones_own_minute() {
        // Summer time in one zone, winter time in the other, and another day there.
        let time: ZonedDateTime = "2026-07-05T23:30:00-03:00[-03:00]".parse().unwrap();
        let sunday = Moment {
            day: Day::Sunday,
            minute: 23 * 60 + 30,
        };
        assert_eq!(Moment::of(&time), sunday);
        let elsewhere = time.with_time_zone(jiff::tz::TimeZone::fixed(jiff::tz::offset(2)));
        let monday = Moment {
            day: Day::Monday,
            minute: 4 * 60 + 30,
        };
        assert_eq!(Moment::of(&elsewhere), monday);
    }

    #[test]
    fn nights_belong_to_the_day_they_began_on() {
        let conditions = |periods: &[&str], days: &[Day]| Conditions {
            periods: periods
                .iter()
                .map(|text| Period::parse(text).unwrap())
                .collect(),
            days: days.iter().copied().collect(),
            ..Conditions::default()
        };
        let holds = |day, hour: u16, conditions: &Conditions| {
            Moment {
                day,
                minute: hour * 60,
            }
            .is_in(conditions)
        };
        let friday_night = conditions(&["12:00-13:00", "22:00-06:00"], &[Day::Friday]);
        assert!(holds(Day::Friday, 12, &friday_night));
        assert!(holds(Day::Friday, 23, &friday_night));
        assert!(holds(Day::Saturday, 5, &friday_night));
        assert!(!holds(Day::Friday, 5, &friday_night));
        assert!(!holds(Day::Saturday, 23, &friday_night));
        let sundays = conditions(&[], &[Day::Sunday]);
        assert!(holds(Day::Sunday, 0, &sundays) && !holds(Day::Monday, 0, &sundays));
        assert!(holds(Day::Monday, 7, &conditions(&[], &[])));
    }

    #[test]
    fn the_time_for_people() {
        let shown = shown();
        assert_eq!(shown.len(), "2026-01-31 08:15:00 +01:00".len(), "{shown}");
    }
}
