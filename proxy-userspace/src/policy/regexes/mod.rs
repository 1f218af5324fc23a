//! Many regular expressions at once: which of them match a text?
//!
//! 1. One Aho-Corasick search finds the strings (`literals.rs`) without which expressions cannot
//!    match. It is one step for each octet, however many strings there are.
//! 2. The machines (`machine.rs`) of those strings are run, in most texts none or one, and those of
//!    the expressions that need no string. The latter share machines as far as that does not make
//!    these explode.
//!
//! Time is linear in the text for any expression; while deciding, nothing is allocated.

mod bits;
mod literals;
mod machine;

use std::collections::{BTreeMap, HashMap};

use aho_corasick::{AhoCorasick, MatchKind};
use regex_automata::PatternSet;

use self::{
    bits::BitSet,
    literals::{Needles, needles},
    machine::Machine,
};
use super::PolicyError;
use crate::config::Pattern;

/// Expressions, numbered from 0.
#[derive(Debug)]
pub(super) struct Regexes {
    count: usize,
    search: Option<AhoCorasick>,
    /// For each string of the search: its machines.
    of_needle: Box<[Box<[u32]>]>,
    /// The first so many machines are run for every text.
    unconditional: usize,
    machines: Box<[Machine]>,
    /// Most expressions of a machine.
    largest: usize,
}

/// The expressions that matched, and room for finding that out. One may serve several
/// [`Regexes`] in turn.
#[derive(Debug)]
pub(super) struct Matches {
    set: BitSet,
    run: BitSet,
    shared: PatternSet,
}

/// Expressions that share a machine at most: more would share little and cost more to make.
const SHARED: usize = 16;

impl Regexes {
    /// Compiles expressions; their places in `patterns` are their numbers.
    pub(super) fn compile(patterns: &[&Pattern]) -> Result<Self, PolicyError> {
        let mut unconditional = Vec::new();
        let mut conditional: BTreeMap<Needles, Vec<u32>> = BTreeMap::new();
        let choices: Vec<_> = patterns
            .iter()
            .map(|pattern| needles(pattern.meaning()))
            .collect();
        let popularity = popularity(&choices);
        let cost = |needles: &&Needles| cost(needles, &popularity);
        for (number, choices) in (0..).zip(&choices) {
            match choices.iter().min_by(|a, b| cost(a).total_cmp(&cost(b))) {
                Some(needles) => conditional.entry(needles.clone()).or_default().push(number),
                None => unconditional.push(number),
            }
        }

        let mut machines = Vec::new();
        machines_for(&unconditional, patterns, &mut machines)?;
        let unconditional = machines.len();
        let mut of_needle: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
        for (needles, numbers) in conditional {
            let first = machines.len();
            machines_for(&numbers, patterns, &mut machines)?;
            for needle in needles {
                let these = (0..).take(machines.len()).skip(first);
                of_needle.entry(needle).or_default().extend(these);
            }
        }
        Ok(Self {
            count: patterns.len(),
            search: search(of_needle.keys())?,
            of_needle: of_needle.into_values().map(Vec::into_boxed_slice).collect(),
            unconditional,
            largest: machines.iter().map(Machine::len).max().unwrap_or(0),
            machines: machines.into_boxed_slice(),
        })
    }

    /// Finds those that match `text`.
    pub(super) fn find(&self, text: &[u8], matches: &mut Matches) {
        let Matches { set, run, shared } = matches;
        set.clear(self.count);
        run.clear(self.machines.len());
        if shared.capacity() < self.largest {
            *shared = PatternSet::new(self.largest);
        }
        let (always, _) = self.machines.split_at(self.unconditional);
        for machine in always {
            machine.run(text, shared, |number| set.insert(number));
        }
        let Some(search) = &self.search else {
            return;
        };
        for found in search.find_overlapping_iter(text) {
            for number in &self.of_needle[found.pattern().as_usize()] {
                if !run.contains(*number) {
                    run.insert(*number);
                    let machine = &self.machines[*number as usize];
                    machine.run(text, shared, |number| set.insert(number));
                }
            }
        }
    }
}

impl Matches {
    pub(super) fn new() -> Self {
        Self {
            set: BitSet::default(),
            run: BitSet::default(),
            shared: PatternSet::new(0),
        }
    }

    /// None.
    pub(super) fn clear(&mut self, regexes: &Regexes) {
        self.set.clear(regexes.count);
    }

    /// Whether the expression of this number matches.
    pub(super) fn contains(&self, number: u32) -> bool {
        self.set.contains(number)
    }

    /// The numbers of those that match.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.set.iter()
    }
}

