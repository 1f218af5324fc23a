//! What the daemon may do while it serves, what it may not, and who may talk to it.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::{
    At, Family, HostState, LAN, Layout, Options, Said, Weir, World, everybodys_weir, lived_in,
    redial, until, use_it,
};

const SOON: Duration = Duration::from_secs(20);

/// A user that owns nothing, with its number, which is that of its group, too.
const NOBODY: (&str, u32) = ("nobody", 65534);

/// What `docs/SECURITY.md` says is kept.
const KEPT: [&str; 4] = [
    "CAP_BPF",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
];

/// The same as the kernel writes it: bits 39, 12, 10 and 13 of `linux/capability.h`.
const KEPT_BITS: u64 = 1 << 39 | 1 << 12 | 1 << 10 | 1 << 13;

/// Files of a daemon that becomes nobody, in a directory of nobody's.
struct Nobodys(TempDir);

impl Nobodys {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        chown(directory.path(), Some(NOBODY.1), Some(NOBODY.1)).unwrap();
        Self(directory)
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("access.log")
    }

    fn lists(&self) -> PathBuf {
        self.0.path().join("bypass")
    }

    fn options(&self) -> Options {
        Options::config(&self.config(""))
    }

    fn config(&self, more: &str) -> String {
        format!(
            "[security]\nuser = {:?}\n[log]\naccess = {:?}\n[bypass]\ndirectory = {:?}\n{more}",
            NOBODY.0,
            self.log(),
            self.lists()
        )
    }

    fn world(&self) -> World {
        World::with(&Layout::default(), &self.options(), |_| {})
    }
}

/// `/proc/PID/task/TID/status` of every thread.
fn threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap())
        .collect()
}

/// The words behind a key of such a file.
fn field<'a>(status: &'a str, key: &str) -> Vec<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_else(|| panic!("no {key} in {status}"))
        .split_whitespace()
        .collect()
}

#[track_caller]
fn all_intercepted(world: &World) {
    for family in Family::BOTH {
        assert!(world.get(family).intercepted(), "{family:?}");
    }
}

#[test]
fn every_thread_keeps_what_serving_takes_and_no_more() {
    let nobodys = Nobodys::new();
    for (options, uid) in [(Options::default(), 0), (nobodys.options(), NOBODY.1)] {
        let world = World::with(&Layout::default(), &options, |_| {});
        all_intercepted(&world);
        let threads = threads(world.weir.pid());
        assert!(threads.len() >= 3, "keeper, workers and access log");
        for status in &threads {
            let ids = vec![uid.to_string(); 4];
            assert_eq!(field(status, "Uid:"), ids, "{status}");
            for set in ["CapPrm:", "CapEff:"] {
                let bits = u64::from_str_radix(field(status, set)[0], 16).unwrap();
                assert_eq!(bits, KEPT_BITS, "{set} of {status}");
            }
            let bounding = u64::from_str_radix(field(status, "CapBnd:")[0], 16).unwrap();
            assert_eq!(bounding & !KEPT_BITS, 0, "{status}");
            for set in ["CapInh:", "CapAmb:"] {
                assert_eq!(
                    field(status, set),
                    ["0000000000000000"],
                    "{set} of {status}"
                );
            }
            assert_eq!(field(status, "NoNewPrivs:"), ["1"], "{status}");
        }
        let said = world.weir.status()["security"].clone();
        assert_eq!(said["uid"], json!(uid));
        assert_eq!(said["capabilities"], json!(KEPT));
        assert_eq!(said["no_new_privs"], json!(true));
        assert_eq!(said["landlock"], json!("full"));
    }
}

