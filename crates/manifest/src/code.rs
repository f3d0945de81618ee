//! The codes of findings. Each has a page in `docs/errors/`, which a test of `diagnostic.rs` looks for.
//!
//! Numbers below 30 are errors, those from 30 warnings. MF-040 is `init`'s own. From 50 on: certificates, each as it says.

use ondol_core::error::ErrorCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What kind of finding.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// The stable code, with a page of its own.
            pub fn code(self) -> ErrorCode {
                match self { $(Self::$name => ErrorCode::new($code),)* }
            }

            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

codes! {
    /// A file is missing, unreadable or not UTF-8.
    File = "MF-001",
    /// Not YAML.
    Syntax = "MF-002",
    /// Anchors, aliases, tags, merge keys, several documents.
    Banned = "MF-003",
    /// A key twice in one map.
    DoubleKey = "MF-004",
    /// A key that is not known there.
    UnknownKey = "MF-005",
    /// A key that must be there.
    MissingKey = "MF-006",
    /// A list where text is meant, and so on.
    Shape = "MF-007",
    /// A value outside what its key takes.
    Value = "MF-008",
    /// `${env:…}` or `${file:…}` that gives nothing.
    Reference = "MF-009",
    /// A `${…}` that nothing fills in.
    Variable = "MF-010",
    /// A name that Ondol keeps for itself.
    Reserved = "MF-011",
    /// One name for two things.
    DoubleName = "MF-012",
    /// A service that is not there.
    UnknownService = "MF-013",
    /// An issuer, saga, build or step that is not there.
    UnknownName = "MF-014",
    /// Two routes for the same requests.
    SameRoute = "MF-015",
    /// Services that require each other.
    Cycle = "MF-016",
    /// A port twice.
    Port = "MF-017",
    /// A program that is not there and that nothing builds.
    Program = "MF-018",
    /// A step calls what the service's contract does not have.
    NoOperation = "MF-019",
    /// A template that no schema gives.
    Template = "MF-020",
    /// An output used before its step has certainly ended.
    TooEarly = "MF-021",
    /// A compensation that uses its own step's answer.
    OwnAnswer = "MF-022",
    /// Pivots and retriable steps in an order that cannot be kept.
    Order = "MF-023",
    /// Keys that exclude or need each other.
    Conflict = "MF-024",
    /// A contract that cannot be used.
    Contract = "MF-025",
    /// Larger than is taken.
    Limit = "MF-026",
    /// An example that does not become what it says.
    Example = "MF-027",
    /// Warning: a service without a contract.
    NoContract = "MF-030",
    /// Warning: a service that cannot run here.
    Skipped = "MF-031",
    /// Warning: a field that may be missing at run time.
    MaybeMissing = "MF-032",
    /// Warning: a route to nothing that the contract has.
    RouteOutsideContract = "MF-033",
    /// Warning: a step before the pivot that cannot be undone.
    NotUndone = "MF-034",
    /// Warning: a value that is raised to the least that works.
    Raised = "MF-035",
    /// A certificate, key or list of authorities that cannot be used.
    Certificate = "MF-050",
    /// Warning: a private key that everybody on the machine can read.
    OpenKey = "MF-051",
    /// Warning: a certificate that has ended, ends soon or is not valid yet.
    Dates = "MF-052",
}
