//! The daemon and the commands that talk to it, each started by an `ip netns exec` of its own:
//! every one of them has a private mount namespace.

use std::process::{Command, Stdio};

use weir_tests::{Family, Layout, Origin, get, network, until, weir_binary};

#[test]
fn separate_execs_find_each_other() {
    let net = network(&Layout::default());
    let _origin = Origin::start(&net.origin).unwrap();
    let instance = format!("execs-{}", std::process::id());
    let weir = |arguments: &[&str]| -> Command {
        let mut command = net.router.command(weir_binary().to_str().unwrap());
        command.args(arguments).args(["--instance", &instance]);
        command
    };
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("weir.toml");
    let list = directory.path().join("bypass.json");
    std::fs::write(
        &config,
        format!("[bypass]\ndirectory = {:?}\n", list.display().to_string()),
    )
    .unwrap();
    let mut daemon = weir(&["run", "--lan", "lan0", "--wan", "wan0"])
        .args(["--config", config.to_str().unwrap()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until(std::time::Duration::from_secs(30), "weir status", || {
        weir(&["status", "--json"])
            .output()
            .unwrap()
            .status
            .success()
    });

    let origin = Family::V4.origin(0).to_string();
    let ask = || get(&net.client, (Family::V4.client(), 0), Family::V4.http());
    assert!(ask().intercepted());
    assert!(
        weir(&["bypass", "add", &origin])
            .status()
            .unwrap()
            .success()
    );
    assert!(ask().direct());
    let listed = weir(&["bypass", "list", "--json"]).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains(&origin));

    // And from outside of the namespace.
    let down = Command::new(weir_binary())
        .args(["down", "--instance", &instance])
        .status();
    assert!(down.unwrap().success());
    assert!(daemon.wait().unwrap().success());
    assert!(ask().direct());
}
