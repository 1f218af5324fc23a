use proptest::prelude::*;

use super::*;

/// Bytes behind their count of `width` bytes.
fn vector(width: usize, bytes: &[u8]) -> Vec<u8> {
    let count = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&count[4 - width..], bytes].concat()
}

/// A ClientHello with these extensions, without the header of its record.
fn hello(extensions: &[u8]) -> Vec<u8> {
    let parts = [
        &[3, 3][..],
        &[7; 32],
        &vector(1, &[9]),
        &vector(2, &[0x13, 1]),
        &vector(1, &[0]),
        &vector(2, extensions),
    ];
    [&[1], &vector(3, &parts.concat())[..]].concat()
}

/// Another extension, and behind it the one that names a server.
fn naming(name: &[u8]) -> Vec<u8> {
    let names = vector(2, &[&[0], &vector(2, name)[..]].concat());
    [
        &[0, 10],
        &vector(2, &[0, 0])[..],
        &[0, 0],
        &vector(2, &names),
    ]
    .concat()
}

/// As records of so many bytes at most.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |fragment: &[u8]| [&[0x16, 3, 1], &vector(2, fragment)[..]].concat();
    message.chunks(size).flat_map(record).collect()
}

fn record(message: &[u8]) -> Vec<u8> {
    records(message, message.len())
}

fn named(name: &str) -> ClientHello<'_> {
    ClientHello::Complete(Some(name.into()))
}

const NAMELESS: ClientHello<'static> = ClientHello::Complete(None);

#[test]
fn names_of_servers() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{label}");
    for name in [
        "a",
        "www.example.com",
        "xn--bcher-kva.example",
        "_a.b-c.0",
        &longest,
    ] {
        assert_eq!(
            client_hello(&record(&hello(&naming(name.as_bytes())))),
            named(name)
        );
    }
    let long_label = "a".repeat(64);
    let too_long = format!("{longest}.a");
    for name in [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a",
        "a-",
        "a b",
        "a/b",
        "a:80",
        "ä",
        "a\0",
        &long_label,
        &too_long,
    ] {
        let bytes = record(&hello(&naming(name.as_bytes())));
        assert_eq!(client_hello(&bytes), NAMELESS, "{name:?}");
    }
    assert_eq!(client_hello(&record(&hello(&naming(b"\xff")))), NAMELESS);
    assert_eq!(client_hello(&record(&hello(&[]))), NAMELESS);
}

#[test]
fn what_is_no_tls() {
    for other in [
        &b"GET / HTTP/1.1"[..],
        b"SSH-2.0-x",
        b"\x15",
        b"\x16\x04",
        b"\x16\x03\x01\0\x05\x02",
        // A record without anything in it, and one that is longer than they are.
        b"\x16\x03\x01\0\0",
        b"\x16\x03\x01\x40\x01",
    ] {
        assert_eq!(client_hello(other), ClientHello::NotTls, "{other:?}");
    }
    for so_far in [&b""[..], b"\x16", b"\x16\x03", b"\x16\x03\x01\x40\0\x01"] {
        assert_eq!(client_hello(so_far), ClientHello::NeedMore, "{so_far:?}");
    }
}

#[test]
fn lengths_are_strict() {
    let message = hello(&naming(b"a.example"));
    assert_eq!(client_hello(&record(&message)), named("a.example"));
    // The last byte of each length, and the kind of the name.
    for at in [3, 38, 41, 44, 47, 51, 57, 59, 60, 62] {
        for by in [1, 255] {
            let mut message = message.clone();
            message[at] = message[at].wrapping_add(by);
            let is_short = at == 3 && by == 1;
            let expected = if is_short {
                ClientHello::NeedMore
            } else {
                NAMELESS
            };
            assert_eq!(
                client_hello(&record(&message)),
                expected,
                "byte {at} by {by}"
            );
        }
    }
    // Bytes between the message's end and the record's are another message's.
    let longer = [&message[..], b"more"].concat();
    assert_eq!(client_hello(&record(&longer)), named("a.example"));
    // And bytes behind the extensions nobody's.
    let mut padded = longer;
    padded[3] += 4;
    assert_eq!(client_hello(&record(&padded)), NAMELESS);
}

#[test]
fn messages_are_put_together() {
    let message = hello(&naming(b"www.example.com"));
    for size in 1..=message.len() {
        let bytes = records(&message, size);
        assert_eq!(client_hello(&bytes), named("www.example.com"), "{size}");
        for end in 0..bytes.len() {
            assert_eq!(
                client_hello(&bytes[..end]),
                ClientHello::NeedMore,
                "{size} {end}"
            );
        }
    }
    // What interrupts it is no part of it.
    let alert = b"\x15\x03\x01\0\x02\x02\x28";
    let interrupted = [&records(&message[..10], 10), &alert[..]].concat();
    assert_eq!(client_hello(&interrupted), NAMELESS);
}

#[test]
fn it_is_not_waited_for_without_end() {
    let filler = [&[0, 21], &vector(2, &[0; 20_000])[..]].concat();
    let long = records(&hello(&[filler, naming(b"a.example")].concat()), MAX_RECORD);
    assert_eq!(client_hello(&long[..MAX_HELLO - 1]), ClientHello::NeedMore);
    assert_eq!(client_hello(&long[..MAX_HELLO]), NAMELESS);
    assert_eq!(client_hello(&long), NAMELESS);
}

/// ClientHellos, in records of any size, of which some bytes have become others.
fn nearly_hellos() -> impl Strategy<Value = Vec<u8>> {
    let flips = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (1..120usize, flips).prop_map(|(size, flips)| {
        let mut bytes = records(&hello(&naming(b"www.example.com")), size);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #[test]
    fn the_answer_stays_whatever_follows(
        bytes in prop_oneof![nearly_hellos(), prop::collection::vec(any::<u8>(), 0..64)],
    ) {
        let whole = client_hello(&bytes);
        let mut decided = None;
        for end in 0..=bytes.len() {
            let answer = client_hello(&bytes[..end]);
            if let Some(decided) = &decided {
                prop_assert_eq!(decided, &answer);
            } else if answer != ClientHello::NeedMore {
                decided = Some(answer);
            }
        }
        prop_assert_eq!(decided.unwrap_or(ClientHello::NeedMore), whole.clone());
        if let ClientHello::Complete(Some(name)) = whole {
            prop_assert!(is_host_name(&name));
        }
    }
}
