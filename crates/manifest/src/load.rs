//! From a folder to a checked system: finds the files, reads them all, checks them against each other.

mod schemas;

use crate::check;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Severity};
use crate::doc::examples::ExamplesDoc;
use crate::doc::reconcile::ReconcileDoc;
use crate::doc::saga::SagaDoc;
use crate::doc::service::ServiceDoc;
use crate::doc::system::SystemDoc;
use crate::env::Env;
use crate::examples::{self, Examples};
use crate::files::{MAX_SERVICES, expand, read_text};
use crate::openapi::Contract;
use crate::parse::{self, Limits};
use crate::read::{Read, Reader};
use crate::source::{At, FileId, Sources, Span, join};
use crate::tree::{Node, Value};
use ondol_core::id::{BadName, ServiceName, SystemName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A system without errors.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The folder of ondol.yaml, absolute.
    pub root: PathBuf,
    /// ondol.yaml.
    pub system: SystemDoc,
    /// By name.
    pub services: Vec<Service>,
    /// By name.
    pub sagas: Vec<Saga>,
    /// By name.
    pub reconciliations: Vec<Reconcile>,
    /// In the order of their services.
    pub examples: Vec<Examples>,
    /// What is odd, but taken.
    pub warnings: Diagnostics,
    /// Every file that a change of would change this: manifests, contracts, files named by `${file:…}`.
    pub files: Vec<PathBuf>,
    pub(crate) sources: Arc<Sources>,
}

impl Loaded {
    /// Whether what stands there names a variable of the environment or a file, so that the value may be a secret.
    pub(crate) fn is_reference(&self, at: Span) -> bool {
        let text = self.sources.slice(at);
        text.contains("${env:") || text.contains("${file:")
    }
}

/// A service and what belongs to it.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Its service.yaml.
    pub file: FileId,
    /// The folder of its service.yaml, absolute.
    pub folder: PathBuf,
    /// What is written.
    pub doc: ServiceDoc,
    /// Its contract.
    pub api: Option<Arc<Contract>>,
    /// JSON Schemas of events that it publishes, by type.
    pub schemas: BTreeMap<String, serde_json::Value>,
    /// Why it cannot run here.
    pub skipped: Option<String>,
}

/// A saga definition and whose it is.
#[derive(Clone, Debug)]
pub struct Saga {
    /// Whose.
    pub owner: ServiceName,
    /// Its file.
    pub file: FileId,
    /// What is written.
    pub doc: SagaDoc,
    /// The schema of its input, standing alone.
    pub input: Option<serde_json::Value>,
}

/// A reconciliation and whose it is.
#[derive(Clone, Debug)]
pub struct Reconcile {
    /// Whose.
    pub owner: ServiceName,
    /// What is written.
    pub doc: ReconcileDoc,
}

/// Reads and checks the system whose ondol.yaml is in `root`. Reads files below it and what `env` tells; no more.
///
/// Cost: one pass over each file; a program is run only where `needs:` names a version.
///
/// # Errors
/// Every error that was found, at most [`MAX_SHOWN`](crate::diagnostic::MAX_SHOWN), warnings beside them.
pub fn load(root: &Path, env: &dyn Env) -> Result<Loaded, Diagnostics> {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
    let mut loader = Loader::new(env, root);
    let system_file = loader.root.join("ondol.yaml");
    let mut read = Parts::default();
    if let Some((node, system)) = loader.document::<SystemDoc>(&system_file, true) {
        let folders = loader.service_folders(system.as_ref(), &node);
        read.system = system;
        for folder in folders {
            loader.service(&folder, &mut read);
        }
    }
    loader.finish(read)
}

