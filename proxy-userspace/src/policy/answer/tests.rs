use super::*;
use crate::{
    addr::{ClientAddr, OriginAddr},
    config::Config,
    http::{HeadLimits, RequestContext, ResponseFraming, parse_response},
    policy::Policy,
};

fn connection(origin: &str) -> ConnectionFacts {
    ConnectionFacts {
        client: ClientAddr("[::ffff:10.0.0.2]:50000".parse().unwrap()),
        origin: OriginAddr(origin.parse().unwrap()),
    }
}

/// The answer of the only rule in `toml`, with its status.
fn answered(toml: &str, request: &RequestFacts<'_>) -> (u16, String) {
    let config = Config::parse(toml, "weir.toml").unwrap();
    let policy = Policy::compile(&config.rules).unwrap();
    let connection = connection("203.0.113.7:80");
    let rule = policy.of_request(&connection, request).unwrap();
    let mut out = b"before".to_vec();
    let status = rule.answer(&connection, request, &mut out).unwrap();
    assert_eq!(rule.status(), Some(status));
    (status, String::from_utf8(out.split_off(6)).unwrap())
}

fn get<'r>(host: &'r str, target: &'r str) -> RequestFacts<'r> {
    RequestFacts {
        method: "GET",
        host: Some(host),
        target: target.as_bytes(),
    }
}

/// The body, once it is clear that the answer can be read in one way only.
#[track_caller]
fn body(answer: &str) -> &str {
    let limits = HeadLimits {
        head_bytes: 128 * 1024,
        fields: 16,
    };
    let request = RequestContext {
        minor: 1,
        ..RequestContext::default()
    };
    let head = parse_response(answer.as_bytes(), &limits, &request)
        .unwrap()
        .unwrap();
    assert!(!head.persistent);
    assert!(matches!(head.framing, ResponseFraming::Length(_)));
    let body = &answer[head.len..];
    let progress = head
        .decoder(answer.as_bytes())
        .advance(body.as_bytes())
        .unwrap();
    assert!(progress.done && progress.consumed() == body.len());
    body
}

#[test]
fn every_status_has_a_whole_answer() {
    let deny = (400..600).filter(|status| ![401, 405, 407, 421, 426].contains(status));
    for status in deny {
        let toml = format!("[[rule]]\naction = \"deny\"\nstatus = {status}\n");
        let (told, answer) = answered(&toml, &get("a.example", "/x?<y>"));
        assert_eq!(told, status);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")));
        assert!(answer.contains("\r\nCache-Control: no-store\r\n"));
        let body = body(&answer);
        assert!(
            body.contains("GET http://a.example/x?&lt;y&gt;</dd>"),
            "{body}"
        );
        assert!(body.contains("rule-1 (denied)"), "{body}");
        assert!(body.contains("<dd>10.0.0.2</dd>"), "{body}");
    }
    for status in [301, 302, 303, 307, 308] {
        let toml = format!(
            "[[rule]]\naction = \"redirect\"\nlocation = \"http://p.example/\"\nstatus = {status}\n"
        );
        let (told, answer) = answered(&toml, &get("a.example", "/"));
        assert_eq!(told, status);
        assert!(answer.contains("\r\nLocation: http://p.example/\r\n"));
        assert!(body(&answer).contains("<a href=\"http://p.example/\">"));
    }
}

#[test]
fn as_it_looks() {
    let toml = "[[rule]]\naction = \"redirect\"\nlocation = \"http://p.example/?{{url}}&a\"\n";
    let (_, answer) = answered(toml, &get("a.example:8080", "/x?y=ü z"));
    let location = "http://p.example/?http%3A%2F%2Fa.example%3A8080%2Fx%3Fy%3D%C3%BC%20z&";
    let expected = format!(
        "HTTP/1.1 302 Found\r\n\
         Location: {location}a\r\n\
         Content-Type: text/html; charset=utf-8\r\n\
         Content-Length: 264\r\n\
         Connection: close\r\n\
         Cache-Control: no-store\r\n\r\n\
         <!doctype html>\n<meta charset=\"utf-8\">\n<title>302 Found</title>\n\
         <p>What you asked for leads to <a href=\"{location}amp;a\">{location}amp;a</a>.</p>\n"
    );
    assert_eq!(answer, expected);
}

