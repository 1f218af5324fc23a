//! Two minutes of everything that happens to a daemon, at random, under load.
//!
//! What must hold whatever happens: no new connection fails but those that the fault itself takes
//! away, no body is another than was asked for, and in the end the host is as it was.
//! `WEIR_CHAOS_SECONDS` makes it longer, `WEIR_CHAOS_SEED` repeats one; the seed is printed.

use std::{
    env,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::sys::signal::Signal;
use weir_tests::{
    At, Attempt, Download, Downloads, Family, HostState, LAN, Load, Network, Options, Origin, Pace,
    Plan, WAN, Weir, lived_in, redial, until,
};

const SOON: Duration = Duration::from_secs(30);
/// How long it goes on, without `WEIR_CHAOS_SECONDS`.
const SECONDS: u64 = 120;
/// Daemons that may drain at once.
const GENERATIONS: usize = 4;
/// A prefix that nobody uses.
const NOBODY: &str = "198.51.100.0/24";

#[test]
fn everything_at_random() {
    let seed = number("WEIR_CHAOS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_secs() ^ u64::from(now.subsec_nanos())
    });
    let time = Duration::from_secs(number("WEIR_CHAOS_SECONDS").unwrap_or(SECONDS));
    eprintln!("WEIR_CHAOS_SEED={seed}");

    let (net, origin) = lived_in();
    let instance = format!("chaos-{}", std::process::id());
    // Links that are made again have other numbers and MAC addresses.
    let state = || HostState::of(&net.router, &instance).without(&["links", "addresses"]);
    let before = state();
    let options = Options {
        instance: Some(instance.clone()),
        config: config(0),
        ..Options::default()
    };
    let mut driver = Driver {
        weir: Weir::start(&net.router, &options),
        net: &net,
        origin: &origin,
        random: Random(seed),
        faults: Vec::new(),
        done: Vec::new(),
    };
    let plans = Family::BOTH.map(|family| Plan::new(family, 41000..42000));
    let load = Load::start(&net.client, &plans);
    let pace = Pace {
        length: 300_000,
        rate: 200_000,
    };
    let downloads = Downloads::start(&net.client, 20, pace);

    let began = Instant::now();
    while began.elapsed() < time {
        driver.step();
    }

    let attempts = load.stop();
    let downloads = downloads.stop();
    let Driver {
        mut weir,
        faults,
        done,
        ..
    } = driver;
    weir.drained();
    weir.stop();
    before.assert_same(&state(), "in the end");
    eprintln!(
        "{} acts, {} connections, {} downloads, {} faults in {time:?}",
        done.len(),
        attempts.len(),
        downloads.len(),
        faults.len()
    );
    let story = || format!("WEIR_CHAOS_SEED={seed} after {done:?}");
    assert!(
        attempts.len() > 1000,
        "{} attempts: {}",
        attempts.len(),
        story()
    );
    judge(&attempts, &downloads, &faults).unwrap_or_else(|wrong| panic!("{wrong}: {}", story()));
}

/// While it lasts, clients may notice.
#[derive(Clone, Copy, Debug)]
struct Fault {
    began: Instant,
    ended: Instant,
    /// Whom it takes away.
    takes: Takes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// What was accepted when it began: a daemon has died.
    Accepted,
    /// What was accepted in daemons that drain: one that starts has ended their sockets.
    Draining,
    /// Everything: there is no link.
    Everything,
}

impl Fault {
    /// Whether it explains that what lasted from `started` to `ended` failed.
    fn explains(&self, started: Instant, ended: Instant) -> bool {
        match self.takes {
            Takes::Accepted | Takes::Everything => started <= self.ended && ended >= self.began,
            Takes::Draining => started <= self.began && ended >= self.began,
        }
    }
}

fn judge(attempts: &[Attempt], downloads: &[Download], faults: &[Fault]) -> Result<(), String> {
    let explained = |started, ended| faults.iter().any(|it| it.explains(started, ended));
    let failed = attempts.iter().filter(|it| it.outcome.is_err());
    let wrong: Vec<_> = failed
        .filter(|it| !explained(it.started, it.ended))
        .collect();
    if let Some(first) = wrong.first() {
        return Err(format!(
            "{} connections failed, first {first:?}",
            wrong.len()
        ));
    }
    let other = |it: &&Download| {
        let error = it.outcome.as_ref().err();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::InvalidData)
    };
    let corrupted: Vec<_> = downloads.iter().filter(other).collect();
    if let Some(first) = corrupted.first() {
        return Err(format!(
            "{} bodies are others, first {first:?}",
            corrupted.len()
        ));
    }
    let failed = downloads.iter().filter(|it| it.outcome.is_err());
    let wrong: Vec<_> = failed
        .filter(|it| !explained(it.started, it.ended))
        .collect();
    match wrong.first() {
        Some(first) => Err(format!("{} downloads failed, first {first:?}", wrong.len())),
        None => Ok(()),
    }
}