fn machines_for(
    numbers: &[u32],
    patterns: &[&Pattern],
    machines: &mut Vec<Machine>,
) -> Result<(), PolicyError> {
    for numbers in numbers.chunks(SHARED) {
        let expression = |number: &u32| (*number, patterns[*number as usize]);
        let expressions: Vec<_> = numbers.iter().map(expression).collect();
        Machine::for_all(&expressions, machines)?;
    }
    Ok(())
}

fn search<'n>(
    needles: impl Iterator<Item = &'n Vec<u8>>,
) -> Result<Option<AhoCorasick>, PolicyError> {
    let needles: Vec<_> = needles.collect();
    if needles.is_empty() {
        return Ok(None);
    }
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .build(needles)
        .map(Some)
        .map_err(|error| PolicyError::Search(error.to_string()))
}

/// How many expressions might be looked for by each string.
fn popularity(choices: &[Vec<Needles>]) -> HashMap<&[u8], u32> {
    let mut popularity = HashMap::new();
    for needle in choices.iter().flatten().flatten() {
        *popularity.entry(&needle[..]).or_default() += 1;
    }
    popularity
}

/// How many machines a text has to run on account of `needles`, roughly: a string that is longer
/// by a character is in a quarter of the texts, down to where it does not matter any more.
fn cost(needles: &Needles, popularity: &HashMap<&[u8], u32>) -> f64 {
    let of_one = |needle: &Vec<u8>| {
        let popularity = popularity.get(&needle[..]).copied().unwrap_or_default();
        f64::from(popularity) * needle.iter().take(8).fold(1.0, |share, _| share / 4.0)
    };
    needles.iter().map(of_one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts
            .iter()
            .map(|text| Pattern::parse(text, false).unwrap())
            .collect()
    }

    #[track_caller]
    fn check(texts: &[&str], cases: &[(&str, &[u32])]) -> Regexes {
        let patterns = patterns(texts);
        let regexes = Regexes::compile(&patterns.iter().collect::<Vec<_>>()).unwrap();
        let mut matches = Matches::new();
        for (text, expected) in cases {
            regexes.find(text.as_bytes(), &mut matches);
            assert_eq!(matches.iter().collect::<Vec<_>>(), *expected, "{text}");
        }
        regexes
    }

    #[test]
    fn each_that_matches_is_found() {
        let texts = [
            "^ads[0-9]+\\.",
            "\\.exe$",
            "^[0-9]+$",
            "(?i)BANNER",
            "^[a-f]+$",
            "ads|tracker",
        ];
        check(
            &texts,
            &[
                ("ads7.example", &[0, 5]),
                ("ads.example", &[5]),
                ("tracker.exe", &[1, 5]),
                ("banner", &[3]),
                ("BaNNer.exe", &[1, 3]),
                ("123", &[2]),
                ("abc", &[4]),
                ("", &[]),
                ("xyz", &[]),
            ],
        );
    }

    #[test]
    fn an_expression_that_needs_no_string_is_never_skipped() {
        let regexes = check(
            &["^[a-z]$", "^$", "x?"],
            &[("q", &[0, 2]), ("", &[1, 2]), ("QQ", &[2])],
        );
        assert!(regexes.search.is_none());
        assert_eq!(regexes.machines.len(), 1, "they share a machine");
    }

    #[test]
    fn what_explodes_is_divided_or_made_lazily() {
        // Complete automata remember which of the last letters were an `a`: 2^n states.
        let explosive: Vec<_> = (8..24).map(|n| format!("[a-c]*a[a-c]{{{n}}}$")).collect();
        let texts: Vec<_> = explosive.iter().map(String::as_str).collect();
        let all: Vec<u32> = (0..16).collect();
        let text = "a".repeat(25);
        let regexes = check(
            &texts,
            &[
                ("bbbbbbbbbbbb", &[]),
                (&text, &all),
                ("aaaaaaaaaa", &[0, 1]),
            ],
        );
        assert!(regexes.machines.len() > 8);
    }

    #[test]
    fn strings_that_many_share_are_avoided() {
        let numbered: Vec<_> = (0..100)
            .map(|n| format!("^/wp-content/plugins/[a-z]+/n{n}x\\.php$"))
            .collect();
        let texts: Vec<_> = numbered.iter().map(String::as_str).collect();
        let regexes = check(
            &texts,
            &[
                ("/wp-content/plugins/a/n42x.php", &[42]),
                ("/wp-content/", &[]),
            ],
        );
        assert!(regexes.of_needle.iter().all(|machines| machines.len() == 1));
        assert_eq!(regexes.unconditional, 0);
    }

    #[test]
    fn none_is_fine() {
        check(&[], &[("", &[]), ("x", &[])]);
    }
}
