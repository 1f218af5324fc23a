//! The access log as its readers find it: formats, sinks, rotation, and what it leaves out.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;
use weir_tests::{Family, Options, Weir, World, until, until_some};

const SOON: Duration = Duration::from_secs(20);

/// A world whose access log goes where the test says; `[log]` is the test's own.
fn logging(directory: &Path, keys: &str) -> (World, PathBuf) {
    let file = directory.join("log");
    let config = format!("[log]\naccess = {:?}\n{keys}\n", file.display().to_string());
    let world = World::with(&Default::default(), &Options::config(&config), |_| {});
    (world, file)
}

/// The lines of a file, once there are so many.
#[track_caller]
fn lines(file: &Path, count: usize) -> Vec<String> {
    until_some(SOON, "lines in the access log", || {
        let text = fs::read_to_string(file).ok()?;
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (text.ends_with('\n') && lines.len() >= count).then_some(lines)
    })
}

#[test]
fn squids_native_format() {
    let directory = tempfile::tempdir().unwrap();
    let (world, file) = logging(directory.path(), "format = \"squid\"");
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        connection
            .send("GET /bytes/10 HTTP/1.1\r\nHost: lab:80\r\n\r\n")
            .unwrap();
        let response = connection.response().unwrap();
        assert_eq!(response.status, 200);
        let port = connection.local.port();
        drop(connection);
        let number = if family == Family::V4 { 1 } else { 2 };
        let line = lines(&file, number).pop().unwrap();
        // As analysers do: the time and the duration are padded, everything else is one word.
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words.len(), 15, "{line}");
        let (seconds, millis) = words[0].split_once('.').unwrap();
        assert!(seconds.len() == 10 && millis.len() == 3, "{line}");
        words[1].parse::<u32>().unwrap();
        assert_eq!(words[2], family.client().to_string());
        assert_eq!(words[3], "TCP_MISS/200");
        let size = response.head.len() + 10;
        assert_eq!(words[4].parse::<usize>().unwrap(), size, "{line}");
        assert_eq!(words[5..8], ["GET", "http://lab/bytes/10", "-"]);
        assert_eq!(words[8], format!("ORIGINAL_DST/{}", family.origin(0)));
        assert_eq!(words[10], format!("[client_port={port}"));
        let spoofed = words[11].strip_prefix("spoofed_port=").unwrap();
        spoofed.parse::<u16>().unwrap();
        assert_eq!(
            words[12..],
            ["reason=served", "host_check=unverified", "rule=-]"]
        );
    }
}

