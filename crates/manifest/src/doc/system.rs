//! `ondol.yaml`.

use super::policy::PolicyDoc;
use crate::document::document;
use crate::read::Named;
use crate::source::At;
use crate::value::{Algorithm, Bind, Cidr, Millis, MinVersion, Protocol, Short, Words};
use ondol_core::id::ZoneName;

document! {
    /// ondol.yaml: the system.
    "ondol.yaml" struct SystemDoc {
        /// The system's name.
        system: At<String>,
        /// Folders that hold a service.yaml, relative to this file; `*` stands for any name.
        services: At<Vec<At<String>>>,
        /// Builds shared by several services, run once.
        builds: Named<BuildDoc>,
        /// What listens for clients.
        gateway: Option<GatewayDoc>,
        /// Calls to and from services of other systems.
        mesh: Option<MeshDoc>,
        /// Where the console and the admin API listen.
        console: Option<ListenerDoc>,
        /// Where Ondol keeps its own state: `sqlite:FILE`, under `.ondol/`, or `postgres://…`.
        store: At<String> = "sqlite:ondol.db",
        /// Policies of all routes and edges.
        defaults: Option<PolicyDoc>,
    }
}

document! {
    /// A shared build.
    "a build" struct BuildDoc {
        /// The command: words as a shell would split them, no shell.
        run: At<Words>,
        /// Where it runs, relative to this file.
        dir: At<String> = ".",
        /// Files that the build's hash covers: globs relative to this file. Known for cargo, npm, python, go and maven.
        inputs: Vec<At<String>>,
    }
}

document! {
    /// The way in from outside.
    "the gateway" struct GatewayDoc {
        /// Listening addresses by name. Built in: `web` at `127.0.0.1:8080`.
        listeners: Named<GatewayListenerDoc>,
        /// Networks whose `X-Forwarded-*` headers are believed.
        trusted_proxies: Vec<At<Cidr>>,
        /// Issuers of tokens by the name that routes use.
        issuers: Named<IssuerDoc>,
    }
}

document! {
    /// A listening address of the gateway.
    "a listener" struct GatewayListenerDoc {
        /// Address and port.
        bind: At<Bind>,
        /// Speaks HTTPS here. Without it: HTTP in the clear.
        tls: Option<TlsDoc>,
    }
}

document! {
    /// TLS at a listener. Certificates are read again when their files change, without a restart.
    "tls" struct TlsDoc {
        /// At least one. A client gets the one for the name it asks for (exact before `*.`), else the first.
        certificates: At<Vec<CertificateDoc>>,
        /// Asks clients for certificates of their own.
        client: Option<ClientCertificatesDoc>,
        /// The oldest version that is spoken.
        min_version: At<MinVersion> = "1.2",
    }
}

document! {
    /// A certificate and its private key.
    "a certificate" struct CertificateDoc {
        /// A PEM file with the chain, the server's own certificate first; relative to this file.
        cert: At<String>,
        /// A PEM file with the private key, not encrypted; relative to this file.
        key: At<String>,
    }
}

document! {
    /// What is asked of clients. A service learns who a client is from `Ondol-Client-Identity`.
    "client" struct ClientCertificatesDoc {
        /// A PEM file with the authorities whose certificates are taken; relative to this file.
        ca: At<String>,
        /// Whether a client without a certificate is turned away. One with a wrong certificate always is.
        require: At<bool> = "true",
    }
}

document! {
    /// Calls to and from services of other systems, over mutual TLS. Who is who say certificates that Ondol makes and renews.
    "mesh" struct MeshDoc {
        /// Where proxies of other systems come in. Absent: they do not, and services here can still call theirs.
        bind: Option<At<Bind>>,
        /// Where this system's proxy runs, a word that its peers' `addresses` use too. Addresses there are preferred, while 70 % of them are well.
        zone: Option<At<ZoneName>>,
        /// How long a certificate holds, from 10 s to 30 d. It is replaced at half of that.
        certificate_lifetime: At<Millis> = "24h",
        /// Other systems, by name: the `system` of their ondol.yaml.
        peers: Named<PeerDoc>,
    }
}

document! {
    /// Another system.
    "a peer" struct PeerDoc {
        /// A PEM file with its authorities, as `ondol mesh authority` prints them there; relative to this file.
        authorities: At<String>,
        /// Where its proxies let others in: the `bind` of its `mesh`. Absent: it only calls.
        addresses: Vec<PeerAddress>,
        /// Services of its own that are used here by their names, as if they were of this system.
        services: Named<PeerServiceDoc>,
    }
}

document! {
    /// An address of another system's proxy, with its zone.
    "an address" struct PeerAddressDoc {
        /// IP address and port.
        address: At<Bind>,
        /// Where it runs.
        zone: At<ZoneName>,
    }
}

/// An entry of a peer's `addresses`.
pub type PeerAddress = Short<At<Bind>, PeerAddressDoc>;

impl PeerAddress {
    /// Where to connect to.
    pub fn address(&self) -> At<Bind> {
        match self {
            Self::Short(address) => *address,
            Self::Long(doc) => doc.address,
        }
    }

    /// Where it runs, if that is said.
    pub fn zone(&self) -> Option<&At<ZoneName>> {
        match self {
            Self::Short(_) => None,
            Self::Long(doc) => Some(&doc.zone),
        }
    }
}

document! {
    /// A service of another system.
    "a peer's service" struct PeerServiceDoc {
        /// How it speaks: `h2c` for gRPC.
        protocol: At<Protocol> = "http1",
    }
}

document! {
    /// A listening address.
    "a listener" struct ListenerDoc {
        /// Address and port.
        bind: At<Bind>,
    }
    later: "tls";
}

document! {
    /// An issuer of tokens.
    "an issuer" struct IssuerDoc {
        /// The claim `iss`.
        issuer: At<String>,
        /// Where its keys are: `svc://SERVICE/PATH`, fetched inside the system.
        jwks: At<String>,
        /// Signature algorithms that are taken.
        algorithms: At<Vec<At<Algorithm>>>,
        /// The claim `aud`.
        audience: At<String>,
    }
}
