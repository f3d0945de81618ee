//! From a service's plan to what the supervisor runs: variables, argv, the release's name. Pure.

use crate::config::{ServicePlan, SystemPlan};
use crate::inputs::hex;
use crate::program::Program;
use crate::sockets::{edge_socket, gateway_socket};
use crate::token::TokenKey;
use aws_lc_rs::digest;
use ondol_core::id::{InstanceId, ServiceName};
use ondol_core::wire::supervision::{Bound, InstanceSpec, SocketMode, SocketName};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a service inherits from whoever started the system. Everything else it gets by name, so that no secret of the
/// operator's shell reaches it.
const INHERITED: [&str; 10] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "JAVA_HOME",
];

/// What is known once the sockets are bound.
#[derive(Clone)]
pub struct Surroundings {
    /// Where each socket is.
    pub bound: BTreeMap<SocketName, Bound>,
    /// `.ondol`, absolute.
    pub state: PathBuf,
    /// Makes tokens.
    pub tokens: TokenKey,
    /// What is inherited.
    pub environment: BTreeMap<String, String>,
}

impl Surroundings {
    /// A URL for a bound TCP socket.
    pub fn url(&self, name: &SocketName) -> Option<String> {
        self.url_of("http", name)
    }

    /// A URL for a gateway's listener, with the scheme that is spoken there.
    pub fn gateway_url(&self, plan: &SystemPlan, listener: &str) -> Option<String> {
        let scheme = if plan.tls.contains_key(listener) {
            "https"
        } else {
            "http"
        };
        let (_, bind) = plan.gateways.iter().find(|(name, _)| name == listener)?;
        self.url_of(scheme, &gateway_socket(listener, bind))
    }

    fn url_of(&self, scheme: &str, name: &SocketName) -> Option<String> {
        self.address(name).map(|address| format!("{scheme}://{address}"))
    }

    /// Where a TCP socket is bound.
    pub fn address(&self, name: &SocketName) -> Option<String> {
        match self.bound.get(name)? {
            Bound::Address(address) => Some(address.to_string()),
            Bound::Unix(_) => None,
        }
    }

    /// The data folder of a service.
    pub fn data(&self, service: &ServiceName) -> PathBuf {
        self.state.join("data").join(service.as_str())
    }
}

/// A `${NAME}` that stands for nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("service {service}: `${{{variable}}}` in `{text}` stands for nothing here")]
pub struct UnknownVariable {
    /// Whose.
    pub service: ServiceName,
    /// Which variable.
    pub variable: String,
    /// Where.
    pub text: String,
}

/// A release's name: what is run and how, in 12 hex digits. Ports are not in it; `turn` rises with `ondol restart`.
pub fn release(service: &ServicePlan, program: &Program, turn: u64) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let argv = service.run.join("\u{0}");
    let env: String = service
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}\u{0}"))
        .collect();
    let shape = format!(
        "{:?} {:?} {:?} {:?}",
        service.socket, service.ready, service.dir, service.database
    );
    let edges: String = service
        .depends_on
        .iter()
        .map(|edge| format!("{}\u{0}", edge.service))
        .collect();
    for part in [&program.hash, &argv, &env, &shape, &edges, &turn.to_string()] {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    hex(&context.finish().as_ref()[..6])
}

/// What the supervisor runs for `id`.
///
/// # Errors
/// [`UnknownVariable`] when `run` or `env` names a variable that this service does not have.
pub fn spec(
    plan: &SystemPlan,
    service: &ServicePlan,
    id: InstanceId,
    port: u16,
    program: &Program,
    release: String,
    around: &Surroundings,
) -> Result<InstanceSpec, UnknownVariable> {
    let vars = variables(plan, service, &id, port, &release, around);
    let expand = |text: &String| expand(service, text, &vars);
    let mut argv: Vec<String> = service.run.iter().map(expand).collect::<Result<_, _>>()?;
    if let (Some(path), Some(first)) = (&program.path, argv.first_mut()) {
        *first = path.to_string_lossy().into_owned();
    }
    let mut env: BTreeMap<_, _> = around.environment.clone();
    env.extend(vars.clone());
    env.remove("PORT"); // The supervisor sets it, or LISTEN_FDS.
    for (name, value) in &service.env {
        env.insert(name.clone(), expand(value)?);
    }
    let rank = plan
        .services
        .iter()
        .position(|other| other.service == service.service)
        .unwrap_or(0);
    Ok(InstanceSpec {
        id,
        argv,
        env,
        dir: service.dir.clone(),
        socket: Some(service.socket),
        port,
        ready: service.ready.clone(),
        ready_interval_ms: service.ready_interval_ms,
        ready_timeout_ms: service.ready_timeout_ms,
        start_within_ms: service.start_within_ms,
        stop_within_ms: service.stop_within_ms,
        rank: u32::try_from(rank).unwrap_or(u32::MAX),
        release,
    })
}

/// What a service inherits, of the environment that this process has.
pub fn inherited() -> BTreeMap<String, String> {
    INHERITED
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect()
}

