//! Weir's kernel contract.
#![no_std]