#[test]
fn squids_native_format_of_what_comes_to_no_origin() {
    let directory = tempfile::tempdir().unwrap();
    let (world, file) = logging(directory.path(), "format = \"squid\"\nextra = false");
    let mut refused = world.connect(Family::V4);
    refused.send("GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(refused.response().unwrap().status, 400);
    let line = lines(&file, 1).pop().unwrap();
    assert!(line.contains(" NONE_NONE/400 "), "{line}");
    assert!(
        line.ends_with(" - error:invalid-request/GET%20/%20HTTP/1.1 - HIER_NONE/- -"),
        "{line}"
    );

    let mut tunnel = world.connect(Family::V4);
    tunnel.send(HELLO).unwrap();
    assert_eq!(tunnel.exactly(HELLO.len()).unwrap(), HELLO);
    tunnel.half_close().unwrap();
    tunnel.to_end().unwrap();
    let line = lines(&file, 2).pop().unwrap();
    let origin = Family::V4.origin(0);
    assert!(
        line.ends_with(&format!(
            " TCP_TUNNEL/200 {} CONNECT a.example:80 - ORIGINAL_DST/{origin} -",
            HELLO.len()
        )),
        "{line}"
    );
}

#[test]
fn the_combined_format() {
    let directory = tempfile::tempdir().unwrap();
    let (world, file) = logging(directory.path(), "format = \"combined\"\nextra = false");
    let mut connection = world.connect(Family::V4);
    connection
        .send(
            "GET /bytes/10 HTTP/1.1\r\nHost: lab\r\nUser-Agent: a \"b\"\r\nReferer: http://x/\r\n\r\n",
        )
        .unwrap();
    assert_eq!(connection.response().unwrap().status, 200);
    let line = lines(&file, 1).pop().unwrap();
    let (before, rest) = line.split_once(" [").unwrap();
    assert_eq!(before, format!("{} - -", Family::V4.client()));
    let (time, rest) = rest.split_once("] ").unwrap();
    assert!(time.ends_with(" +0000") && time.len() == "10/Oct/2000:13:55:36 +0000".len());
    assert_eq!(
        rest,
        r#""GET /bytes/10 HTTP/1.1" 200 10 "http://x/" "a \"b\"""#
    );
}

#[test]
fn queries_are_left_out_where_they_are_to_be() {
    for format in ["json", "squid", "combined"] {
        let directory = tempfile::tempdir().unwrap();
        let keys = format!("format = \"{format}\"\nquery = \"redact\"");
        let (world, file) = logging(directory.path(), &keys);
        let mut connection = world.connect(Family::V4);
        connection
            .send("GET /seen?secret HTTP/1.1\r\nHost: lab\r\nReferer: http://x/?secret\r\n\r\n")
            .unwrap();
        assert_eq!(connection.response().unwrap().status, 200);
        connection
            .send("GET /refused?secret and secret HTTP/1.1\r\n\r\n")
            .unwrap();
        assert_eq!(connection.response().unwrap().status, 400);
        let lines = lines(&file, 2);
        assert!(lines[0].contains("/seen?") && lines[1].contains("/refused?"));
        assert!(
            !lines.iter().any(|line| line.contains("secret")),
            "{lines:?}"
        );
        drop(world);
    }
}

#[test]
fn a_signal_or_a_reload_opens_the_file_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (world, file) = logging(directory.path(), "");
    let config = fs::read_to_string(world.weir.directory().join("weir.toml")).unwrap();
    let rotate: [fn(&Weir, &str); 2] = [
        |weir, _| weir.signal(Signal::SIGUSR1),
        |weir, config| drop(weir.reload(config)),
    ];
    for (number, rotate) in rotate.into_iter().enumerate() {
        assert!(world.get(Family::V4).intercepted());
        lines(&file, 1);
        let rotated = directory.path().join(number.to_string());
        fs::rename(&file, &rotated).unwrap();
        rotate(&world.weir, &config);
        until(SOON, "a new file", || file.exists());
        assert!(world.get(Family::V6).intercepted());
        assert_eq!(lines(&file, 1).len(), 1);
        assert_eq!(fs::read_to_string(&rotated).unwrap().lines().count(), 1);
        fs::remove_file(&file).unwrap();
        world.weir.signal(Signal::SIGUSR1);
        until(SOON, "a new file", || file.exists());
    }
}

#[test]
fn the_journal_has_an_entry_for_each_request() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let journald = UnixDatagram::bind(&socket).unwrap();
    journald.set_read_timeout(Some(SOON)).unwrap();
    let config = format!(
        "[log]\naccess = \"journald\"\njournal = {:?}\n",
        socket.display().to_string()
    );
    let world = World::with(&Default::default(), &Options::config(&config), |_| {});
    assert!(world.get(Family::V4).intercepted());
    let mut entry = vec![0; 65536];
    let length = journald.recv(&mut entry).unwrap();
    let entry = String::from_utf8(entry[..length].to_vec()).unwrap();
    let fields: Vec<_> = entry.lines().collect();
    assert!(fields.contains(&"SYSLOG_IDENTIFIER=weir"), "{entry}");
    for field in ["WEIR_STATUS=200", "WEIR_REASON=served", "WEIR_HOST=lab"] {
        assert!(fields.contains(&field), "{entry}");
    }
    let message = fields
        .iter()
        .find_map(|f| f.strip_prefix("MESSAGE="))
        .unwrap();
    let record: serde_json::Value = serde_json::from_str(message).unwrap();
    assert_eq!(record["client"], Family::V4.client().to_string());

    // One that is gone loses lines, and no request.
    drop(journald);
    assert!(world.get(Family::V4).intercepted());
    until(SOON, "a lost line", || {
        world.weir.status()["log_lines_lost"] != 0
    });
    assert!(world.weir.ask(&["status"]).contains("lines lost"));
}

