//! Answers of our own: what a rule that denies or redirects writes in the origin's place.

use super::{ConnectionFacts, RequestFacts, Rule, clock};
use crate::config::{Action, Template, Variable};

impl Rule {
    /// Appends the complete response to `out`, after which the connection is to be closed, and
    /// returns its status. `None` if the rule lets the request go on; nothing is written then.
    ///
    /// In answer to a HEAD request the content is left out, not its length (RFC 9110 §9.3.2).
    pub fn answer(
        &self,
        connection: &ConnectionFacts,
        request: &RequestFacts<'_>,
        out: &mut Vec<u8>,
    ) -> Option<u16> {
        let status = self.status()?;
        let values = Values {
            rule: self,
            connection,
            request,
        };
        let (location, page) = match &self.action {
            Action::Deny { page, .. } => {
                let page = page.as_ref().unwrap_or(Template::built_in());
                (None, values.in_html(page))
            }
            Action::Redirect { location, .. } => {
                let location = values.in_url(location);
                let page = note(status, &location);
                (Some(location), page)
            }
            Action::Allow | Action::Tunnel => return None,
        };
        let mut head = format!("HTTP/1.1 {status} {}\r\n", phrase(status));
        if let Some(location) = location {
            head += &format!("Location: {location}\r\n");
        }
        head += &format!(
            "Content-Type: text/html; charset=utf-8\r\n\
             Content-Length: {}\r\n\
             Connection: close\r\n\
             Cache-Control: no-store\r\n\r\n",
            page.len()
        );
        out.extend_from_slice(head.as_bytes());
        if !request.method.eq_ignore_ascii_case("HEAD") {
            out.extend_from_slice(page.as_bytes());
        }
        Some(status)
    }

    /// The status of its answer, if it is one that answers.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self.action {
            Action::Deny { status, .. } | Action::Redirect { status, .. } => Some(status),
            Action::Allow | Action::Tunnel => None,
        }
    }
}

/// What templates can have filled in.
struct Values<'v> {
    rule: &'v Rule,
    connection: &'v ConnectionFacts,
    request: &'v RequestFacts<'v>,
}

impl Values<'_> {
    /// As it came. Only the target can be something else than UTF-8.
    fn value(&self, variable: Variable) -> Vec<u8> {
        match variable {
            Variable::Client => self.client().into(),
            Variable::Host => self.host().into(),
            Variable::Method => self.request.method.into(),
            Variable::Reason => self.rule.reason().unwrap_or_default().into(),
            Variable::Rule => self.rule.name.as_bytes().into(),
            Variable::Status => self.rule.status().unwrap_or_default().to_string().into(),
            Variable::Target => self.request.target.into(),
            Variable::Time => clock::shown().into(),
            Variable::Url => self.url(),
        }
    }

    fn client(&self) -> String {
        self.connection.client.0.ip().to_canonical().to_string()
    }

    fn host(&self) -> String {
        let named = self.request.host.filter(|host| !host.is_empty());
        named.map_or_else(|| self.dialled(), str::to_owned)
    }

    /// What the client dialled, as a URL has it.
    fn dialled(&self) -> String {
        let mut dialled = self.connection.origin.0;
        dialled.set_ip(dialled.ip().to_canonical());
        let shown = dialled.to_string();
        shown
            .strip_suffix(":80")
            .map_or(shown.clone(), str::to_owned)
    }

    /// RFC 9110 §7.1.
    fn url(&self) -> Vec<u8> {
        let target = self.request.target;
        if !target.starts_with(b"/") && target.windows(3).any(|window| window == b"://") {
            return target.into();
        }
        let mut url = b"http://".to_vec();
        url.extend_from_slice(self.host().as_bytes());
        // Of `*` and of the `host:port` of a CONNECT, there is no more to tell.
        if target.starts_with(b"/") {
            url.extend_from_slice(target);
        }
        url
    }

    fn in_html(&self, page: &Template) -> String {
        let mut out = String::new();
        page.render(
            &mut out,
            |out, text| out.push_str(text),
            |out, variable| {
                escape_html(&String::from_utf8_lossy(&self.value(variable)), out);
            },
        );
        out
    }

    fn in_url(&self, location: &Template) -> String {
        let mut out = Vec::new();
        location.render(
            &mut out,
            |out, text| out.extend_from_slice(text.as_bytes()),
            |out, variable| escape_query(&self.value(variable), out),
        );
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// The short note with a link that RFC 9110 §15.4 wants.
fn note(status: u16, location: &str) -> String {
    let mut link = String::new();
    escape_html(location, &mut link);
    let phrase = phrase(status);
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{status} {phrase}</title>\n\
         <p>What you asked for leads to <a href=\"{link}\">{link}</a>.</p>\n"
    )
}

/// `&`, `<`, `>` and quotes as character references, which is enough in text and in quoted
/// attributes.
fn escape_html(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}

/// What is not unreserved (RFC 3986 §2.3) percent-encoded, so that it can be a value in a query.
fn escape_query(octets: &[u8], out: &mut Vec<u8>) {
    for &octet in octets {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(octet),
            _ => out.extend_from_slice(format!("%{octet:02X}").as_bytes()),
        }
    }
}

/// RFC 9110 §15 and the registry. An empty phrase is well-formed (RFC 9112 §4).
const fn phrase(status: u16) -> &'static str {
    match status {
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        406 => "Not Acceptable",
        409 => "Conflict",
        410 => "Gone",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
