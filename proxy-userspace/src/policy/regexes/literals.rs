//! Strings without which a regular expression cannot match.
//!
//! Most expressions that people write have such strings in them (`ads` in `^ads[0-9]+\.`), and
//! in most texts none of them occurs. One search for the strings of all expressions then says
//! which few expressions are to be asked at all.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// Strings in lower case. Wherever a match is, one of them is in it, in whatever case.
pub(super) type Needles = BTreeSet<Vec<u8>>;

/// More strings than this are not worth their search.
const MAX_NEEDLES: usize = 16;

/// A class of more characters divides a string in two: `ads[0-9]x` is not worth ten.
const MAX_CLASS: usize = 4;

/// Shorter strings are in almost every text.
const MIN_LEN: usize = 2;

/// All the choices there are for `meaning`, none of them empty. None: there is no such string.
pub(super) fn needles(meaning: &Hir) -> Vec<Needles> {
    let Found { exact, within } = find(meaning);
    let mut choices = within;
    choices.extend(exact);
    choices.retain(|needles| {
        !needles.is_empty() && needles.iter().all(|needle| needle.len() >= MIN_LEN)
    });
    choices
}

/// What is known of the matches of an expression.
#[derive(Default)]
struct Found {
    /// All of them, in lower case, if they are few.
    exact: Option<Needles>,
    /// Sets of which each has a member in every match.
    within: Vec<Needles>,
}

impl Found {
    fn exactly(exact: Needles) -> Self {
        Self {
            exact: Some(exact),
            within: Vec::new(),
        }
    }

    /// As part of something larger, where it is not known what stands beside it.
    fn into_within(self) -> Vec<Needles> {
        let mut within = self.within;
        within.extend(self.exact.filter(|exact| !exact.contains(&[][..])));
        within
    }
}

/// The recursion is as deep as the expression, whose nesting is limited where it is read.
fn find(meaning: &Hir) -> Found {
    match meaning.kind() {
        HirKind::Empty | HirKind::Look(_) => Found::exactly(Needles::from([Vec::new()])),
        HirKind::Literal(literal) => {
            Found::exactly(Needles::from([literal.0.to_ascii_lowercase()]))
        }
        HirKind::Class(class) => find_in_class(class),
        HirKind::Capture(capture) => find(&capture.sub),
        HirKind::Repetition(repetition) => find_in_repetition(repetition),
        HirKind::Concat(parts) => find_in_concat(parts),
        HirKind::Alternation(alternatives) => find_in_alternation(alternatives),
    }
}

fn find_in_class(class: &Class) -> Found {
    // The parser writes `(a|b)` as a class of characters in any mode.
    let class = match class {
        Class::Bytes(class) => Some(class.clone()),
        Class::Unicode(class) => class.to_byte_class(),
    };
    let Some(class) = class else {
        return Found::default();
    };
    let bytes = class.iter().flat_map(|range| range.start()..=range.end());
    let exact: Needles = bytes.map(|byte| vec![byte.to_ascii_lowercase()]).collect();
    if exact.len() > MAX_CLASS {
        return Found::default();
    }
    Found::exactly(exact)
}

fn find_in_repetition(repetition: &Repetition) -> Found {
    let found = find(&repetition.sub);
    match (repetition.min, repetition.max, found.exact) {
        (1, Some(1), exact) => Found { exact, ..found },
        (0, Some(1), Some(mut exact)) => {
            exact.insert(Vec::new());
            Found::exactly(exact)
        }
        (0, ..) => Found::default(),
        (_, _, exact) => Found {
            exact: None,
            within: Found { exact, ..found }.into_within(),
        },
    }
}

