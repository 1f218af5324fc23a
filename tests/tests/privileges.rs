//! Somebody who may not: told so, and which privilege it takes, before anything has changed.

use std::{
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;
use weir_tests::{HostState, Options, Weir, everybodys_weir, lived_in, use_it};

/// `nobody` on Debian; any user that owns nothing will do.
const NOBODY: u32 = 65534;

/// `weir` where everybody may execute it.
struct Nobodys {
    _directory: TempDir,
    weir: PathBuf,
}

/// How a command ended, and what it said.
struct Ended {
    code: Option<i32>,
    text: String,
}

#[test]
fn run_names_the_capabilities_that_are_missing() {
    let (net, _origin) = lived_in();
    let nobodys = Nobodys::new();
    let before = HostState::of(&net.router, "privileges-run");
    let arguments = [
        "run",
        "--lan",
        "lan0",
        "--wan",
        "wan0",
        "--instance",
        "privileges-run",
    ];
    let inside = net.router.run(|| nobodys.weir(&arguments)).unwrap();
    assert_eq!(inside.code, Some(3), "{}", inside.text);
    for capability in ["CAP_NET_ADMIN", "CAP_BPF"] {
        assert!(inside.text.contains(capability), "{}", inside.text);
    }
    let from_outside = nobodys.weir(&[&arguments[..], &["--netns", net.router.name()]].concat());
    assert_eq!(from_outside.code, Some(3), "{}", from_outside.text);
    assert!(
        from_outside.text.contains("CAP_SYS_ADMIN"),
        "{}",
        from_outside.text
    );
    assert!(
        from_outside.text.contains(net.router.name()),
        "{}",
        from_outside.text
    );
    let after = HostState::of(&net.router, "privileges-run");
    before.assert_same(&after, "after the refusals");
}

#[test]
fn run_with_one_capability_names_the_other() {
    let (net, _origin) = lived_in();
    let nobodys = Nobodys::new();
    let before = HostState::of(&net.router, "privileges-one");
    for (given, missing) in [("net_admin", "CAP_BPF"), ("bpf", "CAP_NET_ADMIN")] {
        let mut command = net.router.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(format!("--inh-caps=+{given}"));
        command.arg(format!("--ambient-caps=+{given}"));
        command.arg(&nobodys.weir);
        command.args([
            "run",
            "--lan",
            "lan0",
            "--wan",
            "wan0",
            "--instance",
            "privileges-one",
        ]);
        let ended = Ended::of(command);
        assert_eq!(ended.code, Some(3), "{}", ended.text);
        assert!(ended.text.contains(missing), "{}", ended.text);
        let given = format!("CAP_{}", given.to_uppercase());
        assert!(!ended.text.contains(&given), "{}", ended.text);
    }
    let after = HostState::of(&net.router, "privileges-one");
    before.assert_same(&after, "after the refusals");
}

#[test]
fn commands_on_roots_instance_are_refused() {
    let (net, _origin) = lived_in();
    let weir = Weir::start(&net.router, &Options::default());
    let nobodys = Nobodys::new();
    let before = HostState::of(&net.router, &weir.instance);
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["bypass", "list"],
        &["bypass", "add", "203.0.113.2"],
        &["bypass", "del", "203.0.113.2"],
        &["down"],
    ] {
        let ended = nobodys.weir(&[arguments, &["--instance", &weir.instance]].concat());
        assert_eq!(ended.code, Some(3), "{arguments:?}: {}", ended.text);
        assert!(
            ended.text.contains(&weir.instance) && ended.text.contains("root"),
            "{arguments:?}: {}",
            ended.text
        );
    }
    assert_eq!(weir.status()["bypass"]["entries"], 0);
    use_it(&net);
    let after = HostState::of(&net.router, &weir.instance);
    for subject in [
        "rules -4",
        "rules -6",
        "routes -4",
        "routes -6",
        "programs lan0",
        "files",
    ] {
        assert_eq!(before.lines(subject), after.lines(subject), "{subject}");
    }
}

#[test]
fn what_a_crash_left_is_not_for_everybody_to_remove() {
    let (net, _origin) = lived_in();
    let mut weir = Weir::start(&net.router, &Options::default());
    weir.kill9();
    let nobodys = Nobodys::new();
    let before = HostState::of(&net.router, &weir.instance);
    let ended = nobodys.weir(&["down", "--instance", &weir.instance]);
    assert_eq!(ended.code, Some(3), "{}", ended.text);
    before.assert_same(
        &HostState::of(&net.router, &weir.instance),
        "after the refusal",
    );
    weir.ask(&["down"]);
}

#[test]
fn lab_says_which_command_to_run() {
    let nobodys = Nobodys::new();
    let ended = nobodys.weir(&["lab"]);
    assert_eq!(ended.code, Some(3), "{}", ended.text);
    assert!(ended.text.contains("sudo weir lab"), "{}", ended.text);
}

#[test]
fn what_needs_no_privilege_works_without() {
    let nobodys = Nobodys::new();
    for arguments in [&["config", "sample"][..], &["--version"], &["--help"]] {
        let ended = nobodys.weir(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.text);
    }
    let nobody = nobodys.weir(&["status", "--instance", "test-nobody"]);
    assert_eq!(nobody.code, Some(5), "{}", nobody.text);
}

impl Nobodys {
    fn new() -> Self {
        let (directory, weir) = everybodys_weir();
        Self {
            _directory: directory,
            weir,
        }
    }

    /// Runs it as nobody, in the network namespace of the calling thread.
    fn weir(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(&self.weir);
        command.args(arguments).uid(NOBODY).gid(NOBODY);
        Ended::of(command)
    }
}

impl Ended {
    fn of(mut command: Command) -> Self {
        let output = command.stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = [output.stdout, output.stderr].concat();
        Self {
            code: output.status.code(),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }
}
