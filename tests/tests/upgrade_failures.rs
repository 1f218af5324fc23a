//! A daemon that cannot take over leaves the running one as it was.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::{
        fd::AsFd as _,
        unix::net::{UnixListener, UnixStream},
    },
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use proxy_userspace::control::{
    handover::{Offer, offer},
    socket_path,
};
use serde_json::json;
use weir_tests::{
    Failed, Family, Layout, Load, Options, Plan, Weir, World, network, run_weir, until, weir_binary,
};

const SOON: Duration = Duration::from_secs(20);

#[track_caller]
fn goes_on(world: &World, pid: u32) {
    assert_eq!(world.weir.pid(), pid);
    assert_eq!(world.weir.status()["pid"], pid);
    for family in Family::BOTH {
        assert!(world.get(family).intercepted(), "{family:?}");
    }
}

#[test]
fn a_configuration_that_is_wrong_or_does_not_fit() {
    let mut world = World::new();
    let pid = world.weir.pid();
    for (config, words) in [
        ("[intercept]\nprots = [80]\n", "ports"),
        ("[host]\ntable = 4711\n", "host.table"),
        ("[workers]\ncount = 7\n", "workers.count"),
        ("[intercept]\nfamilies = [\"ipv4\"]\n", "intercept.families"),
    ] {
        world.weir.configure(config);
        let said = world.weir.try_upgrade();
        assert_eq!(said.code, Some(2), "{config}: {said:?}");
        assert!(said.err.contains(words), "{config}: {said:?}");
        assert!(said.err.contains("goes on"), "{config}: {said:?}");
        goes_on(&world, pid);
    }
    // What is only another setting is no hindrance.
    world.weir.configure("[intercept]\nports = [80, 8080]\n");
    world.weir.upgrade();
    assert_eq!(world.weir.status()["ports"], json!([80, 8080]));
    let pid = world.weir.pid();
    goes_on(&world, pid);
    // The new daemon has the lists, and takes edits.
    world.weir.bypass(&["add", "192.0.2.1"]);
    world.weir.stop();
}

#[test]
fn a_binary_that_is_none() {
    let world = World::new();
    let pid = world.weir.pid();
    for (binary, code) in [("/bin/false", 1), ("/nonexistent/weir", 1)] {
        let output = world.weir.command(&["upgrade", "--binary", binary]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(words.contains(binary), "{words}");
        goes_on(&world, pid);
    }
}

#[test]
fn nobody_to_take_over_from() {
    let output = run_weir(&["upgrade", "--instance", "test-of-nobody"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    // `--takeover` is a start then.
    let net = network(&Layout::default());
    let options = Options {
        arguments: vec!["--takeover".to_owned()],
        ..Options::default()
    };
    let mut weir = Weir::start(&net.router, &options);
    weir.stop();
}

/// The words of a successor that then goes, stays silent, or says something else.
#[test]
fn a_successor_that_does_not_come_to_an_end() {
    let mut world = World::new();
    let pid = world.weir.pid();
    let ask = || {
        let mut stream = UnixStream::connect(socket_path(&world.weir.run_dir())).unwrap();
        stream.write_all(b"{\"do\":\"take-over\"}\n").unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut offer = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut offer).unwrap();
        let offer: serde_json::Value = serde_json::from_slice(&offer).unwrap();
        assert_eq!(offer["Ok"]["pid"], pid);
        stream
    };
    drop(ask());
    world.weir.says("it has gone");
    goes_on(&world, pid);

    let mut stream = ask();
    stream.write_all(b"give it to me\n").unwrap();
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).unwrap();
    assert_eq!(answer, "kept\n");
    goes_on(&world, pid);

    // Meanwhile an edit waits, and is made.
    let stream = ask();
    let instance = world.weir.instance.clone();
    let edit =
        thread::spawn(move || run_weir(&["bypass", "add", "192.0.2.7", "--instance", &instance]));
    until(SOON, "a status meanwhile", || {
        world.weir.status()["pid"] == pid
    });
    drop(stream);
    assert!(edit.join().unwrap().status.success());
    assert!(world.weir.bypass(&["list"]).contains("192.0.2.7"));

    // Nobody can keep it from stopping.
    let _stream = ask();
    world.weir.stop();
}

#[test]
fn maps_of_another_version_are_refused() {
    let net = network(&Layout::default());
    let options = Options {
        arguments: vec!["--takeover".to_owned()],
        instance: Some(format!("abi-{}", std::process::id())),
        ..Options::default()
    };
    let run_dir = format!("/run/weir/abi-{}", std::process::id());
    std::fs::create_dir_all(&run_dir).unwrap();
    let listener = UnixListener::bind(socket_path(run_dir.as_ref())).unwrap();
    let fake = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let offered: Offer = serde_json::from_value(json!({
            "abi": 999, "version": "99.0", "pid": 1, "workers": 1, "families": [4, 6],
            "room": 1, "held": {}, "own": [], "stations": [], "parts": ["maps"],
            "journal": { "instance": "a", "pid": 1, "netns": 1, "socket_mark": 1, "table": 1 },
        }))
        .unwrap();
        offer(&stream, &Ok(offered), &[null.as_fd()]).unwrap();
    });
    let Failed { status, output, .. } = Weir::refused(&net.router, &options);
    fake.join().unwrap();
    assert_eq!(status.code(), Some(4), "{output}");
    assert!(output.contains("ABI version 999"), "{output}");
    std::fs::remove_dir_all(run_dir).unwrap();
}

/// At whatever moment the new process dies, there is one that intercepts, or none and everything
/// goes direct.
#[test]
fn a_new_process_that_is_killed_at_any_moment() {
    let mut world = World::new();
    let plans = Family::BOTH.map(|family| Plan::new(family, 41000..41100));
    // The moments are spread over what a takeover takes here and now.
    let began = Instant::now();
    world.weir.upgrade();
    let whole = began.elapsed();
    world.weir.drained();
    for step in 0..16 {
        let load = Load::start(&world.net.client, &plans);
        let mut new = successor(&world);
        let patience = whole * step / 12;
        let deadline = Instant::now() + patience;
        until(SOON, "the moment", || Instant::now() >= deadline);
        new.kill().unwrap();
        new.wait().unwrap();
        let dead = Instant::now();
        // The old one finds out.
        until(SOON, "the old one's word or end", || {
            world.weir.ended().is_some() || world.weir.command(&["status"]).status.success()
        });
        let seen = world.origin.connections();
        until(SOON, "load", || world.origin.connections() > seen + 100);
        for attempt in load.stop() {
            // What the dead one itself had accepted is lost, and no more.
            let was_there = attempt.started < dead;
            assert!(attempt.outcome.is_ok() || was_there, "{attempt:?}");
        }
        if world.weir.ended().is_some() {
            world.weir.start_again();
        }
        for family in Family::BOTH {
            assert!(world.get(family).intercepted());
        }
    }
    let pid = world.weir.pid();
    world.weir.upgrade();
    assert_ne!(world.weir.pid(), pid);
    world.weir.drained();
    world.weir.signal(Signal::SIGTERM);
    until(SOON, "the end", || world.weir.ended().is_some());
}

/// `weir run --takeover`, as the daemon was started.
fn successor(world: &World) -> Child {
    let directory = world.weir.directory().join("weir.toml");
    let netns = world.net.router.name();
    let mut command = Command::new(weir_binary());
    command
        .args(["run", "--takeover", "--netns", netns, "--instance"])
        .args([&world.weir.instance, "--lan", "lan0", "--wan", "wan0"])
        .arg("--config")
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}
