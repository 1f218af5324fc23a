//! Regular expressions, read and weighed but not compiled yet.

use regex_automata::nfa::thompson;
use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind},
};

/// A regular expression in the syntax of the `regex` crate, without Unicode: what it is compared
/// with is ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    meaning: Hir,
}

/// Bytes of an automaton with a state for each place in the pattern. Some 2,000 places fit; what
/// is larger is a list that should be written as one, or a repetition that multiplies.
const MAX_SIZE: usize = 64 * 1024;

/// Parentheses within parentheses.
const MAX_NESTING: u32 = 50;

impl Pattern {
    /// Reads an expression; it is unanchored unless it says otherwise.
    ///
    /// # Errors
    ///
    /// What is wrong, and the remedy.
    pub fn parse(text: &str, ignore_case: bool) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the regex is empty and would match everything".to_owned());
        }
        if !text.is_ascii() {
            let remedy = "write xn--… for a host, %C3%A9 for a path's é";
            return Err(format!(
                "a regex is ASCII, as hosts and paths are; {remedy}"
            ));
        }
        let meaning = ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .case_insensitive(ignore_case)
            .nest_limit(MAX_NESTING)
            .build()
            .parse(text)
            .map_err(|error| format!("\"{text}\" is no regex: {}", cause(&error)))?;
        if is_unicode(&meaning) {
            return Err(format!(
                "\"{text}\" asks for Unicode, but hosts and paths are ASCII"
            ));
        }
        let size = thompson::Config::new()
            .utf8(false)
            .which_captures(thompson::WhichCaptures::None)
            .nfa_size_limit(Some(MAX_SIZE));
        match thompson::Compiler::new()
            .configure(size)
            .build_from_hir(&meaning)
        {
            Ok(_) => Ok(Self {
                text: text.to_owned(),
                meaning,
            }),
            Err(_) => Err(format!(
                "the regex is too large: it needs more than {} KiB; \
                 divide it, or write its alternatives as a list",
                MAX_SIZE / 1024
            )),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it means.
    #[must_use]
    pub fn meaning(&self) -> &Hir {
        &self.meaning
    }
}

/// Whether an inline flag has put any of it into Unicode mode, so that it is about more than ASCII.
fn is_unicode(meaning: &Hir) -> bool {
    match meaning.kind() {
        HirKind::Empty | HirKind::Literal(_) => false,
        HirKind::Class(Class::Bytes(_)) => false,
        HirKind::Class(Class::Unicode(class)) => !class.is_ascii(),
        HirKind::Look(_) => meaning.properties().look_set().contains_word_unicode(),
        HirKind::Repetition(repetition) => is_unicode(&repetition.sub),
        HirKind::Capture(capture) => is_unicode(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(is_unicode),
    }
}

/// In one line, with the place in the expression. The crate's own messages draw a picture.
fn cause(error: &regex_syntax::Error) -> String {
    let (kind, column) = match error {
        regex_syntax::Error::Parse(error) => (error.kind().to_string(), error.span().start.column),
        regex_syntax::Error::Translate(error) => {
            (error.kind().to_string(), error.span().start.column)
        }
        other => return other.to_string(),
    };
    format!("{kind} (character {column} of it)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn said(text: &str) -> String {
        Pattern::parse(text, false).unwrap_err()
    }

    #[test]
    fn mistakes_are_told_in_one_line() {
        assert_eq!(
            said("a(b"),
            "\"a(b\" is no regex: unclosed group (character 2 of it)"
        );
        assert!(said("[b-a]").contains("invalid character class range"));
        assert!(said("x{2,1}").contains("is no regex: "));
        assert!(said("(?=x)").contains("look-around"));
        assert!(said("\\p{L}").contains("is no regex: "));
        assert!(said("").contains("empty"));
        assert!(said("é").contains("ASCII"));
        for text in ["a(b", "(?=x)", "\\p{L}", "x(?u:\\w)", "(?u)a\\b"] {
            assert!(!said(text).contains('\n'), "{text}");
        }
    }

    #[test]
    fn what_would_be_too_large_is_refused() {
        assert!(said("(a{100}){100}").contains("too large"));
        assert!(said(&"(".repeat(60)).contains("is no regex"));
        let nested = format!("{}x{}", "(".repeat(60), ")".repeat(60));
        assert!(said(&nested).contains("is no regex"));
        for text in ["(a{20}){20}", "(a|b)", "(?i)k", "[^a].\\w\\b"] {
            assert!(Pattern::parse(text, true).is_ok(), "{text}");
        }
    }
}
