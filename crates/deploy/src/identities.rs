//! Certificates that say to other systems who is who: made at a start, and anew long before they end.
//!
//! They are files in `.ondol/mesh/` that the proxy reads; each is replaced at half of its life, so that a controller that is away for the
//! other half harms nothing. When is [`is_due`]; the authority is `ondol-discovery`'s.

use crate::config::{MeshPlan, SystemPlan};
use ondol_core::clock::Timestamp;
use ondol_core::id::ServiceName;
use ondol_core::whole;
use ondol_core::wire::proxy::{CertificateFiles, Identity};
use ondol_discovery::authority::{Authority, AuthorityError};
use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// After something went wrong.
const RETRY: Duration = Duration::from_secs(10);

/// Where the files of the mesh are, in the system's folder.
pub fn folder(root: &Path) -> PathBuf {
    root.join(".ondol/mesh")
}

/// Makes the folder, mode 0700, and gives the authority in it.
///
/// # Errors
/// [`AuthorityError`].
pub fn authority(
    root: &Path,
    domain: &ondol_core::id::SystemName,
    now: Timestamp,
) -> Result<Authority, AuthorityError> {
    let folder = folder(root);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|source| AuthorityError::File {
        file: folder.clone(),
        source,
    })?;
    Authority::open(&folder, domain, now)
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

/// Whether a certificate made at `made` is replaced now. A clock that was set back makes it strange: then too.
fn is_due(made: Timestamp, now: Timestamp, lifetime: Duration) -> bool {
    now < made || now >= made.plus(lifetime / 2)
}

/// So many are made anew at a time; those that there are not yet all at once.
const A_TURN: usize = 16;

/// When a file was written, and which it is: another authority has another.
type Mark = Option<(SystemTime, u64)>;

fn mark(file: &Path) -> Mark {
    let about = std::fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.ino()))
}

/// Those that were made by this process.
#[derive(Default)]
pub(crate) struct Identities {
    authority: Option<(Authority, Mark)>,
    made: BTreeMap<ServiceName, (Timestamp, Duration)>,
    not_before: Option<Timestamp>,
    /// Why there are none, or old ones.
    pub(crate) problem: Option<String>,
}

impl Identities {
    /// Makes what is due. A few files, and those seldom; next to nothing else.
    pub(crate) fn turn(&mut self, plan: &SystemPlan, now: Timestamp) {
        let Some(mesh) = &plan.mesh else {
            *self = Self::default();
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
            let new = authority(&plan.root, &mesh.domain, now)?;
            self.authority = Some((new, mark(&file)));
            self.made.clear();
        }
        let Some((authority, _)) = &self.authority else {
            return Ok(());
        };
        let mut renewed = 0;
        for Identity { service, files } in identities(plan) {
            let known = self.made.get(&service).filter(|_| files.cert.exists());
            if known.is_some_and(|(made, span)| *span == lifetime && !is_due(*made, now, lifetime)) {
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
            self.made.insert(service, (now, lifetime));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    const NOW: Timestamp = Timestamp(1_763_856_000_000);
    const DAY: Duration = Duration::from_secs(24 * 3_600);

    fn plan(root: &Path) -> SystemPlan {
        let mut plan = fixtures::system(vec![fixtures::service("orders")]);
        plan.root = root.into();
        plan.mesh = Some(MeshPlan {
            domain: "shop".parse().expect("a name"),
            zone: None,
            bind: None,
            certificate_lifetime_ms: DAY.as_millis() as u64,
            peers: vec![],
        });
        plan
    }

    fn read(root: &Path, name: &str) -> String {
        std::fs::read_to_string(folder(root).join(name)).expect("there")
    }

    #[test]
    fn they_are_made_at_once_and_anew_at_half_of_their_life() {
        let dir = tempfile::tempdir().expect("a folder");
        let (plan, mut identities) = (plan(dir.path()), Identities::default());
        identities.turn(&plan, NOW);
        let first = ["orders.pem", "gateway.pem", "ondol.pem"].map(|name| read(dir.path(), name));
        identities.turn(&plan, NOW.plus(DAY / 2 - Duration::from_millis(1)));
        assert_eq!(read(dir.path(), "orders.pem"), first[0]);
        identities.turn(&plan, NOW.plus(DAY / 2));
        let second = read(dir.path(), "orders.pem");
        assert_ne!(second, first[0]);
        identities.turn(&plan, NOW);
        assert_ne!(read(dir.path(), "orders.pem"), second, "the clock was set back");
        assert_eq!(identities.problem, None);
    }

    #[test]
    fn one_that_was_deleted_is_made_anew_and_a_system_that_stands_alone_has_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut plan, mut identities) = (plan(dir.path()), Identities::default());
        identities.turn(&plan, NOW);
        std::fs::remove_file(folder(dir.path()).join("orders.pem")).expect("removed");
        identities.turn(&plan, NOW);
        assert!(!read(dir.path(), "orders.pem").is_empty());

        let alone = tempfile::tempdir().expect("a folder");
        (plan.mesh, plan.root) = (None, alone.path().into());
        identities.turn(&plan, NOW);
        assert!(!folder(alone.path()).exists());
    }

    #[test]
    fn another_authority_is_taken_up_at_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let (plan, mut identities) = (plan(dir.path()), Identities::default());
        identities.turn(&plan, NOW);
        let (first, authority) = (read(dir.path(), "orders.pem"), read(dir.path(), "shop.authority.pem"));
        identities.turn(&plan, NOW);
        assert_eq!(read(dir.path(), "orders.pem"), first);
        std::fs::remove_file(folder(dir.path()).join("shop.authority.pem")).expect("removed");
        identities.turn(&plan, NOW);
        assert_ne!(read(dir.path(), "shop.authority.pem"), authority);
        assert_ne!(read(dir.path(), "orders.pem"), first);
    }

    #[test]
    fn many_are_made_anew_a_few_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut plan = plan(dir.path());
        plan.services = (0..40).map(|number| fixtures::service(&format!("s{number}"))).collect();
        let mut all = Identities::default();
        all.turn(&plan, NOW);
        let files = || -> Vec<_> {
            identities(&plan)
                .map(|one| std::fs::read_to_string(one.files.cert).expect("there"))
                .collect()
        };
        let (mut before, mut turns) = (files(), 0);
        let first = before.clone();
        while before.iter().zip(&first).any(|(now, then)| now == then) {
            all.turn(&plan, NOW.plus(DAY / 2));
            let now = files();
            let changed = now.iter().zip(&before).filter(|(now, then)| now != then).count();
            assert!((1..=A_TURN).contains(&changed), "{changed}");
            (before, turns) = (now, turns + 1);
        }
        assert_eq!(turns, 42_usize.div_ceil(A_TURN));
    }

    #[test]
    fn what_cannot_be_made_is_told_and_tried_again() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join(".ondol"), "in the way").expect("written");
        let (plan, mut identities) = (plan(dir.path()), Identities::default());
        identities.turn(&plan, NOW);
        assert!(
            identities
                .problem
                .as_ref()
                .is_some_and(|why| why.contains(".ondol/mesh"))
        );
        std::fs::remove_file(dir.path().join(".ondol")).expect("removed");
        identities.turn(&plan, NOW.plus(RETRY / 2));
        assert!(identities.problem.is_some(), "not at once");
        identities.turn(&plan, NOW.plus(RETRY));
        assert_eq!(identities.problem, None);
    }
}