#[test]
fn standard_output_has_a_line_for_each_request() {
    let options = Options::config("[log]\naccess = \"stdout\"\nformat = \"json\"\n");
    let world = World::with(&Default::default(), &options, |_| {});
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        connection.get("/stdout").unwrap();
        let own = format!("\"client_port\":{},", connection.local.port());
        let line = until_some(SOON, "a line", || {
            let said = world.weir.output();
            let mut lines = said.lines().filter(|line| line.starts_with('{'));
            lines.find(|line| line.contains(&own)).map(str::to_owned)
        });
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["target"], "/stdout", "{record}");
        assert_eq!(record["status"], 200, "{record}");
    }
}

#[test]
fn a_journal_that_is_not_there_is_named_at_the_start() {
    let config = "[log]\naccess = \"journald\"\njournal = \"/nowhere/socket\"\n";
    let net = weir_tests::network(&Default::default());
    let failed = Weir::refused(&net.router, &Options::config(config));
    assert!(
        failed.output.contains("journald (/nowhere/socket)")
            && failed.output.contains("log.journal"),
        "{}",
        failed.output
    );
}

/// A pipe that nobody empties: the queue fills, lines are lost and counted, requests go on.
#[test]
fn a_sink_that_takes_nothing_stalls_no_request() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Open both ways, so that nobody waits for the other end.
    let held = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let config = format!("[log]\naccess = {:?}\n", pipe.display().to_string());
    let world = World::with(&Default::default(), &Options::config(&config), |_| {});
    let mut connection = world.connect(Family::V4);
    let request = format!(
        "GET /status/204 HTTP/1.1\r\nHost: lab\r\nReferer: {}\r\n\r\n",
        "x".repeat(7000)
    );
    until(Duration::from_secs(60), "lines lost", || {
        for _ in 0..500 {
            connection.send(&request).unwrap();
            assert_eq!(connection.response().unwrap().status, 204);
        }
        world.weir.status()["log_lines_lost"] != 0
    });
    drop(held);
}

/// A reload that cannot open the log is refused, and takes no time about it.
#[test]
fn a_pipe_without_a_reader_stalls_no_reload() {
    let world = World::new();
    let pipe = world.weir.directory().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let config = format!("[log]\naccess = {:?}\n", pipe.display().to_string());
    let said = world.weir.reload(&config);
    assert!(
        said.contains("not reloaded") && said.contains("nobody reads this pipe"),
        "{said}"
    );
    assert!(world.get(Family::V4).intercepted());
    until(SOON, "a line where they went before", || {
        world.weir.access_log().len() == 1
    });
}

#[test]
fn tls_is_known_by_the_name_it_asks_for() {
    let world = World::new();
    let mut connection = world.connect(Family::V4);
    connection.send(HELLO).unwrap();
    assert_eq!(connection.exactly(HELLO.len()).unwrap(), HELLO);
    connection.half_close().unwrap();
    connection.to_end().unwrap();
    let record = until_some(SOON, "its record", || world.weir.access_log().pop());
    assert_eq!(record["sni"], "a.example");
    assert_eq!(record["reason"], "tunnel");
}

/// A ClientHello with no more in it than it must have, and the name `a.example`.
const HELLO: &[u8] = b"\x16\x03\x01\x00\x41\x01\x00\x00\x3d\x03\x03\
    \x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\
    \x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\
    \x00\x00\x02\x13\x01\x01\x00\x00\x12\
    \x00\x00\x00\x0e\x00\x0c\x00\x00\x09a.example";