fn find_in_concat(parts: &[Hir]) -> Found {
    let nothing_yet = || Needles::from([Vec::new()]);
    let mut within = Vec::new();
    let (mut run, mut unbroken) = (nothing_yet(), true);
    let end_run = |run: Needles, within: &mut Vec<Needles>| {
        within.extend(Found::exactly(run).into_within());
    };
    for part in parts {
        let found = find(part);
        match found.exact {
            Some(exact) if run.len() * exact.len() <= MAX_NEEDLES => {
                run = run
                    .iter()
                    .flat_map(|start| exact.iter().map(|end| [&start[..], &end[..]].concat()))
                    .collect();
            }
            Some(exact) => {
                unbroken = false;
                end_run(std::mem::replace(&mut run, exact), &mut within);
            }
            None => {
                unbroken = false;
                end_run(std::mem::replace(&mut run, nothing_yet()), &mut within);
                within.extend(found.within);
            }
        }
    }
    if unbroken {
        return Found::exactly(run);
    }
    end_run(run, &mut within);
    Found {
        exact: None,
        within,
    }
}

fn find_in_alternation(alternatives: &[Hir]) -> Found {
    let found: Vec<Found> = alternatives.iter().map(find).collect();
    let exact = found.iter().map(|found| found.exact.as_ref());
    if let Some(exact) = exact.collect::<Option<Vec<_>>>() {
        let union: Needles = exact.into_iter().flatten().cloned().collect();
        if union.len() <= MAX_NEEDLES {
            return Found::exactly(union);
        }
        return Found::default();
    }
    // One set for each alternative, the one whose shortest string is longest.
    let shortest = |needles: &Needles| needles.iter().map(Vec::len).min();
    let best = found
        .into_iter()
        .map(|found| found.into_within().into_iter().max_by_key(shortest));
    let union: Option<Vec<Needles>> = best.collect();
    let union: Needles = union.into_iter().flatten().flatten().collect();
    Found {
        exact: None,
        within: if union.is_empty() || union.len() > MAX_NEEDLES {
            Vec::new()
        } else {
            vec![union]
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pattern;

    /// The choices, each with its strings joined by `|`.
    fn choices(regex: &str, ignore_case: bool) -> Vec<String> {
        let pattern = Pattern::parse(regex, ignore_case).unwrap();
        let text = |needle: &Vec<u8>| String::from_utf8(needle.clone()).unwrap();
        needles(pattern.meaning())
            .iter()
            .map(|needles| needles.iter().map(text).collect::<Vec<_>>().join("|"))
            .collect()
    }

    #[test]
    fn strings_that_must_be_there() {
        for (regex, expected) in [
            ("abc", vec!["abc"]),
            ("^ads[0-9]+\\.Example$", vec!["ads", ".example"]),
            ("\\.(exe|scr|msi)$", vec![".exe|.msi|.scr"]),
            ("https?://", vec!["http://|https://"]),
            ("(?:foo|bar)+baz", vec!["bar|foo", "baz"]),
            ("track(er|ing)-[0-9]", vec!["tracker-|tracking-"]),
            ("(^|\\.)ads\\.", vec![".ads.|ads."]),
            ("(abc[0-9]|de+fgh)x?", vec!["abc|fgh"]),
            ("gr[ae]y", vec!["gray|grey"]),
            ("ab{2}cd", vec!["cd"]),
            ("(?:abc)?[0-9]", vec![]),
            ("(abc|[0-9]+)", vec![]),
            ("[a-z]+", vec![]),
            ("a", vec![]),
            ("^$", vec![]),
        ] {
            assert_eq!(choices(regex, false), expected, "{regex}");
        }
    }

    #[test]
    fn case_does_not_matter() {
        assert_eq!(choices("ADS", true), ["ads"]);
        assert_eq!(choices("(?i)k-[0-9]x{2}s", false), ["k-"]);
    }

    #[test]
    fn what_would_be_many_is_none() {
        assert_eq!(
            choices("[a-d][a-d][a-d]x", false),
            [
                "aa|ab|ac|ad|ba|bb|bc|bd|ca|cb|cc|cd|da|db|dc|dd",
                "ax|bx|cx|dx"
            ]
        );
        let many: Vec<_> = (10..40).map(|number| number.to_string()).collect();
        assert!(choices(&many.join("|"), false).is_empty());
    }
}
