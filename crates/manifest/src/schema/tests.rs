//! The schema and the readers are two views of one list of keys; here each is asked about the other.

use super::*;
use crate::diagnostic::Code;
use crate::doc::{events, examples, policy, reconcile, route, saga, service, system, traffic};
use crate::read::{Read, Reader};
use crate::source::{At, Span};
use crate::testing::FixedEnv;
use crate::tree::{Node, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Codes that a reader reports for a node.
type Asked = fn(&Node) -> Vec<Code>;

fn ask<T: Read>(node: &Node) -> Vec<Code> {
    let env = FixedEnv::default();
    let mut reader = Reader::new(&env, Path::new("/x/y.yaml"), "", true);
    T::read(node, &mut reader);
    reader.found.iter().map(|found| found.code).collect()
}

/// The reader of each object that a schema can name.
fn readers() -> BTreeMap<&'static str, Asked> {
    BTreeMap::from([
        ("System", ask::<SystemDoc> as Asked),
        ("Build", ask::<system::BuildDoc>),
        ("Gateway", ask::<system::GatewayDoc>),
        ("Listener", ask::<system::ListenerDoc>),
        ("GatewayListener", ask::<system::GatewayListenerDoc>),
        ("Tls", ask::<system::TlsDoc>),
        ("Certificate", ask::<system::CertificateDoc>),
        ("ClientCertificates", ask::<system::ClientCertificatesDoc>),
        ("Issuer", ask::<system::IssuerDoc>),
        ("Service", ask::<ServiceDoc>),
        ("Owner", ask::<service::OwnerDoc>),
        ("Ready", ask::<service::ReadyDoc>),
        ("Scale", ask::<service::ScaleDoc>),
        ("Concurrency", ask::<service::ConcurrencyDoc>),
        ("Events", ask::<events::EventsDoc>),
        ("Publish", ask::<events::PublishDoc>),
        ("Subscribe", ask::<events::SubscribeDoc>),
        ("DeliveryRetry", ask::<events::DeliveryRetryDoc>),
        ("Policy", ask::<policy::PolicyDoc>),
        ("Backend", ask::<traffic::BackendDoc>),
        ("Mirror", ask::<traffic::MirrorDoc>),
        ("Cors", ask::<traffic::CorsDoc>),
        ("Session", ask::<traffic::SessionDoc>),
        ("Limit", ask::<policy::LimitDoc>),
        ("Hedge", ask::<policy::HedgeDoc>),
        ("Cache", ask::<policy::CacheDoc>),
        ("Fallback", ask::<policy::FallbackDoc>),
        ("Balance", ask::<policy::BalanceDoc>),
        ("Hash", ask::<policy::HashDoc>),
        ("Breaker", ask::<policy::BreakerDoc>),
        ("Mesh", ask::<system::MeshDoc>),
        ("Peer", ask::<system::PeerDoc>),
        ("PeerAddress", ask::<system::PeerAddressDoc>),
        ("PeerService", ask::<system::PeerServiceDoc>),
        ("Route", ask::<route::RouteDoc>),
        ("Match", ask::<route::MatchDoc>),
        ("GrpcMatch", ask::<route::GrpcMatchDoc>),
        ("ValueRegex", ask::<route::ValueRegexDoc>),
        ("Auth", ask::<route::AuthDoc>),
        ("Redirect", ask::<route::RedirectDoc>),
        ("Rewrite", ask::<route::RewriteDoc>),
        ("FieldChanges", ask::<route::FieldChangesDoc>),
        ("Start", ask::<route::StartDoc>),
        ("Saga", ask::<SagaDoc>),
        ("Step", ask::<saga::StepDoc>),
        ("Retry", ask::<saga::RetryDoc>),
        ("Compensate", ask::<saga::CompensateDoc>),
        ("UndoRetry", ask::<saga::UndoRetryDoc>),
        ("Answers", ask::<saga::AnswersDoc>),
        ("Answer", ask::<saga::AnswerDoc>),
        ("Reconcile", ask::<ReconcileDoc>),
        ("Sagas", ask::<reconcile::SagasDoc>),
        ("Rule", ask::<reconcile::RuleDoc>),
        ("Repair", ask::<reconcile::RepairDoc>),
        ("Examples", ask::<ExamplesDoc>),
        ("Example", ask::<examples::ExampleDoc>),
        ("Expect", ask::<examples::ExpectDoc>),
    ])
}

fn map(keys: &[&str]) -> Node {
    let at = Span::BUILT_IN;
    let null = || Node {
        at,
        value: Value::Scalar {
            text: String::new(),
            plain: true,
        },
    };
    Node {
        at,
        value: Value::Map(
            keys.iter()
                .map(|key| {
                    (
                        At {
                            value: key.to_string(),
                            at,
                        },
                        null(),
                    )
                })
                .collect(),
        ),
    }
}

