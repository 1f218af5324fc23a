//! What rules cost: `cargo xtask bench rules`.
//!
//! 10,000 rules are read from TOML and compiled; then requests of each kind are decided, one at a
//! time, each with the clock read before and behind it. [`rules`] says what the rules look like,
//! [`requests`] the requests. Every answer is compared with the rule that the request was made
//! for, so that nothing fast but wrong can win. A goal that is missed fails the command.
#![allow(clippy::print_stdout, reason = "it is what a benchmark is for")]

#[path = "rules/requests.rs"]
mod requests;
#[path = "rules/rules.rs"]
mod rules;
#[path = "rules/words.rs"]
mod words;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use proxy_userspace::{config::Config, policy::Policy};

use self::{
    requests::{KINDS, Question},
    rules::RuleSet,
};

const GOAL_P50: Duration = Duration::from_micros(3);
const GOAL_P99: Duration = Duration::from_micros(10);
const GOAL_COMPILE: Duration = Duration::from_secs(1);

/// How often all questions are asked; the times of all rounds count.
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let mut met = true;
    let set = RuleSet::usual();
    println!("{}\n", set.description);
    let policy = compile(&set, &mut met);
    let questions = requests::all(&set);
    println!(
        "\n{} requests, {ROUNDS} times, in random order:",
        questions.len()
    );
    met &= decide(&policy, &questions, true);

    let hard = RuleSet::without_strings();
    println!("\n{}\n", hard.description);
    let policy = compile(&hard, &mut met);
    println!();
    decide(&policy, &requests::all(&hard), false);
    if met {
        ExitCode::SUCCESS
    } else {
        println!("\na goal was missed; is the machine busy with something else?");
        ExitCode::FAILURE
    }
}

fn compile(set: &RuleSet, met: &mut bool) -> Policy {
    let begun = Instant::now();
    let config = Config::parse(&set.toml, "bench.toml").unwrap_or_else(|error| panic!("{error}"));
    let read = begun.elapsed();
    let begun = Instant::now();
    let mut policy = None;
    let memory = allocation_counter::measure(|| policy = Some(Policy::compile(&config.rules)));
    let compiled = begun.elapsed();
    let policy = policy.expect("it was compiled");
    let policy = policy.unwrap_or_else(|error| panic!("{error}"));
    println!(
        "{} rules, {} KiB of TOML",
        config.rules.len(),
        set.toml.len() / 1024
    );
    println!("  read      {read:>10.1?}");
    let verdict = verdict(read + compiled <= GOAL_COMPILE, met);
    println!("  compiled  {compiled:>10.1?}  goal, with reading: {GOAL_COMPILE:?} {verdict}");
    println!(
        "  memory    {:>7} KiB  (up to {} KiB while compiling)",
        memory.bytes_current / 1024,
        memory.bytes_max / 1024
    );
    policy
}

/// Asks all questions and prints how long it took; whether the goals were met, if they count.
fn decide(policy: &Policy, questions: &[Question], goals: bool) -> bool {
    let mut times = vec![Vec::new(); KINDS.len()];
    for _ in 0..ROUNDS {
        for question in questions {
            let request = question.request();
            let begun = Instant::now();
            let rule = policy.of_request(&question.connection, &request);
            let took = begun.elapsed();
            question.check(rule.map(|rule| &*rule.name));
            times[question.kind].push(took);
        }
    }
    let row = |what: &str, times: &mut [Duration]| {
        times.sort_unstable();
        let at = |per_mille: usize| times[(times.len() * per_mille / 1000).min(times.len() - 1)];
        let (p50, p99) = (at(500), at(990));
        println!(
            "  {what:<28} p50 {p50:>8.2?}  p99 {p99:>8.2?}  p99.9 {:>8.2?}  max {:>8.2?}",
            at(999),
            at(1000)
        );
        (p50, p99)
    };
    for (kind, times) in KINDS.iter().zip(&mut times) {
        if !times.is_empty() {
            row(kind, times);
        }
    }
    let (p50, p99) = row("all", &mut times.concat());
    let mut met = true;
    if goals {
        let verdict_p50 = verdict(p50 <= GOAL_P50, &mut met);
        let verdict_p99 = verdict(p99 <= GOAL_P99, &mut met);
        println!("  goals: p50 {GOAL_P50:?} {verdict_p50}, p99 {GOAL_P99:?} {verdict_p99}");
    }
    met
}

fn verdict(is_met: bool, met: &mut bool) -> &'static str {
    *met &= is_met;
    if is_met { "met" } else { "MISSED" }
}
