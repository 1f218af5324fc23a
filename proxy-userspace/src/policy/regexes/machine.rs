//! Automata for one expression or several.

use regex_automata::{
    Input, MatchKind, PatternSet,
    dfa::{Automaton as _, StartKind, dense},
    meta,
    nfa::thompson,
};
use regex_syntax::hir::Hir;

use crate::{config::Pattern, policy::PolicyError};

/// Says which of its expressions match a text.
#[derive(Debug)]
pub(super) struct Machine {
    engine: Engine,
    /// What its expressions are called outside.
    numbers: Box<[u32]>,
}

#[derive(Debug)]
enum Engine {
    /// A complete automaton: nothing is made while it runs, and every octet is one step.
    Dense(Box<dense::DFA<Vec<u32>>>),
    /// For an expression whose complete automaton would be too large. Linear as well, but it
    /// makes states as it goes and keeps them in a cache of its own for each thread.
    Lazy(meta::Regex),
}

/// Bytes of a complete automaton, and of what is needed to make it.
const MAX_DENSE: usize = 256 * 1024;
/// The same where several expressions share one: what does not fit is divided.
const MAX_SHARED: usize = 64 * 1024;
/// Bytes of the cache of a lazy one.
const MAX_CACHE: usize = 256 * 1024;
/// Bytes of what a lazy one is made from. Patterns are weighed before, so that it suffices.
const MAX_LAZY: usize = 1024 * 1024;

impl Machine {
    /// As few machines for all of the expressions as are reasonable.
    pub(super) fn for_all(
        expressions: &[(u32, &Pattern)],
        machines: &mut Vec<Self>,
    ) -> Result<(), PolicyError> {
        if expressions.is_empty() {
            return Ok(());
        }
        let limit = if expressions.len() == 1 {
            MAX_DENSE
        } else {
            MAX_SHARED
        };
        let meanings: Vec<&Hir> = expressions
            .iter()
            .map(|(_, regex)| regex.meaning())
            .collect();
        let engine = match (dense(&meanings, limit), expressions) {
            (Ok(dfa), _) => Engine::Dense(Box::new(dfa)),
            (Err(_), [(_, only)]) => Engine::Lazy(lazy(only)?),
            (Err(_), _) => {
                let (left, right) = expressions.split_at(expressions.len() / 2);
                Self::for_all(left, machines)?;
                return Self::for_all(right, machines);
            }
        };
        machines.push(Self {
            engine,
            numbers: expressions.iter().map(|(number, _)| *number).collect(),
        });
        Ok(())
    }

    /// Calls `found` with the number of each expression that matches. `set` is room for them.
    pub(super) fn run(&self, text: &[u8], set: &mut PatternSet, mut found: impl FnMut(u32)) {
        let input = Input::new(text).earliest(true);
        match (&self.engine, &*self.numbers) {
            // Neither kind of search can fail: there is an unanchored start, and no octet that an
            // automaton would rather not see.
            (Engine::Dense(dfa), [only]) => {
                if dfa.try_search_fwd(&input).is_ok_and(|at| at.is_some()) {
                    found(*only);
                }
            }
            (Engine::Dense(dfa), several) => {
                set.clear();
                let input = Input::new(text);
                if dfa.try_which_overlapping_matches(&input, set).is_ok() {
                    set.iter()
                        .filter_map(|id| several.get(id.as_usize()))
                        .for_each(|n| found(*n));
                }
            }
            (Engine::Lazy(regex), numbers) => {
                if regex.is_match(input) {
                    numbers.iter().for_each(|number| found(*number));
                }
            }
        }
    }

    /// How many expressions it has.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }
}

fn dense(
    meanings: &[&Hir],
    limit: usize,
) -> Result<dense::DFA<Vec<u32>>, Box<dyn std::error::Error>> {
    let nfa = thompson::Compiler::new()
        .configure(
            thompson::Config::new()
                .utf8(false)
                .which_captures(thompson::WhichCaptures::None),
        )
        .build_many_from_hir(meanings)?;
    let config = dense::Config::new()
        .start_kind(StartKind::Unanchored)
        .match_kind(MatchKind::All)
        .dfa_size_limit(Some(limit))
        .determinize_size_limit(Some(limit));
    Ok(dense::Builder::new()
        .configure(config)
        .build_from_nfa(&nfa)?)
}

fn lazy(regex: &Pattern) -> Result<meta::Regex, PolicyError> {
    let config = meta::Config::new()
        .utf8_empty(false)
        .which_captures(thompson::WhichCaptures::None)
        .nfa_size_limit(Some(MAX_LAZY))
        .hybrid_cache_capacity(MAX_CACHE);
    meta::Builder::new()
        .configure(config)
        .build_from_hir(regex.meaning())
        .map_err(|error| PolicyError::Regex {
            regex: regex.as_str().to_owned(),
            cause: error.to_string(),
        })
}
