//! Room `bypass`.
