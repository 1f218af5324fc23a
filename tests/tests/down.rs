//! `weir down`, and daemons that end at the wrong moment.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use nix::sys::signal::Signal;
use weir_tests::{
    Family, HostState, Options, Weir, World, all_direct, lived_in, run_weir, until, until_some,
    use_it,
};

const SOON: Duration = Duration::from_secs(30);

/// Tries of a test that meets the start of a daemon at another moment each.
const TRIES: u32 = 20;

#[test]
fn a_daemon_that_hangs_is_said_to() {
    let (net, _origin) = lived_in();
    let before = HostState::of(&net.router, "nobody's");
    let mut weir = Weir::start(&net.router, &Options::default());
    let during = HostState::of(&net.router, &weir.instance);
    weir.sigstop();
    let bypass = ["bypass", "add", "203.0.113.2"];
    let outputs = thread::scope(|scope| {
        [&["down"][..], &["status"], &bypass]
            .map(|arguments| scope.spawn(|| weir.command(arguments)))
            .map(|thread| thread.join().unwrap())
    });
    for output in outputs {
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let named = text.contains(&weir.instance) && text.contains("does not answer");
        assert!(named, "{text}");
    }
    during.assert_same(
        &HostState::of(&net.router, &weir.instance),
        "after commands in vain",
    );

    weir.signal(Signal::SIGCONT);
    for family in Family::BOTH {
        until(SOON, "interception after SIGCONT", || {
            weir_tests::get(&net.client, (family.client(), 0), family.http()).intercepted()
        });
    }
    // What was reported as failed is not done after all.
    assert_eq!(weir.status()["bypass"]["entries"], 0);
    assert_eq!(weir.ended(), None);
    weir.ask(&["down"]);
    let status = until_some(SOON, "the daemon's end", || weir.ended());
    assert!(status.success(), "{status}\n{}", weir.output());
    before.assert_same(
        &HostState::of(&net.router, &weir.instance),
        "after weir down",
    );
}

#[test]
fn down_twice_finds_nothing() {
    let (net, _origin) = lived_in();
    let mut weir = Weir::start(&net.router, &Options::default());
    for crash in [false, true] {
        if crash {
            weir.start_again();
            weir.kill9();
        }
        weir.ask(&["down"]);
        until(SOON, "the daemon's end", || weir.ended().is_some());
        let again = weir.command(&["down"]);
        let text = String::from_utf8_lossy(&again.stderr);
        assert_eq!(again.status.code(), Some(5), "{text}");
        assert!(text.contains(&weir.instance), "{text}");
    }
    all_direct(&net);
}

