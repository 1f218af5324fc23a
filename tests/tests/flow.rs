//! Flow control is end to end: whoever is slow, nothing is lost, and what waits does not wait in
//! the daemon.

use std::{
    io,
    thread::{self, JoinHandle},
};

use weir_tests::{Connection, Family, Fnv, GET, MemoryWatch, OK, Pattern, Stage};

const MIB: usize = 1 << 20;
const LONG: usize = 64 * MIB;
/// A receive buffer of an end that is slow; the kernel doubles it.
const SMALL: Option<usize> = Some(64 * 1024);
/// What the daemon may hold of one connection, both directions, and what its allocator keeps.
const BOUND: u64 = 2 << 20;

/// A body each way at once, each of them checked at the far end.
#[test]
fn long_bodies_go_both_ways_at_once() {
    let stage = Stage::new();
    warm(&stage);
    let memory = stage.weir.watch_memory();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, upload(LONG));
        origin.expect(upload(LONG));
        origin.send(download(LONG)).unwrap();
        client.expect(download(LONG));
        let (up, down) = (sends(&client, LONG), sends(&origin, LONG));
        let reads = thread::spawn(move || (client.checksum(LONG).unwrap(), client));
        assert_eq!(
            origin.checksum(LONG).unwrap(),
            Pattern::checksum(LONG as u64)
        );
        let (received, client) = reads.join().unwrap();
        assert_eq!(received, Pattern::checksum(LONG as u64));
        up.join().unwrap().unwrap();
        down.join().unwrap().unwrap();
        in_step(client, origin);
    }
    assert_bounded(&memory);
}

#[test]
fn chunked_bodies_as_long_as_that() {
    let stage = Stage::new();
    warm(&stage);
    let memory = stage.weir.watch_memory();
    let chunk = Pattern::bytes(MIB);
    let coded = [b"100000\r\n", &chunk[..], b"\r\n"].concat();
    let request = "PUT / HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\n";
    for family in Family::BOTH {
        let (client, mut origin) = stage.begin(family, request);
        origin.expect(request);
        let mut sender = client.stream.try_clone().unwrap();
        let coded_too = coded.clone();
        let sent = thread::spawn(move || {
            for _ in 0..64 {
                io::Write::write_all(&mut sender, &coded_too)?;
            }
            io::Write::write_all(&mut sender, b"0\r\n\r\n")
        });
        for _ in 0..64 {
            origin.expect(&coded);
        }
        origin.expect("0\r\n\r\n");
        sent.join().unwrap().unwrap();
        let mut client = client;
        origin.send(OK).unwrap();
        client.expect(OK);
        in_step(client, origin);
    }
    assert_bounded(&memory);
}

/// 64 MiB to an origin that takes 1 MB in a second: for so long that every buffer on the way is
/// full, and then the rest at once.
#[test]
fn an_origin_that_reads_slowly() {
    let stage = Stage::with_buffer("", SMALL);
    warm(&stage);
    for family in Family::BOTH {
        let memory = stage.weir.watch_memory();
        let (mut client, mut origin) = stage.begin(family, upload(LONG));
        origin.expect(upload(LONG));
        let sent = sends(&client, LONG);
        let received = slow_then_fast(&mut origin);
        assert!(
            received == Pattern::checksum(LONG as u64),
            "other octets arrived"
        );
        sent.join().unwrap().unwrap();
        origin.send(OK).unwrap();
        client.expect(OK);
        in_step(client, origin);
        assert_bounded(&memory);
    }
}

#[test]
fn a_client_that_reads_slowly() {
    let stage = Stage::new();
    warm(&stage);
    for family in Family::BOTH {
        let memory = stage.weir.watch_memory();
        let mut client = stage.client_with_buffer(family, SMALL);
        client.send(GET).unwrap();
        let mut origin = stage.accept(&client);
        origin.expect(GET);
        origin.send(download(LONG)).unwrap();
        client.expect(download(LONG));
        let sent = sends(&origin, LONG);
        let received = slow_then_fast(&mut client);
        assert!(
            received == Pattern::checksum(LONG as u64),
            "other octets arrived"
        );
        sent.join().unwrap().unwrap();
        in_step(client, origin);
        assert_bounded(&memory);
    }
}

