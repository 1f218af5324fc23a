//! Tests that need more than one part of the room.

mod chunked;
