//! The catalogue of heads by which one reader was made to see another message than the next
//! (RFC 9112 §11.2). None of them may leave us.

use super::{GET, get, request, response};

/// Field sections that frame a message in two ways, or nearly.
const FIELDS: &[&str] = &[
    // CL.TE, TE.CL
    "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
    "content-length: 6\r\nX: y\r\ntRANSFER-eNCODING: chunked\r\n",
    // TE.TE
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
    "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: chunked,\r\n",
    "Transfer-Encoding: ,chunked\r\n",
    "Transfer-Encoding: chunked;x\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding: 'chunked', \r\n",
    "Transfer-Encoding: chun ked\r\n",
    "Transfer-Encoding:\r\n",
    // One reader sees the field, the other does not.
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding\t: chunked\r\n",
    "Transfer-Encoding\x0b: chunked\r\n",
    "Transfer-Encoding\0: chunked\r\n",
    "Transfer Encoding: chunked\r\n",
    " Transfer-Encoding: chunked\r\n",
    "\tTransfer-Encoding: chunked\r\n",
    "\x0bTransfer-Encoding: chunked\r\n",
    ": Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "Transfer-Encoding: \tchunked\r\n",
    "Transfer-Encoding: chunked\t\r\n",
    "Transfer-Encoding: \x0bchunked\r\n",
    "Transfer-Encoding: chunked\x0b\r\n",
    "Transfer-Encoding: chunked\x0c\r\n",
    "Transfer-Encoding: chunked\0\r\n",
    "Transfer-Encoding: \0chunked\r\n",
    "Transfer-Encoding: chunked\x7f\r\n",
    // Line ends
    "X: y\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\n",
    "X: y\rTransfer-Encoding: chunked\r\n",
    "X: y\r\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "Transfer-Encoding:\r\n\tchunked\r\n",
    "X: y\r\n Transfer-Encoding: chunked\r\n",
    "\nTransfer-Encoding: chunked\r\n",
    // Lengths
    "Content-Length: +5\r\n",
    "Content-Length: -5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: 5,5\r\n",
    "Content-Length: 5,\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length: 5 5\r\n",
    "Content-Length:  5 5\r\n",
    "Content-Length: 5\x0b\r\n",
    "Content-Length: \t5\r\n",
    "Content-Length: 5;\r\n",
    "Content-Length: 5.0\r\n",
    "Content-Length: 5e1\r\n",
    "Content-Length: \u{0665}\r\n",
    "Content-Length: \"5\"\r\n",
    "Content-Length: 5\r\nContent-Length: 5\r\n",
    "Content-Length: 5\r\ncontent-length: 6\r\n",
    "Content-Length: 4294967296000000000000\r\n",
    "Content-Length : 5\r\n",
    "Content-Length: 5\r\n 0\r\n",
    // The same name for a reader to whom `_` is `-`
    "Transfer_Encoding: chunked\r\n",
    "Content-Length: 5\r\nTRANSFER_ENCODING: chunked\r\n",
    "Content_Length: 5\r\n",
    "Content-Length: 6\r\ncontent_length: 5\r\n",
    // Taken away on the way
    "Content-Length: 5\r\nConnection: content-length\r\n",
    "Connection: close, Content-Length\r\nContent-Length: 5\r\n",
];

#[test]
fn none_is_forwarded_to_the_origin() {
    for fields in FIELDS {
        let verdict = request(get(fields));
        assert!(verdict.is_err(), "{fields:?}: {verdict:?}");
        assert_eq!(verdict.unwrap_err().status, 400, "{fields:?}");
    }
}

#[test]
fn none_is_forwarded_to_the_client() {
    for fields in FIELDS {
        let verdict = response(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), GET);
        assert!(verdict.is_err(), "{fields:?}: {verdict:?}");
        assert_eq!(verdict.unwrap_err().status, 502, "{fields:?}");
    }
}

/// What `Integer` of Ruby and `strtol` with base 0 read in octal.
#[test]
fn lengths_are_the_same_in_octal() {
    for (length, same) in [
        ("0", true),
        ("00", true),
        ("007", true),
        ("10", true),
        ("07", true),
        ("010", false),
        ("08", false),
        ("0000000012", false),
    ] {
        let verdict = request(get(&format!("Content-Length: {length}\r\n")));
        assert_eq!(verdict.is_ok(), same, "{length}: {verdict:?}");
    }
}

#[test]
fn unknown_codings_do_not_frame_a_request() {
    for coding in [
        "xchunked",
        "chunkedx",
        "identity",
        "x",
        "chunked-x",
        "'chunked'",
    ] {
        let fields = format!("Transfer-Encoding: {coding}\r\n");
        assert_eq!(request(get(&fields)).unwrap_err().status, 400, "{coding}");
    }
}

#[test]
fn start_lines() {
    let lines = [
        "GET /\r\n",
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r",
        "GET  / HTTP/1.1\r\n",
        "GET /  HTTP/1.1\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET\t/ HTTP/1.1\r\n",
        "GET /\x0b HTTP/1.1\r\n",
        "GET / x HTTP/1.1\r\n",
        "GET / HTTP/1.1\0\r\n",
        "GET / HTTP/1.1\r\n Host: b\r\n",
        "\r\nGET / HTTP/1.1\r\n",
        " GET / HTTP/1.1\r\n",
    ];
    for line in lines {
        let verdict = request(format!("{line}Host: a\r\n\r\n"));
        assert_eq!(
            verdict.map_err(|r| r.status).map(|_| ()),
            Err(400),
            "{line:?}"
        );
    }
}
