//! A line's words.

use std::borrow::Cow;

/// A word, and where it begins in its line, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) at: usize,
    pub(super) text: &'a str,
}

/// A word, and what it says.
pub(super) type Value<'a> = (Word<'a>, Cow<'a, str>);

/// Goes through a line word by word. Blanks and tabs part words; a word that begins with `#` or
/// `;` is a comment, and the end.
#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    line: &'a str,
    /// Where to go on, in bytes.
    at: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { line, at: 0 }
    }

    /// The next word as it stands there.
    pub(super) fn plain(&mut self) -> Option<Word<'a>> {
        let rest = self.rest();
        if rest.is_empty() || rest.starts_with(COMMENT) {
            return None;
        }
        let length = rest.find(BLANK).unwrap_or(rest.len());
        Some(self.take(length))
    }

    /// The next word, and what it says: what is in the quotes if it has some.
    ///
    /// # Errors
    ///
    /// Where quotes are opened and not closed, or closed within a word; with the remedy.
    pub(super) fn value(&mut self) -> Result<Option<Value<'a>>, (usize, String)> {
        let rest = self.rest();
        let Some(quoted) = rest.strip_prefix('"') else {
            return Ok(self.plain().map(|word| (word, Cow::Borrowed(word.text))));
        };
        let mut escaped = false;
        let closing = quoted.bytes().position(|byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        });
        let Some(closing) = closing else {
            return Err((
                self.at,
                "the quote is not closed; write \" behind it".to_owned(),
            ));
        };
        let word = self.take(closing + 2);
        if !self.line[self.at..].is_empty() && !self.line[self.at..].starts_with(BLANK) {
            return Err((
                word.at,
                "a blank is expected behind the closing quote".to_owned(),
            ));
        }
        let inner = &quoted[..closing];
        let text = if inner.contains('\\') {
            Cow::Owned(unescaped(inner))
        } else {
            Cow::Borrowed(inner)
        };
        Ok(Some((word, text)))
    }

    /// The comment that the words end with, without what begins it.
    pub(super) fn comment(&mut self) -> Option<Word<'a>> {
        let text = self.rest().strip_prefix(COMMENT)?;
        Some(Word { at: self.at, text })
    }

    /// What is left, from the next word on.
    fn rest(&mut self) -> &'a str {
        let rest = &self.line[self.at..];
        let rest = rest.trim_start_matches(BLANK);
        self.at = self.line.len() - rest.len();
        rest
    }

    fn take(&mut self, length: usize) -> Word<'a> {
        let at = self.at;
        self.at += length;
        let text = &self.line[at..self.at];
        Word { at, text }
    }
}

const BLANK: [char; 2] = [' ', '\t'];

const COMMENT: [char; 2] = ['#', ';'];

/// `text` with every `\x` as `x`.
fn unescaped(text: &str) -> String {
    let mut characters = text.chars();
    std::iter::from_fn(|| match characters.next()? {
        '\\' => characters.next(),
        other => Some(other),
    })
    .collect()
}
