//! Bypass lists that are as large as they may be, and disks that are.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use weir_tests::{Family, Layout, Options, Origin, Weir, World, get, network, until_some};

const SOON: Duration = Duration::from_secs(20);
const NO_SPACE: [&str; 2] = ["No space left on device", "the bypass lists are unchanged"];

#[test]
fn more_entries_than_there_may_be_are_refused_with_numbers() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("bypass");
    let config = format!("[bypass]\nentries = 10\ndirectory = {directory:?}\n");
    let world = World::with(&Layout::default(), &Options::config(&config), |_| {});
    let weir = &world.weir;
    let lines = |prefix: &str, numbers: std::ops::Range<u32>| -> String {
        numbers.map(|n| format!("{prefix}{n:x}\n")).collect()
    };
    for (family, name, prefix) in [
        (Family::V4, "IPv4", "198.18.0."),
        (Family::V6, "IPv6", "fd99::"),
    ] {
        weir.say_with(&["import", "-"], lines(prefix, 1..10)).done();
        weir.bypass(&["add", &format!("{prefix}99"), "--list", "other"]);
        let (entries, generation) = (weir.entries(), weir.generation());
        let origin = family.origin(0).to_string();
        let full = format!("11 {name} entries are more than 10");
        weir.say(&["add", &origin]).failed(2, &[&full]);
        weir.say(&["add", &origin, "--list", "new"])
            .failed(2, &[&full]);
        weir.say_with(&["replace", "-"], lines(prefix, 1..10) + &origin)
            .failed(2, &[&full]);
        assert_eq!(weir.entries(), entries);
        assert_eq!(weir.generation(), generation);
        assert!(world.get(family).intercepted());
        // What is there already needs no room, and in place of another one there is some.
        weir.say_with(&["import", "-"], lines(prefix, 1..10)).done();
        weir.say_with(&["replace", "-"], lines(prefix, 2..10) + &origin)
            .done();
        assert!(world.get(family).direct());
        weir.bypass(&["clear", "--list", "manual"]);
    }
    weir.say_with(&["import", "-"], lines("fd99::", 1..10))
        .done();
    // What matches both families counts in each.
    weir.say(&["add", "any", "--port", "80"])
        .failed(2, &["more than 10"]);
}

#[test]
fn a_disk_that_is_full_leaves_everything_as_it_is() {
    let net = network(&Layout::default());
    let _origin = Origin::start(&net.origin).unwrap();
    let place = tempfile::tempdir().unwrap();
    // This thread's own, and that of the daemon which it starts.
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let slave = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(None::<&str>, "/", None::<&str>, slave, None::<&str>).unwrap();
    let (tmpfs, size) = (Some("tmpfs"), Some("size=256k"));
    mount(tmpfs, place.path(), tmpfs, MsFlags::empty(), size).unwrap();
    let directory = place.path().join("bypass");
    let options = Options::config(&format!("[bypass]\ndirectory = {directory:?}\n"));
    let mut weir = Weir::start(&net.router, &options);
    let family = Family::V4;
    let get = || get(&net.client, (family.client(), 0), family.http());
    weir.bypass(&["add", "203.0.113.3"]);
    let many: String = (0..1000_u32)
        .map(|n| format!("198.18.{}.{}\n", n >> 8, n & 0xff))
        .collect();
    let comment = "x".repeat(200);
    for round in 0..2 {
        let ballast = place.path().join("ballast");
        fill(&ballast);
        // A log may have some room left in its last page.
        let mut numbers = 0..1000;
        let refused = until_some(SOON, "an edit that does not fit", || {
            let address = format!("198.19.0.{}", numbers.next()?);
            let said = weir.say(&["add", &address, "--comment", &comment]);
            (said.code != Some(0)).then_some(said)
        });
        refused.failed(1, &NO_SPACE);
        let (entries, generation) = (weir.entries(), weir.generation());
        for (arguments, input) in [
            (&["add", "203.0.113.2", "--list", "new"][..], ""),
            (&["import", "-"], &many[..]),
            (&["replace", "-"], &many),
            (&["clear", "--list", "manual"], ""),
        ] {
            let said = weir.say_with(arguments, input);
            if arguments[0] == "import" && round == 1 {
                assert!(said.done().out.contains("0 entries, 1000 there already"));
            } else {
                said.failed(1, &NO_SPACE);
            }
            assert!(get().intercepted());
            assert_eq!(weir.entries(), entries, "{arguments:?}");
            assert_eq!(weir.generation(), generation);
        }
        if round == 0 {
            weir.kill9();
            weir.start_again();
            assert_eq!(weir.entries(), entries);
        }
        fs::remove_file(&ballast).unwrap();
        assert_eq!(weir.generation(), generation);
        weir.bypass(&["add", "203.0.113.2"]);
        assert!(get().direct());
        weir.bypass(&["del", "203.0.113.2"]);
        weir.say_with(&["import", "-"], &many).done();
    }
    weir.stop();
    weir.start_again();
    let kept = weir.exported("manual");
    assert!(
        many.lines()
            .all(|line| kept.iter().any(|kept| kept == line))
    );
}

/// Leaves no octet free.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let full = loop {
        if let Err(error) = file.write(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
}
