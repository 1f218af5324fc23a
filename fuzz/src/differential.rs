//! What we forward, read by others: hyper sees the messages that we saw and no others, and
//! httparse the same heads. A reader that refuses what we forward must have a reason that is
//! known here.

use httparse::EMPTY_HEADER;
use hyper::Uri;
use proxy_userspace::http::{RequestContext, Start, classify};

use crate::{
    origin,
    relay::{self, Message},
    setup::Setup,
};

/// Panics where it does not hold for `input`.
pub fn run(input: &[u8]) {
    let Some((setup, stream)) = Setup::split(input) else {
        return;
    };
    if setup.response {
        response(setup, stream);
    } else {
        requests(stream);
    }
}

fn requests(stream: &[u8]) {
    if matches!(classify(stream), Start::NotHttp | Start::Http2) {
        let (seen, _) = origin::requests(stream);
        assert!(seen.is_empty(), "a tunnel with a request in it: {seen:?}");
        return;
    }
    let (out, sent) = relay::requests(stream);
    if sent.is_empty() {
        assert!(out.is_empty());
        return;
    }
    let mut headers = [EMPTY_HEADER; 100];
    let mut theirs = httparse::Request::new(&mut headers);
    match theirs.parse(&out) {
        Ok(status) => {
            let len = status.unwrap();
            assert_eq!(theirs.method, Some(sent[0].method.as_str()));
            assert_eq!(theirs.path, Some(sent[0].target.as_str()));
            framed_once(theirs.headers);
            assert!(out[..len].ends_with(b"\r\n\r\n"));
        }
        Err(error) => {
            // It wants UTF-8 in targets, and not all of ASCII.
            assert!(error == httparse::Error::Token, "{error}");
            assert!(is_odd(&sent[0].target), "{:?}", sent[0].target);
        }
    }

    let (seen, ended) = origin::requests(&out);
    assert!(
        seen.len() <= sent.len(),
        "a request that we did not see: {seen:?}"
    );
    for (seen, sent) in seen.iter().zip(&sent) {
        assert_eq!(seen.method, sent.method);
        if sent.target.starts_with('/') && !sent.target.contains('#') {
            assert_eq!(seen.target, sent.target);
        }
        let host = seen.hosts.first().map(|host| String::from_utf8_lossy(host));
        assert!(seen.hosts.len() <= 1);
        assert!(host.is_none() || host.as_deref() == sent.host.as_deref());
        assert_eq!((seen.length, &seen.body), (sent.length, &sent.body));
    }
    if let Some(unseen) = sent.get(seen.len()) {
        assert!(is_odd(&unseen.target), "refused: {unseen:?}: {ended:?}");
    }
}

fn response(setup: Setup, stream: &[u8]) {
    // What a hyper client can be made to ask.
    let context = RequestContext {
        connect: false,
        upgrade: false,
        ..setup.context
    };
    let Some((out, sent)) = relay::response(stream, &context) else {
        return;
    };
    let mut headers = [EMPTY_HEADER; 100];
    let mut theirs = httparse::Response::new(&mut headers);
    assert!(theirs.parse(&out).is_ok_and(|status| status.is_complete()));
    framed_once(theirs.headers);

    let method = if context.head { "HEAD" } else { "GET" };
    let Message {
        status,
        length,
        body,
        ..
    } = sent;
    let Some(seen) = origin::response(&out, method, context.minor) else {
        panic!("refused: {status} {length:?}");
    };
    assert_eq!(seen.status, status);
    // The length of a body that a HEAD has left out is not ours to compare.
    if !context.head {
        assert_eq!(seen.length, length);
    }
    assert_eq!(seen.body, body);
}

/// Is `target` one that hyper may refuse: not ASCII, or nothing that is a URI for it?
fn is_odd(target: &str) -> bool {
    !target.is_ascii() || target.parse::<Uri>().is_err()
}

/// Neither field of framing is there twice, nor both: whichever a reader prefers, it has one.
fn framed_once(headers: &[httparse::Header<'_>]) {
    let framing = headers.iter().filter(|header| {
        header.name.eq_ignore_ascii_case("content-length")
            || header.name.eq_ignore_ascii_case("transfer-encoding")
    });
    assert!(framing.count() <= 1);
}