/// Everything that the daemon does while it serves, as somebody who is not root.
#[test]
fn a_whole_life_as_nobody() {
    let nobodys = Nobodys::new();
    let (net, origin) = lived_in();
    let weir = Weir::start(&net.router, &nobodys.options());
    let before = HostState::of(&net.router, &weir.instance);
    let mut world = World { weir, origin, net };
    all_intercepted(&world);

    world.weir.bypass(&["add", "203.0.113.2"]);
    assert!(world.get(Family::V4).direct());
    world.weir.bypass(&["del", "203.0.113.2"]);
    all_intercepted(&world);

    redial([At(&world.net.client, "eth0"), At(&world.net.router, LAN)]);
    let attached = |weir: &Weir| weir.status()["interfaces"][0]["attached"].clone();
    until(SOON, "the link attached again", || {
        attached(&world.weir) != json!(0)
    });
    all_intercepted(&world);

    let renamed = nobodys.0.path().join("access.log.1");
    fs::rename(nobodys.log(), &renamed).unwrap();
    world.weir.signal(Signal::SIGUSR1);
    until(SOON, "another log", || nobodys.log().exists());
    all_intercepted(&world);
    until(SOON, "lines in it", || {
        fs::read_to_string(nobodys.log()).is_ok_and(|text| text.lines().count() >= 2)
    });
    assert_eq!(fs::metadata(nobodys.log()).unwrap().uid(), NOBODY.1);

    let said = world
        .weir
        .reload(&nobodys.config("[limits]\nfields = 50\n"));
    assert!(said.contains("configuration reloaded"), "{said}");

    world.weir.upgrade();
    all_intercepted(&world);
    let uid = |weir: &Weir| weir.status()["security"]["uid"].clone();
    assert_eq!(uid(&world.weir), json!(NOBODY.1));
    world.weir.bypass(&["add", "203.0.113.2"]);

    let why = world.weir.ask(&["why", "10.77.1.2", "203.0.113.2:80"]);
    assert!(why.contains("bypass"), "{why}");
    let after = HostState::of(&world.net.router, &world.weir.instance);
    assert_eq!(before.lines("files"), after.lines("files"));

    world.weir.stop();
    assert!(!world.weir.run_dir().exists());
    // Root's edit without a daemon is one that the next daemon can edit in turn.
    let config = world.weir.directory().join("weir.toml");
    let config = config.display().to_string();
    world
        .weir
        .ask(&["bypass", "add", "203.0.113.3", "--config", &config]);
    for file in fs::read_dir(nobodys.lists()).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().uid(), NOBODY.1);
    }
    world.weir.start_again();
    world.weir.bypass(&["del", "203.0.113.2", "203.0.113.3"]);
    all_intercepted(&world);
    world.weir.stop();
}

#[test]
fn nothing_is_left_of_a_daemon_that_is_not_root() {
    let nobodys = Nobodys::new();
    let (net, _origin) = lived_in();
    let before = HostState::of(&net.router, "security-left");
    let options = Options {
        instance: Some("security-left".to_owned()),
        ..nobodys.options()
    };
    let mut weir = Weir::start(&net.router, &options);
    use_it(&net);
    weir.stop();
    before.assert_same(
        &HostState::of(&net.router, "security-left"),
        "after SIGTERM",
    );
    weir.start_again();
    use_it(&net);
    weir.kill9();
    weir.ask(&["down"]);
    before.assert_same(
        &HostState::of(&net.router, "security-left"),
        "after SIGKILL and down",
    );
    weir.start_again();
    use_it(&net);
    weir.kill9();
    // What a dead daemon left is no hindrance, nor what it owned.
    weir.start_again();
    weir.ask(&["down"]);
    before.assert_same(&HostState::of(&net.router, "security-left"), "in the end");
}

