use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
    time::Instant,
};

use super::*;
use crate::observe::Format;

fn record(target: &[u8]) -> AccessRecord<'_> {
    AccessRecord {
        target: Some(target),
        ..crate::observe::record::example()
    }
}

/// The targets in a file's lines.
fn targets(path: &Path) -> Vec<String> {
    let target = |line: &str| {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        json["target"].as_str().unwrap().to_owned()
    };
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(target)
        .collect()
}

#[track_caller]
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A sink that takes a batch only when it is told to.
struct Gate {
    arrived: Sender<usize>,
    open: Receiver<()>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self
            .arrived
            .send(bytes.iter().filter(|byte| **byte == b'\n').count());
        // A dropped sender is a gate that stays open.
        let _ = self.open.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A log behind a gate; what arrives there, in lines, and what lets it through.
fn gated() -> (AccessLog, Receiver<usize>, Sender<()>) {
    let (arrived, arrivals) = channel();
    let (opener, open) = channel();
    let mut gate = Some(Gate { arrived, open });
    let output = Output::opened("gate".into(), move || match gate.take() {
        Some(gate) => Ok(Box::new(gate)),
        None => Err(io::ErrorKind::NotFound.into()),
    });
    (
        served(AccessLog::new(output.unwrap(), Style::default())),
        arrivals,
        opener,
    )
}

fn served(log: AccessLog) -> AccessLog {
    log.serve().unwrap();
    log
}

#[test]
fn lines_of_every_thread_arrive_whole_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    let log = served(AccessLog::open(&Sink::File(path.clone()), Style::default()).unwrap());
    thread::scope(|scope| {
        for thread in 0..4 {
            let log = log.clone();
            scope.spawn(move || {
                for line in 0..500 {
                    log.write(&record(format!("{thread}/{line}").as_bytes()));
                }
            });
        }
    });
    assert!(log.is_on());
    drop(log);

    let targets = targets(&path);
    assert_eq!(targets.len(), 2000);
    for thread in 0..4 {
        let prefix = format!("{thread}/");
        let own: Vec<_> = targets
            .iter()
            .filter_map(|target| target.strip_prefix(&prefix))
            .collect();
        assert!(
            own.into_iter()
                .eq((0..500).map(|line| line.to_string()).collect::<Vec<_>>())
        );
    }
}

#[test]
fn a_full_queue_loses_lines_and_never_waits() {
    let (log, arrivals, opener) = gated();
    log.write(&record(b"first"));
    assert_eq!(arrivals.recv().unwrap(), 1);
    for _ in 0..QUEUE_LINES + 10 {
        log.write(&record(b"next"));
    }
    assert_eq!(log.lost(), 10);
    opener.send(()).unwrap();
    assert_eq!(arrivals.recv().unwrap(), QUEUE_LINES);
    drop(opener);
    log.close();
    assert_eq!(log.lost(), 10);
}

#[test]
fn a_queue_is_full_by_bytes_too() {
    let (log, arrivals, opener) = gated();
    log.write(&record(b"first"));
    arrivals.recv().unwrap();
    let target = vec![b'a'; 1 << 20];
    for _ in 0..QUEUE_BYTES >> 20 {
        log.write(&record(&target));
    }
    assert_eq!(
        log.lost(),
        1,
        "the last one does not fit, with what is around the target"
    );
    drop(opener);
    log.close();
}

#[test]
fn closing_waits_for_what_is_queued() {
    let (log, arrivals, opener) = gated();
    for _ in 0..3 {
        log.write(&record(b"x"));
    }
    let first = arrivals.recv().unwrap();
    drop(opener);
    log.close();
    assert_eq!(first + arrivals.try_iter().sum::<usize>(), 3);
    log.write(&record(b"late"));
    assert_eq!(log.lost(), 1);
    log.close();
}

#[test]
fn closing_does_not_wait_for_ever() {
    let (log, arrivals, _opener) = gated();
    log.write(&record(b"x"));
    arrivals.recv().unwrap();
    let start = Instant::now();
    log.close();
    assert!(start.elapsed() >= CLOSE_WAIT && start.elapsed() < CLOSE_WAIT * 4);
}

#[test]
fn a_renamed_file_is_left_at_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let (path, renamed) = (
        directory.path().join("access.json"),
        directory.path().join("old.json"),
    );
    let log = served(AccessLog::open(&Sink::File(path.clone()), Style::default()).unwrap());
    log.write(&record(b"1"));
    eventually("line 1 is written", || targets(&path) == ["1"]);
    fs::rename(&path, &renamed).unwrap();
    log.write(&record(b"2"));
    eventually("line 2 follows the old file", || {
        targets(&renamed) == ["1", "2"]
    });
    log.reopen();
    eventually("the file is there again", || path.exists());
    log.write(&record(b"3"));
    log.close();
    assert_eq!(
        (targets(&renamed).len(), targets(&path)),
        (2, vec!["3".to_owned()])
    );
    assert_eq!(log.lost(), 0);
}

#[test]
fn a_redirection_takes_effect_with_the_next_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let log = served(AccessLog::open(&Sink::Off, Style::default()).unwrap());
    assert!(!log.is_on());
    log.write(&record(b"0"));
    log.redirect(&Sink::File(path("a")), Style::default())
        .unwrap();
    assert!(log.is_on());
    log.write(&record(b"1"));
    eventually("line 1 is written", || targets(&path("a")) == ["1"]);
    log.write(&record(b"2"));
    log.redirect(&Sink::File(path("b")), Style::default())
        .unwrap();
    log.write(&record(b"3"));
    assert!(
        log.redirect(&Sink::File(path("no/where")), Style::default())
            .is_err()
    );
    log.write(&record(b"4"));
    eventually("line 4 is written", || targets(&path("b")) == ["3", "4"]);
    log.redirect(&Sink::Off, Style::default()).unwrap();
    log.write(&record(b"5"));
    log.close();
    assert_eq!(
        (targets(&path("a")), targets(&path("b")).len()),
        (vec!["1".into(), "2".into()], 2)
    );
    assert_eq!(log.lost(), 0);
}

#[test]
fn a_sink_that_fails_loses_lines_until_it_is_opened_anew() {
    let log = served(AccessLog::open(&Sink::File("/dev/full".into()), Style::default()).unwrap());
    log.write(&record(b"1"));
    eventually("line 1 is lost", || log.lost() == 1);
    log.write(&record(b"2"));
    eventually("line 2 is lost", || log.lost() == 2);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.json");
    log.redirect(&Sink::File(path.clone()), Style::default())
        .unwrap();
    log.write(&record(b"3"));
    log.close();
    assert_eq!((log.lost(), targets(&path)), (2, vec!["3".to_owned()]));
}

#[test]
fn a_line_is_in_the_style_of_its_sink() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let log = served(AccessLog::open(&Sink::File(path("json")), Style::default()).unwrap());
    log.write(&record(b"/1"));
    let squid = Style {
        format: Format::Squid,
        ..Style::default()
    };
    log.redirect(&Sink::File(path("squid")), squid).unwrap();
    log.write(&record(b"/2"));
    log.close();
    assert_eq!(targets(&path("json")), ["/1"]);
    let line = fs::read_to_string(path("squid")).unwrap();
    assert!(
        line.contains(" TCP_MISS/200 ") && line.contains("/2 - "),
        "{line}"
    );
}
