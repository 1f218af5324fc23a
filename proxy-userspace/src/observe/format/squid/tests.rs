use super::*;
use crate::{addr::OriginAddr, observe::record::example};

fn line(record: &AccessRecord<'_>, extra: bool) -> String {
    let mut out = Vec::new();
    write(record, extra, &mut out);
    String::from_utf8(out).unwrap()
}

/// A connection that came to no request.
fn nameless<'a>(reason: Reason) -> AccessRecord<'a> {
    AccessRecord {
        method: None,
        host: None,
        target: None,
        status: None,
        content_type: None,
        reason,
        ..example()
    }
}

/// Result code and status, method, URL, user and hierarchy.
#[track_caller]
fn says(record: &AccessRecord<'_>, expected: &str) {
    let line = line(record, false);
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words.len(), 10, "{line}");
    assert_eq!([&words[3..4], &words[5..9]].concat().join(" "), expected);
}

#[test]
fn as_squid_writes_it() {
    assert_eq!(
        line(&example(), false),
        "1769847300.054     12 10.0.0.7 TCP_MISS/200 1234567890123 GET \
         http://example.com/a?b=c - ORIGINAL_DST/2001:db8::1 text/html"
    );
}

#[test]
fn additions_are_five_words_in_brackets() {
    let bare = line(&example(), false);
    assert_eq!(
        line(&example(), true).strip_prefix(&bare).unwrap(),
        " [client_port=40000 spoofed_port=10001 reason=served host_check=unverified rule=-]"
    );
    let record = AccessRecord {
        spoofed: None,
        host_check: None,
        rule: Some("no-ads"),
        reason: Reason::Denied,
        ..example()
    };
    let bare = line(&record, false);
    assert_eq!(
        line(&record, true).strip_prefix(&bare).unwrap(),
        " [client_port=40000 spoofed_port=- reason=denied host_check=- rule=no-ads]"
    );
}

#[test]
fn requests_that_could_not_be_read() {
    let refused = |reason| AccessRecord {
        target: Some(b"GET / \x01"),
        status: Some(400),
        ..nameless(reason)
    };
    says(
        &refused(Reason::BadRequest),
        "NONE_NONE/400 - error:invalid-request/GET%20/%20%01 - HIER_NONE/-",
    );
    says(
        &refused(Reason::HeadTooLarge),
        "NONE_NONE/400 - error:request-too-large/GET%20/%20%01 - HIER_NONE/-",
    );
    says(
        &refused(Reason::Overload),
        "NONE_NONE/400 - error:accept-client-connection/GET%20/%20%01 - HIER_NONE/-",
    );
    let without_end = AccessRecord {
        status: Some(408),
        ..nameless(Reason::HeadTimeout)
    };
    says(
        &without_end,
        "NONE_NONE/408 - error:transaction-end-before-headers - HIER_NONE/-",
    );
}

#[test]
fn tunnels() {
    let address = "CONNECT [2001:db8::1]:80 - ORIGINAL_DST/2001:db8::1";
    let says_of = |reason, word| says(&nameless(reason), &format!("{word} {address}"));
    says_of(Reason::Tunnel, "TCP_TUNNEL/200");
    says_of(Reason::IdleTimeout, "TCP_TUNNEL_TIMEDOUT/200");
    says_of(Reason::Draining, "TCP_TUNNEL_ABORTED/200");
    says_of(Reason::BypassedNow, "TCP_TUNNEL_ABORTED/200");
    let named = AccessRecord {
        sni: Some("a.example"),
        ..nameless(Reason::Tunnel)
    };
    says(
        &named,
        "TCP_TUNNEL/200 CONNECT a.example:80 - ORIGINAL_DST/2001:db8::1",
    );
    let failed = AccessRecord {
        spoofed: None,
        ..nameless(Reason::OriginRefused)
    };
    says(
        &failed,
        "TCP_TUNNEL/000 CONNECT [2001:db8::1]:80 - HIER_NONE/-",
    );
}

#[test]
fn requests_for_tunnels() {
    let websocket = AccessRecord {
        status: Some(101),
        reason: Reason::Upgraded,
        ..example()
    };
    let url = "GET http://example.com/a?b=c - ORIGINAL_DST/2001:db8::1";
    says(&websocket, &format!("TCP_TUNNEL/101 {url}"));
    let idle = AccessRecord {
        reason: Reason::IdleTimeout,
        ..websocket
    };
    says(&idle, &format!("TCP_TUNNEL_TIMEDOUT/101 {url}"));
    let connect = AccessRecord {
        method: Some(b"CONNECT"),
        target: Some(b"example.com:443"),
        reason: Reason::Draining,
        ..example()
    };
    says(
        &connect,
        "TCP_TUNNEL_ABORTED/200 CONNECT example.com:443 - ORIGINAL_DST/2001:db8::1",
    );
}

#[test]
fn ends() {
    for (reason, word) in [
        (Reason::Served, "TCP_MISS/200"),
        (Reason::OriginClosed, "TCP_MISS/200"),
        (Reason::ClientClosed, "TCP_MISS_ABORTED/200"),
        (Reason::Draining, "TCP_MISS_ABORTED/200"),
        (Reason::BypassedNow, "TCP_MISS_ABORTED/200"),
        (Reason::SlowClient, "TCP_MISS_TIMEDOUT/200"),
    ] {
        let record = AccessRecord {
            reason,
            ..example()
        };
        says(
            &record,
            &format!("{word} GET http://example.com/a?b=c - ORIGINAL_DST/2001:db8::1"),
        );
    }
}

#[test]
fn what_we_answer_has_no_origin_even_if_there_is_a_connection() {
    for (reason, word) in [
        (Reason::Denied, "TCP_DENIED/200"),
        (Reason::HostMismatch, "TCP_DENIED/200"),
        (Reason::Redirected, "TCP_REDIRECT/200"),
        (Reason::MaxForwards, "NONE_NONE/200"),
    ] {
        let record = AccessRecord {
            reason,
            ..example()
        };
        says(
            &record,
            &format!("{word} GET http://example.com/a?b=c - HIER_NONE/-"),
        );
    }
}

#[test]
fn urls_are_absolute() {
    let url = |host: Option<&[u8]>, target: &[u8], origin: &str| {
        let record = AccessRecord {
            host,
            target: Some(target),
            origin: OriginAddr(origin.parse().unwrap()),
            ..example()
        };
        line(&record, false)
            .split_whitespace()
            .nth(6)
            .unwrap()
            .to_owned()
    };
    let v6 = "[2001:db8::1]:80";
    assert_eq!(url(Some(b"a:80"), b"/", v6), "http://a/");
    assert_eq!(url(Some(b"a:"), b"/", v6), "http://a/");
    assert_eq!(url(Some(b"a:8080"), b"/", v6), "http://a:8080/");
    assert_eq!(url(Some(b"a:180"), b"/", v6), "http://a:180/");
    assert_eq!(url(Some(b"[::1]:80"), b"/", v6), "http://[::1]/");
    assert_eq!(url(Some(b"a"), b"*", v6), "http://a/*");
    assert_eq!(url(Some(b"a"), b"http://b/c", v6), "http://b/c");
    assert_eq!(url(None, b"/", v6), "http://[2001:db8::1]/");
    assert_eq!(url(Some(b""), b"/", "10.9.0.1:80"), "http://10.9.0.1/");
    assert_eq!(url(None, b"/", "10.9.0.1:8080"), "http://10.9.0.1:8080/");
    assert_eq!(
        url(Some(b"a"), b"/ \t\x7f\xc3", v6),
        "http://a/%20%09%7F%C3"
    );
}
