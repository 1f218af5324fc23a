//! What the kernel says of the programs and maps that this process has descriptors of.

use std::fs;

const ARRAY: u64 = 2;

/// Ids of programs.
pub(crate) fn programs() -> Vec<u32> {
    ids("prog_id")
}

/// Ids of maps.
pub(crate) fn maps() -> Vec<u32> {
    ids("map_id")
}

/// The kernel's memory of the largest array, in octets.
pub(crate) fn largest_array() -> u64 {
    let texts = texts();
    let arrays = texts
        .iter()
        .filter(|text| number(text, "map_type") == Some(ARRAY));
    arrays
        .filter_map(|text| number(text, "memlock"))
        .max()
        .unwrap_or(0)
}

fn ids(what: &str) -> Vec<u32> {
    let numbers = texts().into_iter().filter_map(|text| number(&text, what));
    numbers.filter_map(|id| id.try_into().ok()).collect()
}

fn number(text: &str, what: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(what)?
            .strip_prefix(':')?
            .trim()
            .parse()
            .ok()
    })
}

fn texts() -> Vec<String> {
    let directory = fs::read_dir("/proc/self/fdinfo").expect("our descriptors");
    directory
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .collect()
}
