//! What the fuzz targets do with an input, each in a module of its own: here, so that the seeds go
//! through it in tests as well, those of the workspace (`tests/tests/fuzz_seeds.rs`) included.

pub mod body;
pub mod chunked;
pub mod differential;
pub mod head;
pub mod lists;
pub mod origin;
pub mod packet;
pub mod plain;
pub mod relay;
pub mod setup;
