//! How instances are chosen: that what is to be hashed is said where it is needed, and only there.

use super::World;
use crate::diagnostic::{Code, Diagnostic};
use crate::doc::policy::{BalanceDoc, HashDoc};
use crate::source::{At, Span};
use crate::value::Short;
use crate::value_balance::Algorithm;

const HINT: &str = "such as `balance: { algorithm: maglev, hash: { header: x-customer } }`";

pub(super) fn check(world: &World<'_>, balance: &Short<At<Algorithm>, BalanceDoc>, found: &mut Vec<Diagnostic>) {
    let (algorithm, hash) = match balance {
        Short::Short(algorithm) => (algorithm, None),
        Short::Long(doc) => (&doc.algorithm, doc.hash.as_ref()),
    };
    let at = balance.at(|doc| doc.at);
    let hashes = matches!(algorithm.value, Algorithm::RingHash | Algorithm::Maglev);
    match hash {
        None if hashes && !world.broken_within(at) => {
            let message = "a hash needs `hash`: by what requests belong together";
            found.push(Diagnostic::error(Code::MissingKey, at, message).hint(HINT));
        }
        Some(hash) if !hashes => {
            let at = hash.at(|doc| doc.at);
            let here = Diagnostic::error(Code::Conflict, at, "only `ring-hash` and `maglev` take `hash`");
            found.push(here.note(algorithm.at, "this one hashes nothing"));
        }
        Some(Short::Long(doc)) => one_key(world, doc, found),
        _ => {}
    }
}

fn one_key(world: &World<'_>, doc: &HashDoc, found: &mut Vec<Diagnostic>) {
    let written = [
        doc.header.as_ref().map(|name| name.at),
        doc.cookie.as_ref().map(|name| name.at),
        doc.query.as_ref().map(|name| name.at),
    ];
    let written: Vec<Span> = written.into_iter().flatten().collect();
    match *written {
        [] if !world.broken_within(doc.at) => {
            let message = "a hash needs one of `header`, `cookie` and `query`";
            found.push(Diagnostic::error(Code::MissingKey, doc.at, message).hint(HINT));
        }
        [first, second, ..] => {
            let message = "a hash has one of `header`, `cookie` and `query`";
            found.push(Diagnostic::error(Code::Conflict, second, message).note(first, "first here"));
        }
        _ => {}
    }
}
