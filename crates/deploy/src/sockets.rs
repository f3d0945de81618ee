//! The sockets that a system listens on, by name: gateways, the console, the mesh, one for each edge. Pure.

use crate::config::{MeshPlan, SystemPlan};
use ondol_core::id::ServiceName;
use ondol_core::wire::supervision::{Bind, SocketName};

/// The socket of an edge.
pub fn edge_socket(caller: &ServiceName, target: &ServiceName) -> SocketName {
    SocketName(format!("edge/{caller}/{target}"))
}

/// The file name of the built-in caller's Unix socket to `target`, in `.ondol/run/`.
pub fn caller_socket_file(target: &ServiceName) -> String {
    format!("to-{target}.sock")
}

/// The socket of a gateway listener at the address that it is declared with.
pub fn gateway_socket(name: &str, bind: &str) -> SocketName {
    SocketName(format!("gateway/{name}")).at(bind)
}

/// Where proxies of other systems come in, if they may.
pub fn mesh_socket(mesh: &MeshPlan) -> Option<SocketName> {
    let bind = mesh.bind.as_deref()?;
    Some(SocketName("mesh".into()).at(bind))
}

/// The console's and the admin API's socket at the address that it is declared with.
pub fn console_socket(bind: &str) -> SocketName {
    SocketName("console".into()).at(bind)
}

/// Every socket that the system listens on.
pub fn sockets(plan: &SystemPlan) -> Vec<(SocketName, Bind)> {
    let mut all: Vec<_> = plan
        .gateways
        .iter()
        .map(|(name, bind)| (gateway_socket(name, bind), Bind::Address(bind.clone())))
        .collect();
    all.push((console_socket(&plan.console), Bind::Address(plan.console.clone())));
    let mesh = plan.mesh.as_ref();
    let mesh = mesh.and_then(|mesh| Some((mesh_socket(mesh)?, Bind::Address(mesh.bind.clone()?))));
    all.extend(mesh);
    let (ondol, controller) = (ServiceName::ondol(), ServiceName::controller());
    for service in &plan.services {
        let unix = Bind::Unix(caller_socket_file(&service.service));
        all.push((edge_socket(&ondol, &service.service), unix));
        all.push((edge_socket(&service.service, &controller), Bind::Loopback));
        for dependency in &service.depends_on {
            all.push((edge_socket(&service.service, &dependency.service), Bind::Loopback));
        }
    }
    for (_, elsewhere) in plan.elsewhere() {
        let unix = Bind::Unix(caller_socket_file(&elsewhere.service));
        all.push((edge_socket(&ondol, &elsewhere.service), unix));
    }
    all
}
