//! The two fields that say how long a body is (RFC 9112 §6), read so strictly that nobody can
//! read them otherwise.

use crate::http::{
    field::Field,
    syntax::{decimal, elements, is_same, is_token, trim},
};

/// What Content-Length and Transfer-Encoding say, as they are noted one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FramingFields {
    pub(super) length: Option<u64>,
    pub(super) coding: Option<Coding>,
    /// The length is written so that a reader that takes a leading zero for the sign of octal
    /// comes to another one.
    pub(super) octal: bool,
}

/// The transfer codings of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// `chunked` and nothing else.
    Chunked,
    /// Others, then `chunked`: the framing is known, what is framed is not ours to read.
    OthersThenChunked,
    /// Well-formed, without `chunked`.
    Others,
}

impl FramingFields {
    /// Takes note of `field` if it is one of the two.
    pub(super) fn note(&mut self, field: &Field<'_>, raw: &[u8]) -> Result<(), &'static str> {
        if field.is("content-length") {
            no_tabs(raw)?;
            if self.length.is_some() {
                // Identical ones too: RFC 9112 §6.3 would let us repair them, but the next reader
                // might not.
                return Err("more than one Content-Length");
            }
            let length = decimal(field.value).ok_or("Content-Length is not one decimal number")?;
            self.length = Some(length);
            self.octal = field.value.starts_with(b"0") && length > 7;
        } else if field.is("transfer-encoding") {
            no_tabs(raw)?;
            if self.coding.is_some() {
                return Err("more than one Transfer-Encoding");
            }
            self.coding = Some(coding(field.value)?);
        } else if is_framing_for_some(field.name.as_bytes()) {
            return Err("framing field with an underscore");
        }
        Ok(())
    }

    /// What both together and the version say is wrong, after all fields were noted.
    pub(super) fn check(&self, minor: u8) -> Result<(), &'static str> {
        match self {
            // §6.1: "ought to be handled as an error".
            Self {
                length: Some(_),
                coding: Some(_),
                ..
            } => Err("both Transfer-Encoding and Content-Length"),
            // §6.1: its framing is to be treated as faulty.
            Self {
                coding: Some(_), ..
            } if minor == 0 => Err("Transfer-Encoding in HTTP/1.0"),
            _ => Ok(()),
        }
    }
}

/// Is `name` Content-Length or Transfer-Encoding, or one that is taken for them by readers to
/// whom `_` is `-`, as in CGI (CVE-2024-45614)? No sender has a use for it.
pub(super) fn is_framing_for_some(name: &[u8]) -> bool {
    // Most names are told by their length alone.
    match name.len() {
        14 => is_same(name, b"content-length"),
        17 => is_same(name, b"transfer-encoding"),
        _ => false,
    }
}

/// HTAB is whitespace like SP, but there are readers that trim SP only and then see another
/// value. No sender has a use for it in these two fields.
fn no_tabs(raw: &[u8]) -> Result<(), &'static str> {
    if raw.contains(&b'\t') {
        Err("HTAB in a framing field")
    } else {
        Ok(())
    }
}

fn coding(value: &[u8]) -> Result<Coding, &'static str> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Coding::Chunked);
    }
    // An empty element may be skipped (RFC 9110 §5.6.1.2); here it would be a second reading.
    if value
        .split(|&byte| byte == b',')
        .any(|element| trim(element).is_empty())
    {
        return Err("empty element in Transfer-Encoding");
    }
    let mut chunked = false;
    for element in elements(value) {
        if chunked {
            return Err("chunked is not the last transfer coding, or is repeated");
        }
        let name = element
            .split(|&byte| byte == b';')
            .next()
            .map_or(element, trim);
        if !is_token(name) {
            return Err("transfer coding is not a token");
        }
        chunked = name.eq_ignore_ascii_case(b"chunked");
        if chunked && name.len() != element.len() {
            return Err("chunked with parameters");
        }
    }
    Ok(if chunked {
        Coding::OthersThenChunked
    } else {
        Coding::Others
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_framing() {
        for name in [
            "Content-Length",
            "CONTENT_LENGTH",
            "transfer_encoding",
            "Transfer-Encoding",
        ] {
            assert!(is_framing_for_some(name.as_bytes()), "{name}");
        }
        for name in [
            "Content-Lengti",
            "Content.Length",
            "Transfer-Encodin",
            "Content-Type",
            "",
        ] {
            assert!(!is_framing_for_some(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn transfer_codings() {
        let cases: &[(&str, Result<Coding, ()>)] = &[
            ("chunked", Ok(Coding::Chunked)),
            ("CHUNKED", Ok(Coding::Chunked)),
            ("gzip, chunked", Ok(Coding::OthersThenChunked)),
            (
                "gzip;q=\"1\",deflate,Chunked",
                Ok(Coding::OthersThenChunked),
            ),
            ("gzip", Ok(Coding::Others)),
            ("identity", Ok(Coding::Others)),
            ("xchunked", Ok(Coding::Others)),
            ("", Err(())),
            ("chunked, chunked", Err(())),
            ("chunked, gzip", Err(())),
            ("chunked, identity", Err(())),
            ("gzip, chunked, deflate", Err(())),
            ("chunked,", Err(())),
            (",chunked", Err(())),
            ("gzip,,chunked", Err(())),
            ("chunked;q=1", Err(())),
            ("gzip, chunked;", Err(())),
            ("\"chunked\"", Err(())),
            ("chunked gzip", Err(())),
            ("chunk ed", Err(())),
            (";chunked", Err(())),
        ];
        for (value, expected) in cases {
            assert_eq!(
                coding(value.as_bytes()).map_err(|_| ()),
                *expected,
                "{value:?}"
            );
        }
    }
}
