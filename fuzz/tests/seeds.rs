//! The seeds of the differential target, what it has once found among them. Those of the others go
//! through theirs in the tests of the workspace, which has no hyper.

use std::{fs, path::Path};

#[test]
fn what_is_forwarded_is_read_alike() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/differential");
    let mut count = 0;
    for seed in fs::read_dir(seeds).unwrap() {
        weir_fuzz::differential::run(&fs::read(seed.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 10, "{count} seeds");
}