fn variables(
    plan: &SystemPlan,
    service: &ServicePlan,
    id: &InstanceId,
    port: u16,
    release: &str,
    around: &Surroundings,
) -> BTreeMap<String, String> {
    let name = &service.service;
    let mut vars = BTreeMap::new();
    let mut set = |key: &str, value: String| drop(vars.insert(key.to_owned(), value));
    set("ONDOL_SERVICE", name.to_string());
    set("ONDOL_INSTANCE", id.to_string());
    set("ONDOL_RELEASE", release.to_owned());
    set("ONDOL_DATA", around.data(name).to_string_lossy().into_owned());
    set("ONDOL_TOKEN", around.tokens.token(name));
    if service.socket == SocketMode::Port {
        set("PORT", port.to_string());
    }
    if let Some(url) = &service.database {
        set("DATABASE_URL", url.clone());
    }
    if let Some(url) = around.url(&edge_socket(name, &ServiceName::controller())) {
        set("ONDOL_URL", url);
    }
    if let Some(url) = plan
        .gateways
        .first()
        .and_then(|(gateway, _)| around.gateway_url(plan, gateway))
    {
        set("GATEWAY_URL", url);
    }
    for dependency in &service.depends_on {
        if let Some(url) = around.url(&edge_socket(name, &dependency.service)) {
            set(&format!("{}_URL", dependency.service.in_variables()), url);
        }
    }
    vars
}

fn expand(service: &ServicePlan, text: &str, vars: &BTreeMap<String, String>) -> Result<String, UnknownVariable> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        let value = vars.get(name).ok_or_else(|| UnknownVariable {
            service: service.service.clone(),
            variable: name.to_owned(),
            text: text.to_owned(),
        })?;
        out.push_str(value);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Dependency;
    use crate::fixtures;
    use crate::sockets::sockets;
    use ondol_core::wire::supervision::Bind;
    use std::net::SocketAddr;

    fn plan() -> SystemPlan {
        let mut orders = fixtures::service("orders");
        let service = "bank-north".parse().expect("valid");
        orders.depends_on = vec![Dependency {
            service,
            required: true,
            policy: fixtures::policy(),
        }];
        orders.run = vec!["serve".into(), "--port=${PORT}".into()];
        orders.env = BTreeMap::from([("BANK".into(), "${BANK_NORTH_URL}/x".into())]);
        fixtures::system(vec![fixtures::service("bank-north"), orders])
    }

    fn around(plan: &SystemPlan) -> Surroundings {
        let address = |n: usize| Bound::Address(SocketAddr::from(([127, 0, 0, 1], 20_000 + n as u16)));
        let bound = sockets(plan)
            .into_iter()
            .enumerate()
            .map(|(n, (name, bind))| match bind {
                Bind::Unix(file) => (name, Bound::Unix(file.into())),
                _ => (name, address(n)),
            });
        Surroundings {
            bound: bound.collect(),
            state: "/system/.ondol".into(),
            tokens: TokenKey::new(&[7; 32]),
            environment: BTreeMap::from([("PATH".into(), "/bin".into())]),
        }
    }

    #[test]
    fn a_service_sees_what_the_manifest_promises() {
        let plan = plan();
        let around = around(&plan);
        let program = Program {
            hash: "h".into(),
            path: None,
        };
        let id = "orders.2".parse().expect("valid");
        let spec = spec(&plan, &plan.services[1], id, 20_500, &program, "r1".into(), &around).expect("spec");
        assert_eq!(spec.argv, ["serve", "--port=20500"]);
        let edge = around.url(&edge_socket(
            &"orders".parse().expect("valid"),
            &"bank-north".parse().expect("valid"),
        ));
        assert_eq!(spec.env["BANK"], format!("{}/x", edge.clone().expect("bound")));
        assert_eq!(Some(&spec.env["BANK_NORTH_URL"]), edge.as_ref());
        for name in [
            "ONDOL_SERVICE",
            "ONDOL_INSTANCE",
            "ONDOL_RELEASE",
            "ONDOL_URL",
            "ONDOL_TOKEN",
            "GATEWAY_URL",
            "PATH",
        ] {
            assert!(spec.env.contains_key(name), "{name}");
        }
        assert!(!spec.env.contains_key("PORT"), "the supervisor sets it");
        assert_eq!(spec.rank, 1);
    }

    #[test]
    fn an_unknown_variable_is_named() {
        let mut plan = plan();
        plan.services[1].run.push("${NOPE}".into());
        let (around, program) = (
            around(&plan),
            Program {
                hash: "h".into(),
                path: None,
            },
        );
        let id = "orders.1".parse().expect("valid");
        let error = spec(&plan, &plan.services[1], id, 1, &program, "r".into(), &around).expect_err("unknown");
        assert_eq!(error.variable, "NOPE");
    }

    #[test]
    fn a_release_changes_with_program_words_and_turn_only() {
        let (plan, program) = (
            plan(),
            Program {
                hash: "h".into(),
                path: None,
            },
        );
        let first = release(&plan.services[1], &program, 0);
        assert_eq!(release(&plan.services[1], &program, 0), first);
        assert_ne!(release(&plan.services[1], &program, 1), first);
        assert_ne!(
            release(
                &plan.services[1],
                &Program {
                    hash: "i".into(),
                    path: None
                },
                0
            ),
            first
        );
        let mut changed = plan.services[1].clone();
        changed.env.insert("A".into(), "b".into());
        assert_ne!(release(&changed, &program, 0), first);
    }
}
