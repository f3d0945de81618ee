//! Certificates of listeners: what the gateway would say of them, said before it starts.

use super::World;
use crate::diagnostic::{Code, Diagnostic};
use crate::doc::system::{CertificateDoc, TlsDoc};
use crate::source::{At, join, show_path};
use ondol_core::clock::{Clock, SystemClock};
use ondol_proxy::tls::certificate::{Certificate, Dates, Unfit, authorities, contents};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub(super) fn check(world: &World<'_>, tls: &TlsDoc, found: &mut Vec<Diagnostic>) {
    if tls.certificates.value.is_empty() && !world.broken_within(tls.certificates.at) {
        let here = Diagnostic::error(Code::Value, tls.certificates.at, "no certificate");
        found.push(here.hint("name one, as `[{ cert: tls/shop.crt, key: tls/shop.key }]`"));
    }
    for certificate in &tls.certificates.value {
        pair(world, certificate, found);
    }
    if let Some(client) = &tls.client {
        found.extend(authorities_of(world, &client.ca));
    }
}

/// What is wrong with a file of authorities.
pub(super) fn authorities_of(world: &World<'_>, written: &At<String>) -> Option<Diagnostic> {
    let file = join(world.root, written);
    let read = contents(&file).and_then(|text| authorities(&file, &text));
    let unfit = read.err()?;
    Some(Diagnostic::error(Code::Certificate, written.at, words(world, &unfit)))
}

fn pair(world: &World<'_>, doc: &CertificateDoc, found: &mut Vec<Diagnostic>) {
    let (cert, key) = (join(world.root, &doc.cert), join(world.root, &doc.key));
    match Certificate::read(&cert, &key) {
        Err(unfit) => {
            let at = if unfit.file() == key { doc.key.at } else { doc.cert.at };
            found.push(Diagnostic::error(Code::Certificate, at, words(world, &unfit)));
        }
        Ok(certificate) => {
            if let Some(what) = Dates::of(&certificate, SystemClock.wall()).words(&certificate) {
                found.push(Diagnostic::warning(Code::Dates, doc.cert.at, what));
            }
            if is_open(&key) {
                let key = show_path(world.root, &key);
                let what = format!("everybody on this machine can read `{key}`");
                found.push(Diagnostic::warning(Code::OpenKey, doc.key.at, what).hint(format!("chmod 600 {key}")));
            }
        }
    }
}

/// What is wrong, with paths as the manifest has them.
fn words(world: &World<'_>, unfit: &Unfit) -> String {
    unfit.to_string().replace(&format!("{}/", world.root.display()), "")
}

/// Whether others than owner and group may read it.
fn is_open(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|about| about.permissions().mode() & 0o004 != 0)
}
