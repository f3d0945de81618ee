//! Certificates that say to other systems who is who: made at a start, and anew long before they end.
//!
//! They are files in `.ondol/mesh/` that the proxy reads; each is replaced at half of its life, so that a controller that is away for the
//! other half harms nothing. When is [`Made::is_due`]; the authority is `ondol-discovery`'s. Those of services that are gone are removed
//! once no proxy serves by a snapshot that names them.

use crate::config::{MeshPlan, SystemPlan};
use ondol_core::clock::Timestamp;
use ondol_core::id::ServiceName;
use ondol_core::whole;
use ondol_core::wire::proxy::{CertificateFiles, Identity, Snapshot};
use ondol_discovery::authority::{Authority, AuthorityError};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// After something went wrong.
const RETRY: Duration = Duration::from_secs(10);

/// Where the files of the mesh are, in the system's folder.
pub fn folder(root: &Path) -> PathBuf {
    root.join(".ondol/mesh")
}

/// The folder, mode 0700; made if there is none.
///
/// # Errors
/// [`AuthorityError::File`].
pub fn made_folder(root: &Path) -> Result<PathBuf, AuthorityError> {
    let folder = folder(root);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    match made {
        Ok(()) => Ok(folder),
        Err(source) => Err(AuthorityError::File { file: folder, source }),
    }
}

/// Who speaks with other systems: every service, the gateway, and `ondol`.
pub fn identities(plan: &SystemPlan) -> impl Iterator<Item = Identity> {
    let folder = folder(&plan.root);
    let services = plan.services.iter().map(|service| service.service.clone());
    let all = services.chain([ServiceName::gateway(), ServiceName::ondol()]);
    all.map(move |service| {
        let file = folder.join(format!("{service}.pem"));
        let files = CertificateFiles {
            cert: file.clone(),
            key: file,
        };
        Identity { service, files }
    })
}

/// One that this process has made.
#[derive(Clone, Copy)]
struct Made {
    at: Timestamp,
    /// What was asked; it ends earlier where its authority does.
    lifetime: Duration,
    ends: Timestamp,
}

impl Made {
    /// Whether it is replaced now, at half of its life. A clock that was set back makes it strange: then too. Not where another one
    /// would end no later, since the authority ends.
    fn is_due(&self, now: Timestamp, last: Timestamp) -> bool {
        let life = Duration::from_millis(u64::try_from(self.ends.0 - self.at.0).unwrap_or(0));
        now < self.at || (now >= self.at.plus(life / 2) && self.ends < last)
    }
}

/// So many are made anew at a time; those that there are not yet all at once.
const A_TURN: usize = 16;

/// When a file was written, and which it is: another authority has another.
type Mark = Option<(SystemTime, u64)>;

fn mark(file: &Path) -> Mark {
    let about = std::fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.ino()))
}

/// Whose certificate a file of the folder is; an authority's name is no service's.
fn service_of(file: &Path) -> Option<ServiceName> {
    let stem = file.file_name()?.to_str()?.strip_suffix(".pem")?;
    stem.parse().ok()
}

/// Those that were made by this process.
#[derive(Default)]
pub(crate) struct Identities {
    authority: Option<(Authority, Mark)>,
    made: BTreeMap<ServiceName, Made>,
    not_before: Option<Timestamp>,
    /// The generation after which files were removed last.
    swept: Option<u64>,
    /// What is to be said of the authority's end.
    warning: Option<String>,
    /// Why there are none, or old ones.
    pub(crate) problem: Option<String>,
}

impl Identities {
    /// Makes what is due. A few files, and those seldom; next to nothing else.
    pub(crate) fn turn(&mut self, plan: &SystemPlan, now: Timestamp) {
        let Some(mesh) = &plan.mesh else {
            let swept = self.swept;
            *self = Self {
                swept,
                ..Self::default()
            };
            return;
        };
        if self
            .not_before
            .is_some_and(|until| now < until && until < now.plus(RETRY * 2))
        {
            return;
        }
        match self.make(plan, mesh, now) {
            Ok(()) => (self.not_before, self.problem) = (None, None),
            Err(error) => {
                tracing::error!(code = "DP-020", %error, "certificates for other systems cannot be made");
                self.not_before = Some(now.plus(RETRY));
                self.problem = Some(format!("certificates for other systems cannot be made: {error}"));
            }
        }
    }

    fn make(&mut self, plan: &SystemPlan, mesh: &MeshPlan, now: Timestamp) -> Result<(), AuthorityError> {
        let lifetime = Duration::from_millis(mesh.certificate_lifetime_ms);
        let file = Authority::file(&folder(&plan.root), &mesh.domain);
        let same = |(known, seen): &(Authority, Mark)| {
            *known.domain() == mesh.domain && seen.is_some() && *seen == mark(&file)
        };
        if !self.authority.as_ref().is_some_and(same) {
            let folder = made_folder(&plan.root)?;
            // Before it is read: one that is put in its place meanwhile is another.
            let seen = mark(&file);
            let new = Authority::open(&folder, &mesh.domain, now)?;
            self.authority = Some((new, seen.or_else(|| mark(&file))));
            self.made.clear();
        }
        let Some((authority, _)) = &self.authority else {
            return Ok(());
        };
        let warning = authority.warning(now);
        if let Some(said) = warning.as_ref().filter(|_| self.warning.is_none()) {
            tracing::warn!(code = "DP-022", "{said}");
        }
        self.warning = warning;
        let mut renewed = 0;
        for Identity { service, files } in identities(plan) {
            let known = self.made.get(&service).filter(|_| files.cert.exists());
            if known.is_some_and(|made| made.lifetime == lifetime && !made.is_due(now, authority.ends())) {
                continue;
            }
            if known.is_some() {
                renewed += 1;
                if renewed > A_TURN {
                    continue;
                }
            }
            let issued = authority.issue(&service, now, lifetime)?;
            whole::write(&files.cert, issued.pem.as_bytes())?;
            let made = Made {
                at: now,
                lifetime,
                ends: issued.not_after,
            };
            self.made.insert(service, made);
        }
        Ok(())
    }

    /// What is wrong now, and what will be.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &str> {
        self.problem.iter().chain(&self.warning).map(String::as_str)
    }

    /// Removes the certificates, with their keys, of services that neither the plan nor `served` names: the snapshot by which all
    /// proxies serve. Once for each generation.
    pub(crate) fn sweep(&mut self, plan: &SystemPlan, served: &Snapshot) {
        if self.swept.replace(served.generation) == Some(served.generation) {
            return;
        }
        let planned = plan.mesh.iter().flat_map(|_| identities(plan));
        let of_served = served.mesh.iter().flat_map(|mesh| mesh.identities.iter().cloned());
        let stay: BTreeSet<ServiceName> = planned.chain(of_served).map(|identity| identity.service).collect();
        // Without the folder there is nothing to remove.
        let files = std::fs::read_dir(folder(&plan.root)).into_iter().flatten();
        for file in files.filter_map(|entry| Some(entry.ok()?.path())) {
            let Some(service) = service_of(&file).filter(|service| !stay.contains(service)) else {
                continue;
            };
            match std::fs::remove_file(&file) {
                Ok(()) => tracing::info!(%service, "its certificate for other systems is removed: the service is gone"),
                Err(error) => {
                    tracing::warn!(file = %file.display(), %error, "a certificate of a service that is gone stays")
                }
            }
            self.made.remove(&service);
        }
    }
}

#[cfg(test)]
#[path = "identities_tests.rs"]
mod tests;
