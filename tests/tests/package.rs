//! The Debian package, on a machine with a systemd of its own: `cargo xtask dist --check`.

use std::{env, fs, path::Path, time::Duration};

use weir_tests::{
    Connection, Dial, Family, HeldThread, HostState, Layout, Machine, Network, Origin, connect,
    dial, get, lived_in, network, until,
};

const SOON: Duration = Duration::from_secs(60);

const UNIT: &str = "weir.service";

/// What the machine's own tools have changed by the end, and no package takes back.
const TRACES: [&str; 9] = [
    "etc/.pwd.lock",
    "etc/machine-id",
    "etc/systemd",
    "var/cache",
    "var/lib/dpkg",
    "var/lib/man-db",
    "var/lib/systemd",
    "var/log",
    "usr/sbin/policy-rc.d",
];

/// One package that `cargo xtask dist` has made.
#[track_caller]
fn package(variable: &str) -> Vec<u8> {
    let path = env::var_os(variable)
        .unwrap_or_else(|| panic!("no {variable}: `cargo xtask dist --check` runs this"));
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", Path::new(&path).display()))
}

#[track_caller]
fn install(machine: &Machine, variable: &str) {
    machine.put("/tmp/weir.deb", &package(variable));
    machine.does(&["dpkg", "--install", "/tmp/weir.deb"]);
}

/// As the manual has it.
#[track_caller]
fn configure(machine: &Machine) {
    let edit = "s/^lan = .*/lan = [\"lan0\"]/; s/^wan = .*/wan = [\"wan0\"]/";
    machine.does(&["sed", "-i", edit, "/etc/weir/weir.toml"]);
}

struct Installed {
    machine: Machine,
    origin: Origin,
    net: Network,
}

impl Installed {
    fn new() -> Self {
        let net = network(&Layout::default());
        let origin = Origin::start(&net.origin).unwrap();
        let machine = Machine::boot(&net.router);
        install(&machine, "WEIR_PACKAGE");
        Self {
            machine,
            origin,
            net,
        }
    }

    fn started() -> Self {
        Self::started_with(|_| {})
    }

    fn started_with(prepare: impl FnOnce(&Machine)) -> Self {
        let installed = Self::new();
        configure(&installed.machine);
        prepare(&installed.machine);
        installed
            .machine
            .does(&["systemctl", "enable", "--now", UNIT]);
        installed
    }

    #[track_caller]
    fn intercepts(&self) {
        for family in Family::BOTH {
            let from = (family.client(), 0);
            assert!(get(&self.net.client, from, family.http()).intercepted());
        }
    }

    /// A request that is answered after that many milliseconds.
    #[track_caller]
    fn slow_request(&self, milliseconds: u32) -> Connection {
        let seen = self.origin.requests();
        let family = Family::V4;
        let mut connection = connect(&self.net.client, (family.client(), 0), family.http());
        let head = format!("GET /slow/{milliseconds} HTTP/1.1\r\nHost: lab\r\n\r\n");
        connection.send(&head).unwrap();
        until(SOON, "the request at the origin", || {
            self.origin.requests() > seen
        });
        connection
    }

    /// Waits until another process is the main one, and intercepts.
    #[track_caller]
    fn is_another(&self, before: &str) {
        until(SOON, "another main process", || {
            let state = self.machine.property("ActiveState");
            let main = self.machine.property("MainPID");
            state == "active" && main != before && main != "0"
        });
        self.intercepts();
    }
}

#[test]
#[ignore = "wants a package: `cargo xtask dist --check`"]
fn what_is_in_it_is_as_it_should_be() {
    let Installed { machine, .. } = Installed::new();
    assert_eq!(machine.does(&["dpkg", "--verify", "weir"]), "");
    // Nothing to say about the unit, which names pages of the manual.
    let verified = machine.run(&["systemd-analyze", "verify", UNIT]).done();
    assert_eq!(verified.out + &verified.err, "");
    // The scale ends at 10, "UNSAFE".
    machine.does(&["systemd-analyze", "security", "--threshold=50", UNIT]);
    machine.does(&["weir", "config", "check", "/etc/weir/weir.toml"]);
    for (page, word) in [("weir", "doctor"), ("weir-bypass-add", "--comment")] {
        let text = machine
            .run(&["man", "--pager=cat", "--warnings", page])
            .done();
        assert!(text.out.contains(word), "{page}: {}", text.out);
        assert_eq!(text.err, "", "{page}");
    }
    let complete = ". /usr/share/bash-completion/completions/weir && complete -p weir";
    assert!(machine.does(&["bash", "-c", complete]).contains("weir"));
    for shells in [
        "zsh/vendor-completions/_weir",
        "fish/vendor_completions.d/weir.fish",
    ] {
        machine.does(&["test", "-s", &format!("/usr/share/{shells}")]);
    }
    // Where there is nothing else.
    machine.does(&["mkdir", "/tmp/nothing"]);
    machine.does(&["cp", "/usr/bin/weir", "/tmp/nothing"]);
    machine.does(&["chroot", "/tmp/nothing", "/weir", "--version"]);
}