/// The name of the system whose ondol.yaml is in `root`, whatever else is wrong there.
///
/// # Errors
/// When there is none, or it is none.
pub fn system_name(root: &Path, env: &dyn Env) -> Result<SystemName, Diagnostics> {
    let mut loader = Loader::new(env, root.to_path_buf());
    let read = loader.document::<SystemDoc>(&root.join("ondol.yaml"), true);
    let written = read.as_ref().and_then(|(node, _)| node.get("system"));
    match written.map(|node| (node.at, node.text().unwrap_or_default().parse())) {
        Some((_, Ok(name))) => return Ok(name),
        Some((at, Err(error))) => loader.error(Code::Value, at, BadName::to_string(&error)),
        None => {}
    }
    Err(Diagnostics::new(loader.found, Arc::new(loader.sources)))
}

/// What could be read so far; some of it may be missing.
#[derive(Default)]
pub(crate) struct Parts {
    pub system: Option<SystemDoc>,
    pub services: Vec<Service>,
    pub sagas: Vec<Saga>,
    pub reconciliations: Vec<Reconcile>,
    pub examples: Vec<Examples>,
    /// Names of services whose file is there but could not be read: not unknown, but nothing more is known.
    pub broken_services: BTreeSet<String>,
    /// The same of sagas.
    pub broken_sagas: BTreeSet<String>,
}

struct Loader<'a> {
    env: &'a dyn Env,
    root: PathBuf,
    sources: Sources,
    found: Vec<Diagnostic>,
    files: Vec<PathBuf>,
    contracts: BTreeMap<PathBuf, Option<Arc<Contract>>>,
}

impl<'a> Loader<'a> {
    fn new(env: &'a dyn Env, root: PathBuf) -> Self {
        let (sources, contracts) = (Sources::default(), BTreeMap::new());
        Self {
            env,
            root,
            sources,
            found: Vec::new(),
            files: Vec::new(),
            contracts,
        }
    }

    fn error(&mut self, code: Code, at: Span, message: impl Into<String>) {
        self.found.push(Diagnostic::error(code, at, message));
    }

    /// Reads a file. `at` is who named it.
    fn text(&mut self, path: &Path, limits: Limits, at: Option<Span>) -> Option<(FileId, Arc<str>)> {
        self.files.push(path.to_path_buf());
        match read_text(path, limits.bytes) {
            Ok(text) => Some((self.sources.add(&self.root, path.to_path_buf(), &text), text.into())),
            Err((code, why)) => {
                let shown = crate::source::show_path(&self.root, path);
                self.found.push(match at {
                    Some(at) => Diagnostic::error(code, at, format!("{shown}: {why}")),
                    None => Diagnostic {
                        code,
                        ..Diagnostic::unread(path.to_path_buf(), why)
                    }
                    .hint("name a folder that holds an ondol.yaml; `ondol init` writes one"),
                });
                None
            }
        }
    }

    /// Reads a file into a tree.
    fn tree(&mut self, path: &Path, limits: Limits, at: Option<Span>) -> Option<(FileId, Arc<str>, Node)> {
        let (file, text) = self.text(path, limits, at)?;
        let node = parse::parse(file, &text, limits)
            .map_err(|errors| self.found.extend(errors))
            .ok()?;
        Some((file, text, node))
    }

    /// Reads one of our own files. The tree is given too, since it knows a little even where the document is broken.
    fn document<T: Read>(&mut self, path: &Path, references: bool) -> Option<(Node, Option<T>)> {
        self.named_document(path, references, None)
            .map(|(_, node, doc)| (node, doc))
    }

    fn named_document<T: Read>(
        &mut self,
        path: &Path,
        references: bool,
        at: Option<Span>,
    ) -> Option<(FileId, Node, Option<T>)> {
        let (file, text, node) = self.tree(path, parse::MANIFEST, at)?;
        let mut reader = Reader::new(self.env, path, &text, references);
        let doc = T::read(&node, &mut reader);
        self.found.append(&mut reader.found);
        self.files.append(&mut reader.named_files);
        Some((file, node, doc))
    }

