//! What stands in for an error: one thing, that is there and that can be an answer.

use super::World;
use crate::diagnostic::{Code, Diagnostic};
use crate::doc::policy::FallbackDoc;
use crate::source::At;

/// It is in every snapshot and every proxy's memory, bytes.
const LARGEST_BODY: usize = 16 << 10;
/// Those that are no answer to a whole request.
const NO_ANSWERS: [u16; 2] = [206, 304];

pub(super) fn check(world: &World<'_>, doc: &FallbackDoc, found: &mut Vec<Diagnostic>) {
    let answer = [
        ("status", doc.status.map(|status| status.at)),
        ("content_type", doc.content_type.as_ref().map(|kind| kind.at)),
        ("body", doc.body.as_ref().map(|body| body.at)),
    ];
    let answer = answer.into_iter().filter_map(|(key, at)| Some((key, at?)));
    match &doc.service {
        Some(service) => {
            let written = At {
                value: service.value.as_str().to_owned(),
                at: service.at,
            };
            world.known_service(&written, "errors are stood in for by", found);
            for (key, at) in answer {
                let here = Diagnostic::error(
                    Code::Conflict,
                    at,
                    format!("a fallback with `service` takes no `{key}`"),
                );
                found.push(here.note(service.at, "it answers itself"));
            }
        }
        None if answer.count() == 0 && !world.broken_within(doc.at) => {
            let here = Diagnostic::error(Code::MissingKey, doc.at, "a fallback needs a `service` or an answer");
            found.push(here.hint("as `{ service: NAME }`, or `{ status: 200, body: \"[]\" }`"));
        }
        None => {}
    }
    if let Some(status) = doc.status.filter(|status| NO_ANSWERS.contains(&status.value.0)) {
        let message = format!("{} answers only who asked for it", status.value.0);
        found.push(Diagnostic::error(Code::Value, status.at, message));
    }
    if let Some(body) = doc.body.as_ref().filter(|body| body.value.len() > LARGEST_BODY) {
        let message = "a fallback's body is at most 16 KiB";
        found.push(Diagnostic::error(Code::Value, body.at, message));
    }
}
