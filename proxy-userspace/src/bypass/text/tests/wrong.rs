//! What is wrong in a line, word by word.

use super::*;

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let long = format!("192.0.2.1 # {}", "ü".repeat(201));
    for (line, column, message) in [
        (
            "bank.example",
            1,
            "\"bank.example\" is neither an address nor a prefix; write e.g. \
          192.0.2.7 or 2001:db8::/32",
        ),
        (" 192.0.2.0/33", 2, "\"192.0.2.0/33\" is neither"),
        ("192.0.2.1;x", 1, "\"192.0.2.1;x\" is neither"),
        (
            "192.0.2.7/24",
            1,
            "prefix 192.0.2.7/24 has host bits set; write 192.0.2.0/24, or \
          192.0.2.7 for the address",
        ),
        (
            "::ffff:192.0.2.0/120",
            1,
            "::ffff:192.0.2.0/120 is never seen on the wire; write \
          192.0.2.0/24",
        ),
        (
            "any",
            1,
            "entry any covers every connection and would end interception of them; use \
          --yes if that is meant",
        ),
        ("::/0 src ::/0", 1, "entry ::/0 covers every connection"),
        (
            "intercept",
            1,
            "\"intercept\" needs something behind it: an address, a prefix or \"any\"",
        ),
        ("intercept # x", 1, "\"intercept\" needs something"),
        (
            "src 10.0.0.1",
            1,
            "\"src\" where the destination is expected: an address, a prefix or \
          \"any\"",
        ),
        ("intercept port 80", 11, "\"port\" where the destination"),
        (
            "192.0.2.1 192.0.2.2",
            11,
            "\"192.0.2.2\" is none of the words that are expected here: \
          src, port, in, until, owner, or # and a comment",
        ),
        ("192.0.2.1 SRC 10.0.0.1", 11, "\"SRC\" is none of"),
        ("any src 10.0.0.1 any", 18, "\"any\" is none of"),
        (
            "any src",
            5,
            "\"src\" needs something behind it: an address or a prefix",
        ),
        ("any src # 10.0.0.1", 5, "\"src\" needs something"),
        ("any src any", 9, "\"any\" is neither"),
        (
            "any  src 10.0.0.7/8",
            10,
            "prefix 10.0.0.7/8 has host bits set; write 10.0.0.0/8",
        ),
        (
            "192.0.2.1 port 80 src 2001:db8::1",
            23,
            "destination 192.0.2.1/32 and source \
          2001:db8::1/128 are of different families, and no connection is; write two",
        ),
        (
            "any src 10.0.0.1 src 10.0.0.2",
            18,
            "\"src\" is said twice; leave one of them",
        ),
        (
            "any port",
            5,
            "\"port\" needs something behind it: a number from 1 to 65535",
        ),
        (
            "any port 0",
            10,
            "\"0\" is not a port; write a number from 1 to 65535",
        ),
        ("any port 65536", 10, "\"65536\" is not a port"),
        ("any port http", 10, "\"http\" is not a port"),
        (
            "any in",
            5,
            "\"in\" needs something behind it: the name of an interface",
        ),
        ("any in a/b", 8, "\"a/b\" cannot be an interface's name"),
        ("any in \"a b\"", 8, "\"a b\" cannot be an interface's name"),
        (
            "any in lan0 until noon",
            19,
            "\"noon\" is not a moment from 1970 to 9999; write e.g. \
          2026-12-01T00:00:00Z",
        ),
        (
            "any in lan0 until",
            13,
            "\"until\" needs something behind it: a moment",
        ),
        ("any in lan0 owner ä owner b", 21, "\"owner\" is said twice"),
        (
            "any in lan0 owner \"a b",
            19,
            "the quote is not closed; write \" behind it",
        ),
        ("any in lan0 owner \"a b\\\"", 19, "the quote is not closed"),
        (
            "any in lan0 owner \"a\"b",
            19,
            "a blank is expected behind the closing quote",
        ),
        (
            "any in lan0 owner a\u{7}",
            19,
            "the owner has a control character in it (U+0007)",
        ),
        (
            "any in ü owner öö # a\u{1b}b",
            19,
            "the comment has a control character in it (U+001B)",
        ),
        (
            &long,
            11,
            "the comment has 201 characters; at most 200 are kept",
        ),
    ] {
        let text = format!("# ü\n\n{line}\n192.0.2.9\n");
        let error = parse(&text, &Options::default()).unwrap_err();
        assert_eq!((error.line, error.column), (3, column), "{line}: {error}");
        assert!(error.message.starts_with(message), "{line}: {error}");
    }
}
