//! Programs that this process has loaded.

use aya::programs::{SchedClassifier, loaded_programs};

/// The one of that name, of those of this process: programs have a descriptor where they are
/// loaded.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn loaded_here(name: &'static str) -> SchedClassifier {
    let mine: Vec<_> = std::fs::read_dir("/proc/self/fdinfo")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|info| {
            let id = info
                .lines()
                .find_map(|line| line.strip_prefix("prog_id:"))?;
            id.trim().parse::<u32>().ok()
        })
        .collect();
    let info = loaded_programs()
        .flatten()
        .find(|info| info.name_as_str() == Some(name) && mine.contains(&info.id()));
    SchedClassifier::from_program_info(info.unwrap(), name.into()).unwrap()
}
