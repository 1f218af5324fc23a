//! The seeds of the fuzz targets, what these have once found among them, as every run of the tests
//! has them: through the same code. `cargo xtask fuzz` goes on from there, and compares with hyper.

#![expect(
    unreachable_pub,
    reason = "the modules are those of `fuzz/`, where they are public"
)]

use std::{fs, path::Path};

#[path = "../../fuzz/src/body.rs"]
mod body;
#[path = "../../fuzz/src/chunked.rs"]
mod chunked;
#[path = "../../fuzz/src/head.rs"]
mod head;
#[path = "../../fuzz/src/lists.rs"]
mod lists;
#[path = "../../fuzz/src/packet.rs"]
mod packet;
#[path = "../../fuzz/src/plain.rs"]
mod plain;
#[path = "../../fuzz/src/setup.rs"]
mod setup;

/// Brings each seed of a target, and each beginning of it, to `run`.
#[track_caller]
fn all_of(target: &str, run: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target);
    let mut count = 0;
    for seed in fs::read_dir(seeds).unwrap() {
        let path = seed.unwrap().path();
        let seed = fs::read(&path).unwrap();
        for end in 0..=seed.len() {
            run(&seed[..end]);
        }
        count += 1;
    }
    assert!(count > 0, "no seeds of {target}");
}

#[test]
fn heads() {
    all_of("head", head::run);
    // The inputs have the same form.
    all_of("differential", head::run);
}

#[test]
fn chunked_bodies() {
    all_of("chunked", chunked::run);
}

#[test]
fn frames() {
    all_of("packet", packet::run);
}

#[test]
fn lists_of_prefixes() {
    all_of("lists", lists::run);
}
