//! `weir top` in a terminal.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::pty::{Winsize, openpty};
use weir_tests::{Family, GET, Stage, Weir, until, until_some, weir_binary};

const SOON: Duration = Duration::from_secs(20);

/// A terminal with `weir top` in it.
struct Terminal {
    child: Child,
    keys: File,
    screen: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Terminal {
    fn open(weir: &Weir) -> Self {
        let size = Winsize {
            ws_row: 40,
            ws_col: 160,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        let child = Command::new(weir_binary())
            .args(["top", "--interval", "0.1", "--instance", &weir.instance])
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        drop(pair.slave);
        let screen = std::sync::Arc::default();
        let keys = File::from(pair.master);
        read(keys.try_clone().unwrap().into(), &screen);
        Self {
            child,
            keys,
            screen,
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is written. A terminal is told of what changes only.
    #[track_caller]
    fn shows(&self, text: &str) {
        until(SOON, text, || self.screen.lock().unwrap().contains(text));
    }
}

/// Until the other end is closed.
fn read(from: OwnedFd, screen: &std::sync::Arc<std::sync::Mutex<String>>) {
    let screen = std::sync::Arc::clone(screen);
    let mut from = File::from(from);
    thread::spawn(move || {
        let mut octets = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut octets) {
            let text = String::from_utf8_lossy(&octets[..length]);
            screen.lock().unwrap().push_str(&text);
        }
    });
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_shows_flows_ends_one_and_leaves_the_terminal_as_it_was() {
    let stage = Stage::new();
    let (mut client, mut origin) = stage.begin(Family::V4, GET);
    origin.expect(GET);
    let mut terminal = Terminal::open(&stage.weir);
    terminal.shows(&client.local.to_string());
    terminal.shows("requests/s");
    terminal.press("4");
    terminal.shows("intercepted");
    terminal.press("1");
    terminal.press("k");
    terminal.shows("y: yes");
    assert_eq!(stage.weir.outcomes("killed"), 0);
    terminal.press("y");
    client.expect_reset_after(b"");
    terminal.press("q");
    let status = until_some(SOON, "its end", || terminal.child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    // The alternate screen is left, and the cursor is back.
    terminal.shows("\u{1b}[?1049l");
    terminal.shows("\u{1b}[?25h");
}

#[test]
fn without_a_terminal_it_says_what_else_there_is() {
    let stage = Stage::new();
    let told = stage.weir.command(&["top"]);
    assert_eq!(told.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&told.stderr).contains("weir status"));
}