/// Every object of every schema, by name.
fn objects() -> BTreeMap<String, Json> {
    let mut out = BTreeMap::new();
    for kind in FileKind::ALL {
        let root = schema(kind);
        out.insert(root["title"].as_str().expect("titled").to_owned(), root.clone());
        let defs = root["$defs"].as_object().cloned().unwrap_or_default();
        out.extend(defs);
    }
    out
}

#[test]
fn the_reader_of_every_object_knows_exactly_the_schemas_keys() {
    let (objects, readers) = (objects(), readers());
    assert_eq!(
        objects.keys().map(String::as_str).collect::<Vec<_>>(),
        readers.keys().copied().collect::<Vec<_>>()
    );
    for (name, object) in objects {
        let read = readers[name.as_str()];
        assert_eq!(object["additionalProperties"], Json::Bool(false), "{name}");
        let keys: Vec<&str> = object["properties"]
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        let unknown = |node: &Node| read(node).into_iter().filter(|code| *code == Code::UnknownKey).count();
        assert_eq!(
            unknown(&map(&keys)),
            0,
            "{name}: the schema has a key that the reader refuses"
        );
        assert_eq!(unknown(&map(&["no_such_key"])), 1, "{name}");
        let required: Vec<&str> = object["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let missing = |node: &Node| read(node).into_iter().filter(|code| *code == Code::MissingKey).count();
        assert_eq!(missing(&map(&[])), required.len(), "{name}: both require the same keys");
        assert_eq!(missing(&map(&required)), 0, "{name}");
    }
}

#[test]
fn defaults_in_schemas_can_be_read() {
    // A default that its own reader refuses would be reported at every document that leaves the key out.
    for (name, read) in readers() {
        assert!(read(&map(&[])).iter().all(|code| *code == Code::MissingKey), "{name}");
    }
}

#[test]
fn what_the_schema_calls_built_in_is_what_holds_where_nothing_is_written() {
    let root = schema(FileKind::Service);
    let text = |object: &str, key: &str| {
        let about = root["$defs"][object]["properties"][key]["description"]
            .as_str()
            .expect("described")
            .to_owned();
        about
            .split_once("Built in: `")
            .and_then(|(_, rest)| rest.split('`').next())
            .expect(key)
            .to_owned()
    };
    let nothing = crate::explain::policy_values(&crate::policy::merge(&[]));
    assert_eq!(
        nothing.len(),
        9,
        "every policy but the limit, the hedge, the cache and the fallback has a value"
    );
    for (key, value, at) in nothing {
        let (object, key) = key
            .strip_prefix("breaker.")
            .map_or(("Policy", key), |key| ("Breaker", key));
        assert_eq!(at, Span::BUILT_IN);
        assert_eq!(text(object, key), value, "{key}");
        if object == "Policy" {
            assert_eq!(text("Route", key), value, "{key}");
        }
    }
}

#[test]
fn schemas_take_the_example_and_refuse_an_unknown_key() {
    let shop = include_str!("../../../../conformance/manifests/good-shop.case");
    let compared = include_str!("../../../../conformance/manifests/good-reconcile.case");
    let shown = include_str!("../../../../conformance/manifests/good-examples.case");
    for (kind, case, path) in [
        (FileKind::System, shop, "ondol.yaml"),
        (FileKind::Service, shop, "services/orders/service.yaml"),
        (FileKind::Saga, shop, "services/orders/place-order.saga.yaml"),
        (FileKind::Service, compared, "services/orders/service.yaml"),
        (FileKind::Reconcile, compared, "services/orders/orders.reconcile.yaml"),
        (FileKind::Examples, shown, "services/a/a.examples.yaml"),
    ] {
        let text = case
            .split(&format!("=== {path}\n"))
            .nth(1)
            .and_then(|rest| rest.split("=== ").next())
            .expect("in the case");
        let node = crate::parse::parse(crate::source::FileId::BUILT_IN, text, crate::parse::MANIFEST).expect("parses");
        let valid = jsonschema::validator_for(&schema(kind)).expect("compiles");
        let mut json = node.json();
        let errors: Vec<String> = valid.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{path}: {errors:?}");
        json["no_such_key"] = Json::Null;
        assert!(!valid.is_valid(&json), "{path}");
    }
}

#[test]
fn reference_page_is_what_the_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/manifest.md");
    if std::env::var_os("ONDOL_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("can be made");
        std::fs::write(&path, reference_page()).expect("can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == reference_page(),
        "docs/reference/manifest.md is old: run this test with ONDOL_BLESS=1"
    );
}