#[test]
#[ignore = "wants a package: `cargo xtask dist --check`"]
fn it_starts_when_it_has_been_told_the_interfaces() {
    let installed = Installed::new();
    let machine = &installed.machine;
    machine.does(&["id", "weir"]);
    for directory in ["/run/weir", "/var/lib/weir", "/var/log/weir"] {
        machine.does(&["test", "-d", directory]);
    }
    let state = machine.run(&["systemctl", "is-enabled", UNIT]);
    assert_eq!(state.out.trim(), "disabled");
    assert_eq!(machine.property("ActiveState"), "inactive");
    // The configuration names none. Another try would be no better.
    assert_eq!(machine.run(&["systemctl", "start", UNIT]).code, Some(1));
    assert_eq!(machine.property("ActiveState"), "failed");
    assert_eq!(machine.property("ExecMainStatus"), "2");
    assert_eq!(machine.property("NRestarts"), "0");
    let status = machine.property("StatusText");
    assert!(status.contains("no interfaces"), "{status}");
    configure(machine);
    machine.does(&["systemctl", "start", UNIT]);
    let status = machine.property("StatusText");
    assert!(
        status.starts_with("intercepting IPv4+IPv6 port 80"),
        "{status}"
    );
    installed.intercepts();
}

#[test]
#[ignore = "wants a package: `cargo xtask dist --check`"]
fn the_service_lives_and_leaves_nothing() {
    let (net, origin) = lived_in();
    let machine = Machine::boot(&net.router);
    install(&machine, "WEIR_PACKAGE");
    configure(&machine);
    let before = HostState::of(&net.router, "default");
    machine.does(&["systemctl", "start", UNIT]);
    let installed = Installed {
        machine,
        origin,
        net,
    };
    let machine = &installed.machine;
    installed.intercepts();
    let main = machine.property("MainPID");
    // Bypass lists, the log and the control socket are where the unit lets them be.
    machine.does(&["weir", "bypass", "add", "192.0.2.0/24"]);
    machine.does(&["weir", "doctor"]);
    let log = "s|^access = .*|access = \"/var/log/weir/access.log\"|";
    machine.does(&["sed", "-i", log, "/etc/weir/weir.toml"]);
    machine.does(&["weir", "reload"]);
    installed.intercepts();
    until(SOON, "an access log", || {
        machine
            .run(&["test", "-s", "/var/log/weir/access.log"])
            .code
            == Some(0)
    });
    assert_eq!(machine.property("MainPID"), main);
    // A reload is an upgrade, and from a shell it would not be the service's.
    let shells = machine.run(&["weir", "upgrade"]);
    shells.failed(2, &["`systemctl reload weir.service`"]);
    let mut connection = installed.slow_request(3000);
    machine.does(&["systemctl", "reload", UNIT]);
    installed.is_another(&main);
    assert_eq!(connection.response().unwrap().status, 200);
    // One that cannot be leaves everything as it is.
    let main = machine.property("MainPID");
    machine.does(&["sh", "-c", "echo nonsense >> /etc/weir/weir.toml"]);
    assert_eq!(machine.run(&["systemctl", "reload", UNIT]).code, Some(1));
    assert_eq!(machine.property("ActiveState"), "active");
    assert_eq!(machine.property("MainPID"), main);
    installed.intercepts();
    machine.does(&["systemctl", "stop", UNIT]);
    assert_eq!(machine.property("Result"), "success");
    before.assert_same(
        &HostState::of(&installed.net.router, "default"),
        "after the stop",
    );
    assert_eq!(machine.does(&["find", "/run/weir", "-mindepth", "1"]), "");
}

#[test]
#[ignore = "wants a package: `cargo xtask dist --check`"]
fn one_that_dies_or_hangs_is_started_again() {
    let installed = Installed::started_with(|machine| {
        let soon = b"[Service]\nWatchdogSec=3s\nStartLimitBurst=0\n";
        machine.put("/etc/systemd/system/weir.service.d/soon.conf", soon);
        machine.does(&["systemctl", "daemon-reload"]);
    });
    let machine = &installed.machine;
    installed.intercepts();
    let main = machine.property("MainPID");
    machine.does(&[
        "systemctl",
        "kill",
        "--kill-who=main",
        "--signal=KILL",
        UNIT,
    ]);
    installed.is_another(&main);
    let main = machine.property("MainPID");
    hangs(machine, 1);
    installed.is_another(&main);
    // The watchdog is that of the process that has taken over.
    let main = machine.property("MainPID");
    machine.does(&["systemctl", "reload", UNIT]);
    installed.is_another(&main);
    let main = machine.property("MainPID");
    hangs(machine, 2);
    installed.is_another(&main);
}

