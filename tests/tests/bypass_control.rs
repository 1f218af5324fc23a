//! Who may edit bypass lists: root, and the members of the group that `control.group` names.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _},
        net::UnixStream,
    },
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::json;
use tempfile::TempDir;
use weir_tests::{Family, Layout, Options, Said, Weir, World, everybodys_weir, network};

/// A group that every Linux has, and that root is no member of; its number.
const GROUP: (&str, u32) = ("daemon", 1);
const CONFIG: &str = "[control]\ngroup = \"daemon\"\n";

/// Any user that owns nothing will do, and any group besides.
const NOBODY: &str = "--reuid=65534";
const MEMBER: [&str; 3] = [NOBODY, "--regid=1", "--clear-groups"];
const SUPPLEMENTARY: [&str; 3] = [NOBODY, "--regid=65534", "--groups=1"];
const OTHER: [&str; 3] = [NOBODY, "--regid=65534", "--clear-groups"];
/// As root's process, but for the user.
const NEIGHBOUR: [&str; 3] = [NOBODY, "--regid=65534", "--groups=0,2,3"];

/// `weir` where everybody may execute it.
struct Users {
    _directory: TempDir,
    weir: PathBuf,
}

impl Users {
    fn new() -> Self {
        let (directory, weir) = everybodys_weir();
        Self {
            _directory: directory,
            weir,
        }
    }

    /// `weir ARGUMENTS` as a user with these options of `setpriv`.
    fn say(&self, who: &[&str], weir: &Weir, arguments: &[&str], input: &str) -> Said {
        let mut child = Command::new("setpriv")
            .args(who)
            .arg(&self.weir)
            .args(arguments)
            .args(["--instance", &weir.instance])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv, of util-linux");
        if let Some(mut pipe) = child.stdin.take() {
            let _ = pipe.write_all(input.as_bytes());
        }
        Said::of(&child.wait_with_output().unwrap())
    }
}

fn world(config: &str) -> World {
    let options = Options::config(config);
    World::with(&Layout::default(), &options, |_| {})
}

#[test]
fn members_read_and_edit() {
    let world = world(CONFIG);
    let users = Users::new();
    for who in [MEMBER, SUPPLEMENTARY] {
        let say = |arguments: &[&str], input: &str| {
            users.say(&who, &world.weir, arguments, input).done().out
        };
        assert!(world.get(Family::V4).intercepted());
        say(&["bypass", "add", "203.0.113.2", "--comment", "theirs"], "");
        assert!(world.get(Family::V4).direct());
        assert!(say(&["bypass", "list"], "").contains("theirs"));
        assert_eq!(say(&["bypass", "export"], ""), "203.0.113.2  # theirs\n");
        say(&["bypass", "import", "-"], "fd77:2::2\n");
        assert!(world.get(Family::V6).direct());
        say(&["bypass", "disable", "--list", "manual"], "");
        assert!(world.get(Family::V6).intercepted());
        say(&["bypass", "enable", "--list", "manual"], "");
        let said = say(&["bypass", "test", "10.77.1.2", "203.0.113.2"], "");
        assert!(said.starts_with("bypassed by 203.0.113.2"), "{said}");
        assert!(say(&["bypass", "lists"], "").contains("manual"));
        assert!(say(&["bypass", "show", "fd77:2::2"], "").contains("action   bypass"));
        assert!(say(&["status", "--json"], "").contains("\"generation\""));
        say(&["bypass", "learn", "--dry-run"], "");
        say(&["bypass", "replace", "-"], "203.0.113.2\n");
        say(&["bypass", "del", "203.0.113.2"], "");
        say(&["bypass", "clear", "--list", "manual"], "");
        assert_eq!(world.weir.entries(), json!([]));
    }
}

#[test]
fn members_do_nothing_else() {
    let mut world = world(CONFIG);
    let users = Users::new();
    for who in [MEMBER, SUPPLEMENTARY] {
        let said = users.say(&who, &world.weir, &["down"], "");
        said.failed(3, &["not permitted"]);
        assert_eq!(world.weir.ended(), None);
        assert!(world.get(Family::V4).intercepted());
    }
    // Nor by what no command says: a line of one's own.
    for request in ["stop", "reload"] {
        let script = "$s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die \"connect: $!\"; \
                      print $s $ARGV[1], \"\\n\"; $s->flush; print scalar <$s>";
        let output = Command::new("setpriv")
            .args(MEMBER)
            .args(["perl", "-MIO::Socket::UNIX", "-e", script])
            .arg(world.weir.run_dir().join("control.sock"))
            .arg(json!({ "do": request }).to_string())
            .output()
            .expect("setpriv, of util-linux");
        let said = Said::of(&output).done();
        assert!(said.out.contains("not-permitted"), "{said:?}");
    }
    assert_eq!(world.weir.ended(), None);
    assert!(world.get(Family::V6).intercepted());
    assert!(!world.weir.output().contains("reloaded"));
    // Root may.
    world.weir.ask(&["down"]);
    assert!(world.get(Family::V4).direct());
}