    /// The folders that `services:` names, each once, in the order of their paths.
    fn service_folders(&mut self, system: Option<&SystemDoc>, node: &Node) -> Vec<PathBuf> {
        let Some(system) = system else {
            // The document is broken elsewhere; its services are looked at all the same.
            let listed = node.get("services").map(|list| match &list.value {
                Value::List(items) => items.iter().filter_map(Node::text).map(str::to_owned).collect(),
                _ => Vec::new(),
            });
            let found = listed
                .unwrap_or_default()
                .iter()
                .flat_map(|glob| expand(&self.root, glob))
                .collect::<BTreeSet<_>>();
            return found.into_iter().take(MAX_SERVICES).collect();
        };
        let mut folders = BTreeSet::new();
        for glob in &system.services.value {
            let found = expand(&self.root, &glob.value);
            let with_file: Vec<PathBuf> = found
                .into_iter()
                .filter(|folder| folder.join("service.yaml").is_file())
                .collect();
            if with_file.is_empty() {
                let found = Diagnostic::error(Code::File, glob.at, format!("no service.yaml in `{}`", glob.value));
                self.found
                    .push(found.hint(
                        "name folders that hold a service.yaml, relative to ondol.yaml; `ondol init` writes one",
                    ));
            }
            folders.extend(with_file);
        }
        if folders.len() > MAX_SERVICES {
            self.error(
                Code::Limit,
                system.services.at,
                format!("{} services; at most {MAX_SERVICES} are taken", folders.len()),
            );
        }
        folders.into_iter().take(MAX_SERVICES).collect()
    }

    fn service(&mut self, folder: &Path, read: &mut Parts) {
        let path = folder.join("service.yaml");
        let Some((file, node, doc)) = self.named_document::<ServiceDoc>(&path, true, None) else {
            // Not even the name is known; its folder's name is the likeliest.
            read.broken_services
                .extend(folder.file_name().map(|name| name.to_string_lossy().into_owned()));
            return;
        };
        let Some(doc) = doc else {
            read.broken_services
                .extend(node.get("service").and_then(Node::text).map(str::to_owned));
            let sagas = node.get("sagas").map(|list| match &list.value {
                Value::List(items) => items.iter().filter_map(Node::text).map(str::to_owned).collect(),
                _ => Vec::new(),
            });
            for saga in sagas.unwrap_or_default() {
                read.broken_sagas.insert(saga_name_in(&saga));
            }
            return;
        };
        let name = doc.service.value.clone();
        for saga in doc.sagas.clone() {
            self.saga(folder, &name, &saga, read);
        }
        for named in &doc.reconcile {
            let path = join(folder, &named.value);
            let file = self.named_document::<ReconcileDoc>(&path, false, Some(named.at));
            if let Some((_, _, Some(doc))) = file {
                let owner = name.clone();
                read.reconciliations.push(Reconcile { owner, doc });
            }
        }
        for named in &doc.examples {
            let path = join(folder, &named.value);
            let file = self.named_document::<ExamplesDoc>(&path, false, Some(named.at));
            if let Some((_, _, Some(doc))) = file {
                let owner = name.clone();
                read.examples.push(Examples { owner, doc });
            }
        }
        let api = doc
            .api
            .as_ref()
            .and_then(|api| self.contract(&join(folder, &api.value), api.at));
        let schemas = self.event_schemas(folder, &doc);
        read.services.push(Service {
            name,
            file,
            folder: folder.to_path_buf(),
            doc,
            api,
            schemas,
            skipped: None,
        });
    }

    fn saga(&mut self, folder: &Path, owner: &ServiceName, named: &At<String>, read: &mut Parts) {
        let path = join(folder, &named.value);
        let Some((file, node, doc)) = self.named_document::<SagaDoc>(&path, false, Some(named.at)) else {
            read.broken_sagas.insert(saga_name_in(&named.value));
            return;
        };
        let Some(doc) = doc else {
            read.broken_sagas
                .extend(node.get("saga").and_then(Node::text).map(str::to_owned));
            return;
        };
        let input = doc.input.as_ref().and_then(|input| self.input_schema(&path, &input.0));
        read.sagas.push(Saga {
            owner: owner.clone(),
            file,
            doc,
            input,
        });
    }