#[test]
fn the_warden_ends_with_the_daemon() {
    let mut world = World::new();
    let children = format!("/proc/{0}/task/{0}/children", world.weir.pid());
    let warden = fs::read_to_string(children).unwrap().trim().to_owned();
    let name = fs::read_to_string(format!("/proc/{warden}/comm")).unwrap();
    assert_eq!(name.trim(), "weir-warden");
    // What a terminal or a service manager sends to all processes of a service.
    let pid = nix::unistd::Pid::from_raw(warden.parse().unwrap());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        nix::sys::signal::kill(pid, signal).unwrap();
    }
    world.weir.kill9();
    until(SOON, "the warden's end", || {
        // Whoever inherits it has not waited for it, perhaps.
        let stat = fs::read_to_string(format!("/proc/{warden}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
}

#[test]
fn without_its_warden_a_daemon_says_what_is_left() {
    let (net, _origin) = lived_in();
    let before = HostState::of(&net.router, "security-warden");
    let options = Options {
        instance: Some("security-warden".to_owned()),
        ..Options::default()
    };
    let mut weir = Weir::start(&net.router, &options);
    let children = format!("/proc/{0}/task/{0}/children", weir.pid());
    let warden = fs::read_to_string(children).unwrap().trim().to_owned();
    let pid = nix::unistd::Pid::from_raw(warden.parse().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    use_it(&net);
    weir.signal(Signal::SIGTERM);
    until(SOON, "the daemon's end", || weir.ended().is_some());
    weir.says("`weir down` tries again");
    weir.ask(&["down"]);
    before.assert_same(&HostState::of(&net.router, "security-warden"), "after down");
}

/// Root undoes things by it.
#[test]
fn the_journal_is_roots() {
    let nobodys = Nobodys::new();
    let world = nobodys.world();
    let run_dir = world.weir.run_dir();
    let journal = run_dir.join("journal.json");
    let metadata = fs::metadata(&journal).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o022), (0, 0));
    let inode = metadata.ino();
    let forged = nobodys.0.path().join("forged.json");
    fs::write(&forged, "{}").unwrap();
    let scripts = [
        format!("echo x > {}", journal.display()),
        format!("rm -f {}", journal.display()),
        format!("mv -f {} {}", forged.display(), journal.display()),
        format!("mv {} {}.away", journal.display(), journal.display()),
        format!("mv {} {}.away", run_dir.display(), run_dir.display()),
    ];
    for script in scripts {
        let output = as_nobody(&script);
        assert!(!output.status.success(), "{script}: {output:?}");
    }
    assert_eq!(fs::metadata(&journal).unwrap().ino(), inode);
    // Such are not its own files.
    let output = as_nobody(&format!("touch {0}/own && rm {0}/own", run_dir.display()));
    assert!(output.status.success(), "{output:?}");
}

/// A shell with the user and groups of the daemon, and none of its capabilities.
fn as_nobody(script: &str) -> std::process::Output {
    Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["sh", "-c", script])
        .stdin(Stdio::null())
        .output()
        .expect("setpriv, of util-linux")
}

#[test]
fn a_reload_cannot_reach_further() {
    let elsewhere = tempfile::tempdir().unwrap();
    let log = |path: &Path| format!("[log]\naccess = {:?}\n", path.join("access.log"));
    let world = World::new();
    let said = world.weir.reload(&log(elsewhere.path()));
    assert!(said.contains("configuration not reloaded"), "{said}");
    assert!(said.contains("Permission denied"), "{said}");
    assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());
    all_intercepted(&world);
    until(SOON, "lines in the old log", || {
        !world.weir.access_log().is_empty()
    });

    let without = format!("[security]\nlandlock = false\n{}", log(elsewhere.path()));
    let world = World::with(
        &Layout::default(),
        &Options::config("[security]\nlandlock = false\n"),
        |_| {},
    );
    assert_eq!(world.weir.status()["security"]["landlock"], json!("off"));
    let said = world.weir.reload(&without);
    assert!(said.contains("configuration reloaded"), "{said}");
}

#[test]
fn who_the_daemon_is_to_become_has_to_be() {
    let (net, _origin) = lived_in();
    let before = HostState::of(&net.router, "security-who");
    let refused = |config: &str| {
        let options = Options {
            instance: Some("security-who".to_owned()),
            ..Options::config(config)
        };
        Weir::refused(&net.router, &options)
    };
    let unknown = refused("[security]\nuser = \"no-such-user\"\n");
    assert_eq!(unknown.status.code(), Some(2), "{}", unknown.output);
    assert!(
        unknown.output.contains("useradd --system no-such-user"),
        "{}",
        unknown.output
    );
    // Its files are in a directory of root's.
    let strange = refused("[security]\nuser = \"nobody\"\n");
    assert!(
        strange.output.contains("as user nobody (security.user)")
            && strange.output.contains("Permission denied"),
        "{}",
        strange.output
    );
    before.assert_same(
        &HostState::of(&net.router, "security-who"),
        "after the refusals",
    );
}