/// Has a worker hang until the watchdog has ended its process, for the so many-th time.
#[track_caller]
fn hangs(machine: &Machine, time: usize) {
    let _held = HeldThread::of(machine.main_pid(), "worker-0");
    until(SOON, "the watchdog", || {
        machine.journal().matches("Watchdog timeout").count() == time
    });
    // What is killed ends when nobody traces it any more.
}

/// Until somebody starts it again, new connections go direct, or are refused where they shall be.
#[test]
#[ignore = "wants a package: `cargo xtask dist --check`"]
fn what_a_dead_one_has_left_goes_unless_it_fails_closed() {
    let once = |machine: &Machine| {
        let once = b"[Service]\nRestart=no\n";
        machine.put("/etc/systemd/system/weir.service.d/once.conf", once);
        machine.does(&["systemctl", "daemon-reload"]);
    };
    let dies = |installed: &Installed| {
        let machine = &installed.machine;
        installed.intercepts();
        machine.does(&[
            "systemctl",
            "kill",
            "--kill-who=main",
            "--signal=KILL",
            UNIT,
        ]);
        until(SOON, "the end", || {
            machine.property("ActiveState") == "failed"
        });
    };
    let open = Installed::started_with(once);
    dies(&open);
    let rules = open.net.router.ip(&["rule"]).unwrap();
    assert!(!rules.contains("8780"), "{rules}");
    let from = (Family::V4.client(), 0);
    assert!(get(&open.net.client, from, Family::V4.http()).direct());
    drop(open);

    let closed = Installed::started_with(|machine| {
        once(machine);
        let closed = "s/^on_failure = .*/on_failure = \"closed\"/";
        machine.does(&["sed", "-i", closed, "/etc/weir/weir.toml"]);
    });
    dies(&closed);
    let to = Family::V4.http();
    let refused = closed.net.client.run(|| dial(&Dial::new(from, to)));
    assert!(refused.unwrap().is_err());
    closed.machine.does(&["weir", "down"]);
    assert!(get(&closed.net.client, from, Family::V4.http()).direct());
}

#[test]
#[ignore = "wants a package: `cargo xtask dist --check`"]
fn an_upgrade_of_the_package_cuts_nothing() {
    let installed = Installed::started();
    let machine = &installed.machine;
    let main = machine.property("MainPID");
    let mut connection = installed.slow_request(15_000);
    install(machine, "WEIR_NEXT_PACKAGE");
    let version = machine.does(&["dpkg-query", "--show", "--showformat=${Version}", "weir"]);
    assert!(version.ends_with("-2"), "{version}");
    installed.is_another(&main);
    assert_eq!(connection.response().unwrap().status, 200);
    // The operator's configuration stays.
    let config = machine.does(&["cat", "/etc/weir/weir.toml"]);
    assert!(config.contains("lan = [\"lan0\"]"));
    assert_eq!(
        machine.does(&["systemctl", "is-enabled", UNIT]).trim(),
        "enabled"
    );
    assert_eq!(machine.property("NRestarts"), "0");
}

#[test]
#[ignore = "wants a package: `cargo xtask dist --check`"]
fn removed_and_purged_it_leaves_nothing() {
    let (net, origin) = lived_in();
    let machine = Machine::boot(&net.router);
    let files = machine.changed();
    let host = HostState::of(&net.router, "default");
    install(&machine, "WEIR_PACKAGE");
    configure(&machine);
    machine.does(&["systemctl", "enable", "--now", UNIT]);
    let installed = Installed {
        machine,
        origin,
        net,
    };
    let machine = &installed.machine;
    installed.intercepts();
    machine.does(&["weir", "bypass", "add", "192.0.2.0/24"]);
    machine.does(&["dpkg", "--remove", "weir"]);
    host.assert_same(
        &HostState::of(&installed.net.router, "default"),
        "after the removal",
    );
    assert_eq!(machine.run(&["pgrep", "-x", "weir"]).out, "");
    // What the operator has written stays until it is purged.
    machine.does(&["test", "-f", "/etc/weir/weir.toml"]);
    machine.does(&["test", "-f", "/var/lib/weir/default/bypass/manual.list"]);
    machine.does(&["dpkg", "--purge", "weir"]);
    let mut left = machine.changed();
    left.retain(|path, what| {
        let is_trace = TRACES.iter().any(|trace| path.starts_with(trace));
        // The copies of the files of users and groups before the last change.
        let is_copy = path.starts_with("etc") && path.to_string_lossy().ends_with('-');
        files.get(path) != Some(what) && !is_trace && !is_copy
    });
    assert!(left.is_empty(), "{left:#?}");
    for directory in ["run", "etc", "var/lib", "var/log", "var/cache"] {
        let found = machine.does(&["find", &format!("/{directory}"), "-name", "*weir*"]);
        assert_eq!(found, "");
    }
    assert_eq!(machine.run(&["id", "weir"]).code, Some(1));
    host.assert_same(
        &HostState::of(&installed.net.router, "default"),
        "after the purge",
    );
}