    /// A contract, read once however many name it. None of gRPC's: of a `.proto` file it is only looked whether it is one,
    /// since nothing in a manifest names its methods.
    fn contract(&mut self, path: &Path, at: Span) -> Option<Arc<Contract>> {
        if path.extension().is_some_and(|end| end == "proto") {
            self.proto(path, at);
            return None;
        }
        if let Some(known) = self.contracts.get(path) {
            return known.clone();
        }
        let read = self.json(path, at).and_then(|(file, json)| {
            let made = Contract::new(path.to_path_buf(), file, json);
            made.map_err(|why| self.error(Code::Contract, Span { file, start: 0, end: 0 }, why))
                .ok()
        });
        let contract = read.map(Arc::new);
        self.contracts.insert(path.to_path_buf(), contract.clone());
        contract
    }

    fn proto(&mut self, path: &Path, at: Span) {
        let Some((file, text)) = self.text(path, parse::CONTRACT, Some(at)) else {
            return;
        };
        if !text.lines().any(|line| line.trim_start().starts_with("service ")) {
            let here = Span { file, start: 0, end: 0 };
            self.error(Code::Contract, here, "it declares no `service`".to_owned());
        }
    }

    /// A contract's or schema's content. JSON is read as JSON: tools write escapes and tabs in it that YAML takes otherwise.
    fn json(&mut self, path: &Path, at: Span) -> Option<(FileId, serde_json::Value)> {
        if path.extension().is_none_or(|end| end != "json") {
            return self
                .tree(path, parse::CONTRACT, Some(at))
                .map(|(file, _, node)| (file, node.json()));
        }
        let (file, text) = self.text(path, parse::CONTRACT, Some(at))?;
        let read = serde_json::from_str(&text).map_err(|error| {
            let lines = text
                .split_inclusive('\n')
                .take(error.line().saturating_sub(1))
                .map(str::len)
                .sum::<usize>();
            let start = u32::try_from(lines + error.column().saturating_sub(1)).unwrap_or(0);
            self.error(
                Code::Syntax,
                Span {
                    file,
                    start,
                    end: start,
                },
                format!("not JSON: {error}"),
            );
        });
        Some((file, read.ok()?))
    }

    fn finish(mut self, mut read: Parts) -> Result<Loaded, Diagnostics> {
        read.services.sort_by(|a, b| a.name.cmp(&b.name));
        read.sagas.sort_by(|a, b| a.doc.saga.value.cmp(&b.doc.saga.value));
        read.reconciliations
            .sort_by(|a, b| a.doc.reconcile.value.0.cmp(&b.doc.reconcile.value.0));
        self.files.sort();
        self.files.dedup();
        let sources = Arc::new(self.sources);
        self.found.extend(check::skipped(&mut read.services, self.env));
        let world = check::World {
            parts: &read,
            sources: &sources,
            env: self.env,
            root: &self.root,
            unread: self.found.iter().filter_map(|item| item.at).collect(),
        };
        self.found.extend(check::all(&world));
        let failed = self.found.iter().any(|item| item.severity == Severity::Error);
        let Some(system) = read.system.filter(|_| !failed) else {
            return Err(Diagnostics::new(self.found, sources));
        };
        let mut loaded = Loaded {
            root: self.root,
            system,
            services: read.services,
            sagas: read.sagas,
            reconciliations: read.reconciliations,
            examples: read.examples,
            warnings: Diagnostics::new(Vec::new(), sources.clone()),
            files: self.files,
            sources: sources.clone(),
        };
        // Only what has no other error has a gateway.
        let failing = examples::run(&loaded);
        let failed = !failing.is_empty();
        self.found.extend(failing);
        loaded.warnings = Diagnostics::new(self.found, sources);
        if failed { Err(loaded.warnings) } else { Ok(loaded) }
    }
}

/// `place-order.saga.yaml` most likely holds `place-order`.
fn saga_name_in(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.trim_end_matches(".yaml").trim_end_matches(".saga").to_owned()
}
