//! N workers; the story of one target: fetch → render → solve → check → assemble → publish → record.

pub mod event;
