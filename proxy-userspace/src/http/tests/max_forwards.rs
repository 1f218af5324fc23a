//! How far a TRACE or OPTIONS goes (RFC 9110 §7.6.2).

use super::{GET, get, request, response};
use crate::http::{Edits, ResponseFraming};

#[test]
fn read_on_trace_and_options_only() {
    let last = |method: &str, fields: &str| {
        request(format!("{method} * HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
            .map(|head| head.is_final_recipient())
            .map_err(|refusal| refusal.status)
    };
    for method in ["TRACE", "OPTIONS"] {
        assert_eq!(last(method, ""), Ok(false));
        assert_eq!(last(method, "Max-Forwards: 1\r\n"), Ok(false));
        assert_eq!(last(method, "max-forwards:0 \r\n"), Ok(true));
        assert_eq!(last(method, "Max-Forwards: 00\r\n"), Ok(true));
        for bad in [
            "",
            "-1",
            "x",
            "0, 0",
            "0\r\nMax-Forwards: 0",
            "5\r\nMax-Forwards: 0",
        ] {
            let fields = format!("Max-Forwards: {bad}\r\n");
            assert_eq!(last(method, &fields), Err(400), "{bad:?}");
        }
    }
    for method in ["GET", "trace", "PROPFIND"] {
        assert_eq!(last(method, "Max-Forwards: 0\r\n"), Ok(false), "{method}");
        assert_eq!(last(method, "Max-Forwards: x\r\n"), Ok(false), "{method}");
    }
}

#[test]
fn final_answers() {
    let answer = |head: &str| {
        let mut out = Vec::new();
        request(head)
            .unwrap()
            .write_final_answer(head.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    };
    let head = "TRACE /x HTTP/1.1\r\nHost: a\r\nCookie: b\r\nmax-forwards: 0\r\n\
        Proxy-Authorization: c\r\nX-Api-Key: d\r\nVia:  1.1 e\r\n\r\n";
    let seen = "TRACE /x HTTP/1.1\r\nHost: a\r\nmax-forwards: 0\r\nVia:  1.1 e\r\n\r\n";
    let traced = answer(head);
    assert_eq!(
        traced,
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: message/http\r\nContent-Length: 60\r\n\
            Connection: close\r\n\r\n{seen}"
        )
    );
    let parsed = response(&traced, GET).unwrap();
    assert_eq!(parsed.framing, ResponseFraming::Length(seen.len() as u64));
    let options = answer("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    let parsed = response(&options, GET).unwrap();
    assert_eq!((parsed.status, parsed.persistent), (200, false));
    assert_eq!(
        (parsed.framing, parsed.len),
        (ResponseFraming::Length(0), options.len())
    );
}

#[test]
fn one_less_goes_on() {
    for method in ["TRACE", "OPTIONS"] {
        for (came, goes) in [
            ("1", "0"),
            ("010", "9"),
            ("99999999999999999999", "9223372036854775806"),
        ] {
            let head = |left| {
                format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-FORWARDS: {left}\r\nA: b\r\n\r\n")
            };
            assert_eq!(forwarded(&head(came)), (head(goes), false), "{came}");
        }
    }
    let head = get("Max-Forwards: 1\r\n");
    assert_eq!(forwarded(&head), (head.clone(), true));
}

fn forwarded(head: &str) -> (String, bool) {
    let parsed = request(head).unwrap();
    let mut out = Vec::new();
    parsed.write_forwarded(head.as_bytes(), &Edits::NONE, &mut out);
    (
        String::from_utf8(out).unwrap(),
        parsed.is_verbatim(&Edits::NONE),
    )
}
