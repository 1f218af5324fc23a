//! Values of a rule that are neither conditions nor edits.

use std::{
    fs::{self, File},
    io::Read as _,
    net::IpAddr,
};

use super::{MAX_PAGE, Source, Template};
use crate::config::{
    document::{Fault, Value},
    error::locate,
    format::{fault, file, quote, string},
    nearest::nearest,
};

/// What an action is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ActionWord {
    #[default]
    Allow,
    Deny,
    Redirect,
    Tunnel,
}

impl ActionWord {
    const ALL: [(&str, Self); 4] = [
        ("allow", Self::Allow),
        ("deny", Self::Deny),
        ("redirect", Self::Redirect),
        ("tunnel", Self::Tunnel),
    ];

    pub(super) fn read(value: &Value<'_>) -> Result<Self, Fault> {
        let text = string(value, "\"allow\", \"deny\", \"redirect\" or \"tunnel\"")?;
        let named = Self::ALL.iter().find(|(word, _)| *word == text);
        let words = Self::ALL.iter().map(|(word, _)| *word);
        named.map(|(_, action)| *action).ok_or_else(|| {
            let text = quote(text);
            let remedy = match nearest(text.trim_matches('"'), words.clone()) {
                Some(word) => format!("did you mean \"{word}\"?"),
                None => format!("there are: {}", words.collect::<Vec<_>>().join(", ")),
            };
            fault(value, format!("unknown action {text}; {remedy}"))
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, action)| *action == self)
            .map_or("", |(word, _)| word)
    }
}

/// A label: one word that no log format has to quote.
pub(super) fn name(value: &Value<'_>) -> Result<String, Fault> {
    const MAX: usize = 64;
    let text = string(value, "a name")?;
    let is_label_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if text.is_empty() || text.len() > MAX || !text.bytes().all(is_label_byte) {
        return Err(fault(
            value,
            format!(
                "{} is no name: it has 1 to {MAX} letters, digits and any of - _ . :",
                quote(text)
            ),
        ));
    }
    Ok(text.to_owned())
}

/// The statuses of answers that a rule can give completely.
pub(super) fn check_status(action: ActionWord, status: u16) -> Result<(), String> {
    if action == ActionWord::Redirect {
        return match status {
            301 | 302 | 303 | 307 | 308 => Ok(()),
            _ => Err(format!(
                "expected 301, 302, 303, 307 or 308 for a redirect, found {status}"
            )),
        };
    }
    let field = match status {
        421 => {
            return Err(
                "421 is the origin's alone to answer (RFC 9110 §15.5.20); write e.g. 403"
                    .to_owned(),
            );
        }
        400..=599 => match status {
            401 => "WWW-Authenticate",
            405 => "Allow",
            407 => "Proxy-Authenticate",
            426 => "Upgrade",
            _ => return Ok(()),
        },
        _ => return Err(format!("expected a status from 400 to 599, found {status}")),
    };
    Err(format!(
        "an answer of {status} needs a field {field}, which only the origin knows; write e.g. 403"
    ))
}

/// An own address, or one for each family.
pub(super) fn source(value: &Value<'_>) -> Result<Source, Fault> {
    let one = std::slice::from_ref(value);
    let elements = value.get_ref().as_array().map_or(one, |elements| elements);
    let (mut v4, mut v6) = (None, None);
    for element in elements {
        let text = string(element, "an address of this router, such as \"192.0.2.1\"")?;
        let twice = match own_address(text).map_err(|message| fault(element, message))? {
            IpAddr::V4(address) => v4.replace(address).is_some(),
            IpAddr::V6(address) => v6.replace(address).is_some(),
        };
        if twice {
            let message = "more than one address of a family; leave one of them";
            return Err(fault(element, message));
        }
    }
    if v4.is_none() && v6.is_none() {
        return Err(fault(
            value,
            "no address; write one, or spoof = false for the one that the kernel chooses",
        ));
    }
    Ok(Source::Addresses { v4, v6 })
}

fn own_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| format!("{} is no address; write e.g. \"192.0.2.1\"", quote(text)))?;
    let canonical = address.to_canonical();
    if canonical != address {
        return Err(format!(
            "write {address} as the IPv4 address that it is: {canonical}"
        ));
    }
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || is_broadcast {
        return Err(format!("{address} is no address that packets come from"));
    }
    if address.is_loopback() {
        return Err(format!(
            "no origin can answer {address}; write one of the router's addresses"
        ));
    }
    Ok(address)
}

/// Where a redirect leads: an absolute URL.
pub(super) fn location(value: &Value<'_>) -> Result<Template, Fault> {
    const EXAMPLE: &str = "http://portal.example/?from={{url}}";
    let text = string(
        value,
        "a URL, such as \"http://portal.example/?from={{url}}\"",
    )?;
    let begins = |scheme: &str| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| begins(scheme));
    if scheme.is_none_or(|scheme| matches!(text.as_bytes().get(scheme.len()), None | Some(b'/'))) {
        let message = format!(
            "expected an absolute URL, such as \"{EXAMPLE}\", found {}",
            quote(text)
        );
        return Err(fault(value, message));
    }
    let template = Template::parse(text).map_err(|mistake| fault(value, mistake.message))?;
    // RFC 3986 §2: everything else is to be percent-encoded.
    let is_url = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
    if let Some(other) = template.texts().flat_map(str::chars).find(|c| !is_url(*c)) {
        let message = format!("a URL has no {other:?} in it; write it percent-encoded");
        return Err(fault(value, message));
    }
    Ok(template)
}

/// The page in a file.
pub(super) fn page(value: &Value<'_>) -> Result<Template, Fault> {
    let Some(path) = file::read(value)? else {
        return Err(fault(
            value,
            "expected the absolute path of a file, found \"\"",
        ));
    };
    let shown = path.display();
    let text = read_page(&path)
        .map_err(|cause| fault(value, format!("cannot use {shown} as a page: {cause}")))?;
    Template::parse(&text).map_err(|mistake| {
        let place = Fault::new(mistake.at..mistake.at, mistake.message);
        fault(value, locate(&text, &shown.to_string(), place).to_string())
    })
}

fn read_page(path: &std::path::Path) -> Result<String, String> {
    // Before it is opened: opening a pipe would wait for somebody to write to it.
    let about = fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_PAGE as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() > MAX_PAGE {
        return Err(format!("it is longer than {} KiB", MAX_PAGE / 1024));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("it is not UTF-8, from byte {at} on")
    })
}