struct Driver<'a> {
    weir: Weir,
    net: &'a Network,
    origin: &'a Origin,
    random: Random,
    faults: Vec<Fault>,
    done: Vec<&'static str>,
}

impl Driver<'_> {
    fn step(&mut self) {
        type Act<'a> = fn(&mut Driver<'a>);
        let acts: [(&str, Act<'_>); 9] = [
            ("upgrade", Self::upgrade),
            ("upgrade", Self::upgrade),
            ("reload", Self::reload),
            ("edit", Self::edit),
            ("edit", Self::edit),
            ("hang", Self::hang),
            ("kill", Self::kill),
            ("stop", Self::stop),
            ("flap", Self::flap),
        ];
        let (name, act) = acts[self.random.below(acts.len())];
        self.done.push(name);
        act(self);
        self.some_load();
    }

    /// Something has to happen between one act and the next.
    fn some_load(&self) {
        let seen = self.origin.connections();
        until(SOON, "new connections", || {
            self.origin.connections() > seen + 50
        });
    }

    fn upgrade(&mut self) {
        let weir = &mut self.weir;
        until(SOON, "room for one more that drains", || {
            weir.draining() < GENERATIONS
        });
        weir.upgrade();
    }

    fn reload(&mut self) {
        let said = self.weir.reload(&config(self.random.below(4)));
        assert!(!said.contains("not reloaded"), "{said}");
    }

    fn edit(&mut self) {
        let origins = Family::BOTH.map(|family| family.http().ip().to_string());
        let target = [NOBODY, &origins[0], &origins[1]][self.random.below(3)];
        let now: &[&str] = if self.random.below(2) == 0 {
            &["--now"]
        } else {
            &[]
        };
        let began = Instant::now();
        self.weir.bypass(&[&["add", target][..], now].concat());
        if !now.is_empty() && target != NOBODY {
            // `--now` resets what is intercepted.
            self.fault(began, Takes::Accepted);
        }
        self.some_load();
        self.weir.bypass(&["del", target]);
    }

    fn hang(&mut self) {
        self.weir.sigstop();
        let until_then = Instant::now() + Duration::from_millis(100 * self.random.below(25) as u64);
        until(SOON, "the end of the hang", || Instant::now() >= until_then);
        self.weir.signal(Signal::SIGCONT);
        until(SOON, "an answer", || {
            self.weir.command(&["status"]).status.success()
        });
    }

    fn kill(&mut self) {
        let began = Instant::now();
        self.weir.kill9();
        self.fault(began, Takes::Accepted);
        if self.random.below(2) == 0 {
            self.some_load();
        }
        self.start();
    }

    fn stop(&mut self) {
        self.weir.stop();
        if self.random.below(2) == 0 {
            self.some_load();
        }
        self.start();
    }

    fn start(&mut self) {
        let began = Instant::now();
        self.weir.start_again();
        self.fault(began, Takes::Draining);
    }

    fn flap(&mut self) {
        let (net, began) = (self.net, Instant::now());
        match self.random.below(2) {
            0 => redial([At(&net.router, LAN), At(&net.client, "eth0")]),
            _ => redial([At(&net.router, WAN), At(&net.origin, "eth0")]),
        }
        until(SOON, "both interfaces attached", || {
            let status = self.weir.status();
            let interfaces = status["interfaces"].as_array().unwrap().clone();
            interfaces.iter().all(|it| it["attached"] == true)
        });
        self.fault(began, Takes::Everything);
    }

    fn fault(&mut self, began: Instant, takes: Takes) {
        self.faults.push(Fault {
            began,
            ended: Instant::now(),
            takes,
        });
    }
}

/// Configurations that a reload may change into each other.
fn config(number: usize) -> String {
    let ports = ["[80]", "[80, 8080]"][number % 2];
    let via = number / 2 == 1;
    format!("[intercept]\nports = {ports}\n[http]\nvia = {via}\n[limits]\ndrain = \"20s\"\n")
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|error| panic!("{variable}={text}: {error}")),
    )
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap()
    }
}