#[test]
fn several_downs_at_once_all_succeed() {
    let mut world = World::new();
    // Something that the daemon waits for, so that all of them meet it while it stops.
    let mut slow = world.connect(Family::V4);
    slow.send("GET /slow/1000 HTTP/1.1\r\nHost: lab\r\n\r\n")
        .unwrap();
    until(SOON, "the request at the origin", || {
        world.origin.requests() == 1
    });
    let outputs = thread::scope(|scope| {
        [(); 4]
            .map(|()| scope.spawn(|| world.weir.command(&["down"])))
            .map(|thread| thread.join().unwrap())
    });
    for output in outputs {
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(slow.response().unwrap().status, 200);
    until(SOON, "the daemon's end", || world.weir.ended().is_some());
}

#[test]
fn commands_to_a_daemon_that_stops_are_answered() {
    let mut world = World::new();
    let mut slow = world.connect(Family::V4);
    slow.send("GET /slow/1500 HTTP/1.1\r\nHost: lab\r\n\r\n")
        .unwrap();
    until(SOON, "the request at the origin", || {
        world.origin.requests() == 1
    });
    world.weir.signal(Signal::SIGTERM);
    until(SOON, "its word", || {
        world.weir.output().contains("stopping")
    });
    let began = SystemTime::now();
    assert_eq!(world.weir.status()["mode"], "draining");
    let output = world.weir.command(&["bypass", "add", "192.0.2.1"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("stopping"), "{text}");
    assert!(world.weir.ended().is_none(), "it did not wait for the end");
    assert!(began.elapsed().unwrap() < Duration::from_secs(5));
    assert_eq!(slow.response().unwrap().status, 200);
    until(SOON, "the daemon's end", || world.weir.ended().is_some());
}

#[test]
fn a_damaged_journal_hinders_nobody() {
    let (net, _origin) = lived_in();
    let mut weir = Weir::start(&net.router, &Options::default());
    weir.stop();
    let before = HostState::of(&net.router, &weir.instance);
    for damage in [cut_short, empty, not_json, not_text] {
        weir.start_again();
        use_it(&net);
        let during = HostState::of(&net.router, &weir.instance);
        weir.kill9();
        damage(&journal(&weir));
        weir.start_again();
        use_it(&net);
        let after = HostState::of(&net.router, &weir.instance);
        for subject in ["rules -4", "rules -6", "routes -4", "routes -6"] {
            assert_eq!(during.lines(subject), after.lines(subject), "{subject}");
        }
        for subject in ["programs lan0", "programs wan0"] {
            let [during, after] = [&during, &after].map(|state| state.lines(subject).len());
            assert_eq!(during, after, "{subject}: one program, not two");
        }
        weir.stop();
        before.assert_same(&HostState::of(&net.router, &weir.instance), "after a stop");

        weir.start_again();
        use_it(&net);
        weir.kill9();
        damage(&journal(&weir));
        weir.ask(&["down"]);
        before.assert_same(&HostState::of(&net.router, &weir.instance), "after down");
        assert!(!locked_by(&weir.instance), "the namespace's lock is gone");
        all_direct(&net);
    }
}

#[test]
fn a_damaged_journal_of_somebody_else_hinders_nobody() {
    let worlds = [lived_in(), lived_in()];
    let mut weirs = worlds
        .each_ref()
        .map(|(net, _)| Weir::start(&net.router, &Options::default()));
    weirs[0].kill9();
    not_text(&journal(&weirs[0]));
    weirs[1].stop();
    weirs[1].start_again();
    use_it(&worlds[1].0);
    weirs[0].ask(&["down"]);
    all_direct(&worlds[0].0);
    use_it(&worlds[1].0);
}

#[test]
fn the_next_run_may_be_in_another_namespace() {
    let [(first, _origin), (second, _other)] = [lived_in(), lived_in()];
    let before = HostState::of(&first.router, "nobody's");
    let mut weir = Weir::start(&first.router, &Options::default());
    use_it(&first);
    weir.kill9();
    let options = Options {
        instance: Some(weir.instance.clone()),
        ..Options::default()
    };
    let mut elsewhere = Weir::start(&second.router, &options);
    use_it(&second);
    let mut after = HostState::of(&first.router, "nobody's");
    before.assert_same(&after, "where it was before");
    all_direct(&first);
    elsewhere.stop();
    assert!(
        !locked_by(&weir.instance),
        "both namespaces' locks are gone"
    );
    after = HostState::of(&first.router, &weir.instance);
    before.assert_same(&after, "after the stop");
}

#[test]
fn sigterm_at_any_moment_of_the_start_leaves_nothing() {
    let (net, _origin) = lived_in();
    let before = HostState::of(&net.router, "nobody's");
    for try_number in 0..TRIES {
        let mut weir = Weir::begin(&net.router, &Options::default());
        // Not to wait for anything: to meet the start at another moment each time.
        thread::sleep(random(Duration::from_millis(150), try_number));
        weir.signal(Signal::SIGTERM);
        let status = until_some(SOON, "the daemon's end", || weir.ended());
        let after = HostState::of(&net.router, &weir.instance);
        before.assert_same(&after, &format!("after {status}"));
        assert!(
            !weir.run_dir().exists() && !locked_by(&weir.instance),
            "{status}"
        );
    }
    all_direct(&net);
    // And another one can start.
    let mut weir = Weir::start(&net.router, &Options::default());
    use_it(&net);
    weir.stop();
}

#[test]
fn sigkill_at_any_moment_of_the_start_is_cleaned_up_after() {
    let (net, _origin) = lived_in();
    let before = HostState::of(&net.router, "nobody's");
    for try_number in 0..TRIES {
        let mut weir = Weir::begin(&net.router, &Options::default());
        thread::sleep(random(Duration::from_millis(150), try_number));
        weir.kill9();
        all_direct(&net);
        let down = weir.command(&["down"]);
        let text = String::from_utf8_lossy(&down.stderr);
        // 5: it had not changed anything yet.
        assert!(matches!(down.status.code(), Some(0 | 5)), "{text}");
        let after = HostState::of(&net.router, &weir.instance);
        before.assert_same(&after, &format!("after {down:?}"));
        assert!(!weir.run_dir().exists() && !locked_by(&weir.instance));
    }
}

#[test]
fn an_instance_that_never_was() {
    let output = run_weir(&["down", "--instance", "test-nobody"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let output = run_weir(&["down", "--instance", "../etc"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

fn journal(weir: &Weir) -> PathBuf {
    let path = weir.run_dir().join("journal.json");
    assert!(path.is_file(), "{}", path.display());
    path
}

fn cut_short(journal: &Path) {
    let text = fs::read(journal).unwrap();
    fs::write(journal, &text[..text.len() / 2]).unwrap();
}

fn empty(journal: &Path) {
    fs::write(journal, "").unwrap();
}

fn not_json(journal: &Path) {
    fs::write(journal, "no journal at all\n").unwrap();
}

fn not_text(journal: &Path) {
    fs::write(journal, [0xff, 0xfe, 0, 0x80]).unwrap();
}

/// Whether a lock of a network namespace below `/run/weir` bears the instance's name.
fn locked_by(instance: &str) -> bool {
    let entries = fs::read_dir("/run/weir").into_iter().flatten().flatten();
    let mut locks = entries.filter(|e| e.file_name().to_string_lossy().starts_with(".netns-"));
    locks.any(|lock| fs::read_to_string(lock.path()).is_ok_and(|owner| owner == instance))
}

/// Below `limit`; the tries spread over it, each at random within its part.
fn random(limit: Duration, try_number: u32) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let fraction = f64::from(now.unwrap().subsec_nanos() % 1000) / 1000.0;
    limit.mul_f64((f64::from(try_number) + fraction) / f64::from(TRIES))
}
