//! What fuzzing and the ordinary tests feed with hostile bytes: one function per parser, which panics where a promise is broken.
//!
//! `fuzz/` at the repository's root calls these functions by `cargo xtask fuzz`; the tests below feed them with the conformance
//! tables and with `fuzz/corpus/`, which began with those tables, is kept minimal, and holds every input that ever broke a
//! promise. A new target is a row in [`TARGETS`], a file in `fuzz/fuzz_targets/` and a folder of the corpus.
//!
//! - [`heads`]: what is read is legal, and what is written from it reads the same
//! - [`framing`]: a whole connection against [`model`], a plain and slow reader of the same rules, and answers; however the bytes are cut
//! - [`grpc_web`]: bodies of browsers' calls against a plain and slow reader; however they are cut
//! - [`around`]: paths, forwarded addresses, HTTP/2 heads, deadlines; [`token`]

mod around;
mod framing;
mod grpc_web;
mod heads;
mod model;
mod token;

/// One target: its name, which is that of its folder in `fuzz/corpus/`, and what its input is given to.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 10] = [
    ("request_head", heads::request),
    ("response_head", heads::response),
    ("chunks", framing::chunks),
    ("connection", framing::connection),
    ("path", around::path),
    ("forwarded", around::forwarded),
    ("h2_head", around::h2_head),
    ("token", token::token),
    ("deadline", around::deadline),
    ("grpc_web", grpc_web::request),
];

/// Gives an input to the target of this name.
///
/// # Panics
/// When a promise is broken, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS
        .iter()
        .find(|(other, _)| *other == name)
        .expect("a target of this name");
    target(data);
}

#[cfg(test)]
#[path = "fuzzing/tests.rs"]
mod tests;