/// The default directory of the lists is given to the user, with what is in it.
#[test]
fn links_are_not_followed_by_root() {
    let precious = tempfile::NamedTempFile::new().unwrap();
    let instance = format!("security-links-{}", std::process::id());
    let state = Path::new("/var/lib/weir").join(&instance);
    let lists = state.join("bypass");
    let _removed = Removed(state.clone());
    fs::create_dir_all(&lists).unwrap();
    std::os::unix::fs::symlink(precious.path(), lists.join("symbolic")).unwrap();
    let second = state.join("precious");
    fs::write(&second, "").unwrap();
    fs::hard_link(&second, lists.join("hard")).unwrap();
    fs::write(lists.join("plain"), "").unwrap();
    let options = Options {
        instance: Some(instance),
        ..Options::config("[security]\nuser = \"nobody\"\n[log]\naccess = \"off\"\n[bypass]\n")
    };
    let world = World::with(&Layout::default(), &options, |_| {});
    let owner = |path: &Path| fs::metadata(path).unwrap().uid();
    assert_eq!(owner(precious.path()), 0);
    assert_eq!(owner(&second), 0);
    assert_eq!(owner(&lists.join("plain")), NOBODY.1);
    assert_eq!(owner(&lists), NOBODY.1);
    world.weir.bypass(&["add", "203.0.113.2"]);
    assert!(world.get(Family::V4).direct());
}

/// A directory that goes with the test.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        // If it is empty.
        let _ = fs::remove_dir("/var/lib/weir");
    }
}

/// Groups that every Debian has, and that root is no member of, with their numbers.
const EDITORS: (&str, &str) = ("daemon", "1");
const READERS: (&str, &str) = ("bin", "2");

/// `weir ARGUMENTS`, as nobody and a member of that group alone.
fn as_member(binary: &Path, group: &str, weir: &Weir, arguments: &[&str]) -> Said {
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups"])
        .arg(format!("--regid={group}"))
        .arg(binary)
        .args(arguments)
        .args(["--instance", &weir.instance])
        .stdin(Stdio::null())
        .output();
    Said::of(&output.expect("setpriv, of util-linux"))
}

#[test]
fn readers_read_and_no_more() {
    let (_directory, binary) = everybodys_weir();
    for both in [false, true] {
        let editors = format!("group = \"{}\"\n", EDITORS.0);
        let editors = if both { &editors } else { "" };
        let config = format!("[control]\nread_group = \"{}\"\n{editors}", READERS.0);
        let mut world = World::with(&Layout::default(), &Options::config(&config), |_| {});
        let reader = |arguments: &[&str]| as_member(&binary, READERS.1, &world.weir, arguments);
        for arguments in [
            &["status"][..],
            &["flows"],
            &["bypass", "list"],
            &["bypass", "lists"],
            &["bypass", "learn", "--dry-run"],
            &["bypass", "test", "10.77.1.2", "203.0.113.2"],
            &["why", "10.77.1.2", "203.0.113.2:80"],
            &["config", "show"],
        ] {
            reader(arguments).done();
        }
        for arguments in [
            &["bypass", "add", "203.0.113.2"][..],
            &["bypass", "clear", "--list", "manual"],
            &["flows", "kill", "1"],
            &["reload"],
            &["down"],
        ] {
            reader(arguments).failed(3, &["not permitted"]);
        }
        let editor = as_member(
            &binary,
            EDITORS.1,
            &world.weir,
            &["bypass", "add", "203.0.113.9"],
        );
        if both {
            editor.done();
        } else {
            editor.failed(3, &["not permitted"]);
        }
        assert_eq!(world.weir.entries() == json!([]), !both);
        assert_eq!(world.weir.ended(), None);
        all_intercepted(&world);
    }
}

/// Where two groups may talk to it, everybody can connect; and is told so at once.
#[test]
fn strangers_are_told_so() {
    let (_directory, binary) = everybodys_weir();
    let config = format!(
        "[control]\nread_group = \"{}\"\ngroup = \"{}\"\n",
        READERS.0, EDITORS.0
    );
    let world = World::with(&Layout::default(), &Options::config(&config), |_| {});
    for arguments in [&["status"][..], &["bypass", "list"], &["down"]] {
        as_member(&binary, "65534", &world.weir, arguments).failed(3, &["not permitted"]);
    }
    // One who says nothing is not waited for.
    let script = "$s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; print <$s>";
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["perl", "-MIO::Socket::UNIX", "-e", script])
        .arg(world.weir.run_dir().join("control.sock"))
        .output()
        .expect("setpriv, of util-linux");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["failed"]["kind"], json!("not-permitted"));
}