#[test]
fn slow_readers_at_the_ends_of_a_tunnel() {
    let stage = Stage::with_buffer("", SMALL);
    warm(&stage);
    let memory = stage.weir.watch_memory();
    let mut client = stage.client_with_buffer(Family::V4, SMALL);
    client.send([0]).unwrap();
    let mut origin = stage.accept(&client);
    origin.expect([0]);
    let (up, down) = (sends(&client, LONG), sends(&origin, LONG));
    let reads = thread::spawn(move || slow_then_fast(&mut client));
    assert!(slow_then_fast(&mut origin) == Pattern::checksum(LONG as u64));
    assert!(reads.join().unwrap() == Pattern::checksum(LONG as u64));
    up.join().unwrap().unwrap();
    down.join().unwrap().unwrap();
    assert_bounded(&memory);
}

/// The answer comes while the upload is stuck; the rest of it is still the origin's to read.
#[test]
fn an_early_answer_to_a_long_upload_arrives() {
    let stage = Stage::with_buffer("", SMALL);
    warm(&stage);
    let answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
    for family in Family::BOTH {
        let memory = stage.weir.watch_memory();
        let (mut client, mut origin) = stage.begin(family, upload(LONG));
        origin.expect(upload(LONG));
        let sent = sends(&client, LONG);
        origin.paced(MIB, MIB, &mut Fnv::default()).unwrap();
        origin.send(answer).unwrap();
        client.expect(answer);
        assert!(!sent.is_finished(), "the upload was to be stuck still");
        origin.checksum(LONG - MIB).unwrap();
        sent.join().unwrap().unwrap();
        in_step(client, origin);
        assert_bounded(&memory);
    }
}

/// Requests are read ahead up to a bound; beyond it they wait at the client. (The access log has
/// a queue of its own.)
#[test]
fn requests_sent_far_ahead_wait_at_the_client() {
    let stage = Stage::with("[log]\naccess = \"off\"\n");
    warm(&stage);
    let request = format!("GET /{} HTTP/1.1\r\nHost: lab\r\n\r\n", "x".repeat(8000));
    let count = 4000;
    let memory = stage.weir.watch_memory();
    let (mut client, mut origin) = stage.begin(Family::V4, &request);
    let mut sender = client.stream.try_clone().unwrap();
    let ahead = request.repeat(count - 1);
    let sent = thread::spawn(move || io::Write::write_all(&mut sender, ahead.as_bytes()));
    origin.expect(&request);
    origin.expect_silence(std::time::Duration::from_secs(1));
    assert!(!sent.is_finished(), "32 MiB do not fit in between");
    for number in 1..=count {
        origin.send(OK).unwrap();
        client.expect(OK);
        if number < count {
            origin.expect(&request);
        }
    }
    sent.join().unwrap().unwrap();
    assert_bounded(&memory);
}

fn upload(length: usize) -> String {
    format!("POST /up HTTP/1.1\r\nHost: lab\r\nContent-Length: {length}\r\n\r\n")
}

fn download(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
}

/// Sends so much of [`Pattern`] while the test goes on.
fn sends(connection: &Connection, length: usize) -> JoinHandle<io::Result<Fnv>> {
    let stream = connection.stream.try_clone().unwrap();
    let mut sender = Connection::new(stream, 3 * weir_tests::ANSWER).unwrap();
    thread::spawn(move || sender.send_pattern(length))
}

/// The checksum of [`LONG`] octets, of which the first come at 1 MB a second, for three seconds.
#[track_caller]
fn slow_then_fast(connection: &mut Connection) -> Fnv {
    let mut received = Fnv::default();
    for (length, rate) in [(3 * MIB, MIB), (LONG - 3 * MIB, usize::MAX)] {
        connection.paced(length, rate, &mut received).unwrap();
    }
    received
}

/// One exchange with a body each way, so that what every first one allocates is there.
fn warm(stage: &Stage) {
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, upload(MIB));
        origin.expect(upload(MIB));
        let sent = sends(&client, MIB);
        origin.checksum(MIB).unwrap();
        sent.join().unwrap().unwrap();
        origin.send(download(MIB)).unwrap();
        let sent = sends(&origin, MIB);
        client.expect(download(MIB));
        client.checksum(MIB).unwrap();
        sent.join().unwrap().unwrap();
    }
}

#[track_caller]
fn in_step(mut client: Connection, mut origin: Connection) {
    client.send(GET).unwrap();
    origin.expect(GET);
    origin.send(OK).unwrap();
    client.expect(OK);
}

#[track_caller]
fn assert_bounded(memory: &MemoryWatch) {
    let growth = memory.growth();
    eprintln!("the daemon's memory grew by {} KiB", growth / 1024);
    assert!(
        growth <= BOUND,
        "the daemon's memory grew by {growth} octets"
    );
}