#[test]
fn a_head_request_is_answered_without_content() {
    let toml = "[[rule]]\naction = \"deny\"\n";
    for method in ["HEAD", "head"] {
        let request = RequestFacts {
            method,
            ..get("a.example", "/")
        };
        let (_, answer) = answered(toml, &request);
        assert!(answer.ends_with("\r\n\r\n"));
        assert!(!answer.contains("Content-Length: 0\r\n"));
    }
}

#[test]
fn own_pages_have_their_values_filled_in_and_escaped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("page.html");
    let page = "{{status}} {{client}} '{{host}}' {{method}} {{rule}} {{reason}} \"{{target}}\"\n";
    std::fs::write(&path, page).unwrap();
    let toml = format!(
        "[[rule]]\nname = \"r\"\naction = \"deny\"\nstatus = 451\npage = \"{}\"\n",
        path.display()
    );
    let (_, answer) = answered(&toml, &get("a.example:81", "/'\"<script>&"));
    assert_eq!(
        body(&answer),
        "451 10.0.0.2 'a.example:81' GET r denied \"/&#39;&quot;&lt;script&gt;&amp;\"\n"
    );
    let request = RequestFacts {
        method: "GET",
        host: None,
        target: b"/\xff",
    };
    let (_, answer) = answered(&toml, &request);
    assert!(body(&answer).contains("'203.0.113.7'"));
    assert!(body(&answer).contains("\"/\u{fffd}\""));
}

#[test]
fn nothing_that_a_client_sends_ends_a_line_of_the_head() {
    let toml = "[[rule]]\naction = \"redirect\"\nlocation = \"http://p/?{{target}}{{host}}\"\n";
    let (_, answer) = answered(toml, &get("a\r\nX: y", "/\r\n\r\n<p>"));
    assert!(answer.starts_with(
        "HTTP/1.1 302 Found\r\nLocation: http://p/?%2F%0D%0A%0D%0A%3Cp%3Ea%0D%0AX%3A%20y\r\n"
    ));
    body(&answer);
}

#[test]
fn the_url_that_was_asked_for() {
    let config = Config::parse("[[rule]]", "weir.toml").unwrap();
    let rule = Rule::from(&config.rules[0]);
    let url = |origin: &str, host: Option<&str>, target: &str| {
        let connection = connection(origin);
        let request = RequestFacts {
            method: "GET",
            host,
            target: target.as_bytes(),
        };
        let values = Values {
            rule: &rule,
            connection: &connection,
            request: &request,
        };
        String::from_utf8(values.url()).unwrap()
    };
    let v4 = "203.0.113.7:80";
    assert_eq!(url(v4, Some("a.example"), "/x?y"), "http://a.example/x?y");
    assert_eq!(
        url(v4, Some("a.example"), "http://a.example/z"),
        "http://a.example/z"
    );
    assert_eq!(url(v4, Some("a.example"), "*"), "http://a.example");
    assert_eq!(url(v4, Some(""), "/"), "http://203.0.113.7/");
    assert_eq!(
        url("203.0.113.7:8080", None, "/"),
        "http://203.0.113.7:8080/"
    );
    assert_eq!(url("[2001:db8::7]:80", None, "/"), "http://[2001:db8::7]/");
    assert_eq!(
        url(v4, Some("a.example"), "/?u=http://b"),
        "http://a.example/?u=http://b"
    );
}

#[test]
fn what_goes_on_is_not_answered() {
    let config = Config::parse("[[rule]]", "weir.toml").unwrap();
    let mut out = Vec::new();
    let request = get("a.example", "/");
    let status =
        Rule::from(&config.rules[0]).answer(&connection("203.0.113.7:80"), &request, &mut out);
    assert!(status.is_none() && out.is_empty());
}