#[test]
fn others_do_nothing_at_all() {
    let world = world(CONFIG);
    let users = Users::new();
    world.weir.bypass(&["add", "203.0.113.3"]);
    let (entries, generation) = (world.weir.entries(), world.weir.generation());
    for who in [OTHER, NEIGHBOUR] {
        for (arguments, input) in [
            (&["bypass", "list"][..], ""),
            (&["bypass", "add", "203.0.113.2"], ""),
            (&["bypass", "import", "-"], "203.0.113.2\n"),
            (&["bypass", "replace", "-"], "203.0.113.2\n"),
            (&["bypass", "del", "203.0.113.3"], ""),
            (&["bypass", "clear", "--list", "manual"], ""),
            (&["bypass", "disable", "--list", "manual"], ""),
            (&["bypass", "test", "10.77.1.2", "203.0.113.2"], ""),
            (&["status"], ""),
            (&["down"], ""),
        ] {
            let said = users.say(&who, &world.weir, arguments, input);
            said.failed(3, &["not permitted"]);
        }
    }
    assert_eq!(world.weir.entries(), entries);
    assert_eq!(world.weir.generation(), generation);
    assert!(world.get(Family::V4).intercepted());
}

#[test]
fn without_a_group_it_is_root_alone() {
    let world = world("");
    let users = Users::new();
    for who in [MEMBER, SUPPLEMENTARY, OTHER, NEIGHBOUR] {
        let said = users.say(&who, &world.weir, &["bypass", "add", "203.0.113.2"], "");
        said.failed(3, &["not permitted", "control.group"]);
    }
    assert_eq!(world.weir.entries(), json!([]));
    assert_eq!(socket(&world.weir), (0o600, 0, 0));
    world.weir.bypass(&["add", "203.0.113.2"]);
}

#[test]
fn the_socket_and_the_files_say_who_may() {
    let mut world = world(CONFIG);
    for _ in 0..2 {
        assert_eq!(socket(&world.weir), (0o660, 0, GROUP.1));
        world.weir.kill9();
        world.weir.start_again();
    }
    world.weir.bypass(&["add", "203.0.113.2"]);
    world.weir.bypass(&["add", "203.0.113.3"]);
    let directory = world.weir.directory().join("bypass");
    let mut files = 0;
    for file in fs::read_dir(directory).unwrap() {
        let file = file.unwrap().metadata().unwrap();
        assert_eq!((file.uid(), file.mode() & 0o022), (0, 0), "{file:?}");
        files += 1;
    }
    assert!(files > 0);
}

#[test]
fn a_group_that_does_not_exist_is_refused_by_name() {
    let net = network(&Layout::default());
    let options = Options::config("[control]\ngroup = \"no-such-group\"\n");
    let failed = Weir::refused(&net.router, &options);
    assert_eq!(failed.status.code(), Some(2), "{}", failed.output);
    for word in ["control.group", "no-such-group"] {
        assert!(failed.output.contains(word), "{}", failed.output);
    }
    let run_dir = format!("/run/weir/{}", failed.instance);
    assert!(!PathBuf::from(run_dir).exists());
}

/// What is left of a command that was killed while it sent.
#[test]
fn half_a_request_is_none() {
    let world = world(CONFIG);
    world.weir.bypass(&["add", "203.0.113.3"]);
    let (entries, generation) = (world.weir.entries(), world.weir.generation());
    let replace = json!({ "replace": { "entries": "203.0.113.2\n".repeat(200_000) } });
    let edit = json!({ "do": "bypass-edit", "list": "manual", "edit": replace, "end": false });
    let line = edit.to_string();
    // All but the last brace is more than a socket takes unread.
    for length in [1, 20, line.len() / 2, line.len() - 1] {
        let mut waiting = UnixStream::connect(world.weir.run_dir().join("control.sock")).unwrap();
        waiting.write_all(&line.as_bytes()[..length]).unwrap();
        // It keeps nobody else waiting.
        assert_eq!(world.weir.entries(), entries);
        waiting.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        waiting.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("not a request"), "{length}: {answer}");
        let mut gone = UnixStream::connect(world.weir.run_dir().join("control.sock")).unwrap();
        gone.write_all(&line.as_bytes()[..length]).unwrap();
        drop(gone);
        assert_eq!(world.weir.entries(), entries);
    }
    assert_eq!(world.weir.generation(), generation);
    assert!(world.get(Family::V4).intercepted());
}

/// Mode, user and group of the control socket.
fn socket(weir: &Weir) -> (u32, u32, u32) {
    let socket = fs::metadata(weir.run_dir().join("control.sock")).unwrap();
    assert!(socket.file_type().is_socket());
    (socket.mode() & 0o7777, socket.uid(), socket.gid())
}
