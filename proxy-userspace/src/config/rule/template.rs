//! Text with places to fill in: `{{client}}` and the like.

use std::sync::{Arc, LazyLock};

use crate::config::nearest::nearest;

/// Text that variables stand in. Copies share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Arc<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Variable),
}

/// What can be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The client's address.
    Client,
    /// The host that the request names, as it names it, or the address that was dialled.
    Host,
    /// The request's method.
    Method,
    /// Why: the word of the access log.
    Reason,
    /// The rule's name.
    Rule,
    /// The status of the answer.
    Status,
    /// The request's target as it stands in the request line.
    Target,
    /// The time on the router, such as `2026-01-31 08:15:00 +01:00`.
    Time,
    /// The URL that was asked for.
    Url,
}

/// How long the file of a page may be, bytes.
pub const MAX_PAGE: usize = 64 * 1024;

const VARIABLES: [(&str, Variable); 9] = [
    ("client", Variable::Client),
    ("host", Variable::Host),
    ("method", Variable::Method),
    ("reason", Variable::Reason),
    ("rule", Variable::Rule),
    ("status", Variable::Status),
    ("target", Variable::Target),
    ("time", Variable::Time),
    ("url", Variable::Url),
];

/// Where a template is wrong, in bytes from its beginning, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) at: usize,
    pub(super) message: String,
}

impl Template {
    /// Reads a template.
    pub(super) fn parse(text: &str) -> Result<Self, Mistake> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{{") {
            let at = text.len() - behind.len() - 2;
            let mistake = |message| Mistake { at, message };
            let (name, after) = behind
                .split_once("}}")
                .ok_or_else(|| mistake("\"{{\" without \"}}\"".to_owned()))?;
            let value = variable(name.trim()).map_err(mistake)?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Value(value));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self {
            pieces: pieces.into(),
        })
    }

    /// The page of rules that deny and have none of their own; it is a page like any other.
    #[must_use]
    pub fn built_in() -> &'static Self {
        static PAGE: LazyLock<Template> = LazyLock::new(|| {
            // A mistake in it is one of ours, and found by the test.
            Template::parse(include_str!("denied.html")).unwrap_or(Template {
                pieces: Arc::default(),
            })
        });
        &PAGE
    }

    /// Goes through the template in its order, with `sink` for the text and the values of it.
    pub fn render<S>(
        &self,
        sink: &mut S,
        text: impl Fn(&mut S, &str),
        value: impl Fn(&mut S, Variable),
    ) {
        for piece in &*self.pieces {
            match piece {
                Piece::Text(piece) => text(sink, piece),
                Piece::Value(variable) => value(sink, *variable),
            }
        }
    }

    /// The text without the values.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Value(_) => None,
        })
    }
}

fn variable(name: &str) -> Result<Variable, String> {
    if let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == name) {
        return Ok(*variable);
    }
    let names = VARIABLES.iter().map(|(known, _)| *known);
    Err(match nearest(name, names.clone()) {
        Some(known) => {
            format!("unknown variable {{{{{name}}}}}; did you mean {{{{{known}}}}}?")
        }
        None => {
            let known: Vec<_> = names.collect();
            format!(
                "unknown variable {{{{{name}}}}}; there are: {}",
                known.join(", ")
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> String {
        let mut out = String::new();
        Template::parse(text).unwrap().render(
            &mut out,
            |out, text| out.push_str(text),
            |out, variable| out.push_str(&format!("<{variable:?}>")),
        );
        out
    }

    #[test]
    fn values_stand_in_their_places() {
        assert_eq!(rendered(""), "");
        assert_eq!(rendered("a { } }} b"), "a { } }} b");
        assert_eq!(rendered("{{client}}"), "<Client>");
        assert_eq!(rendered("a{{ url }}b{{url}}{{time}}"), "a<Url>b<Url><Time>");
        for (name, variable) in VARIABLES {
            assert_eq!(
                rendered(&format!("{{{{{name}}}}}")),
                format!("<{variable:?}>")
            );
        }
    }

    #[test]
    fn the_built_in_page_is_a_template() {
        let parsed = Template::parse(include_str!("denied.html")).unwrap();
        assert_eq!(Template::built_in(), &parsed);
        assert!(parsed.pieces.contains(&Piece::Value(Variable::Url)));
    }

    #[test]
    fn mistakes_have_a_place() {
        let mistake = |text| Template::parse(text).unwrap_err();
        let unknown = mistake("ab{{clinet}}");
        assert_eq!(unknown.at, 2);
        assert_eq!(
            unknown.message,
            "unknown variable {{clinet}}; did you mean {{client}}?"
        );
        assert!(
            mistake("{{x}}")
                .message
                .contains("there are: client, host, method")
        );
        assert_eq!(mistake("{{url}} {{url").at, 8);
        assert_eq!(mistake("{{{url}}").at, 0);
    }
}
