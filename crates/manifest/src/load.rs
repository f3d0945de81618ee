//! From a folder to a checked system: finds the files, reads them all, checks them against each other.

use crate::check;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Severity};
use crate::doc::saga::SagaDoc;
use crate::doc::service::ServiceDoc;
use crate::doc::system::SystemDoc;
use crate::env::Env;
use crate::openapi::Contract;
use crate::read::{Read, Reader};
use crate::source::{At, FileId, Sources, Span, join};
use crate::tree::{self, Limits, Node};
use ondol_core::id::ServiceName;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Services of one system.
const MAX_SERVICES: usize = 500;

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
    /// What is odd, but taken.
    pub warnings: Diagnostics,
    /// Every file that a change of would change this: manifests, contracts, files named by `${file:…}`.
    pub files: Vec<PathBuf>,
    pub(crate) sources: Arc<Sources>,
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

/// What could be read so far; some of it may be missing.
#[derive(Default)]
pub(crate) struct Parts {
    pub system: Option<SystemDoc>,
    pub services: Vec<Service>,
    pub sagas: Vec<Saga>,
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

    /// Reads a file into a tree. `at` is who named it.
    fn tree(&mut self, path: &Path, limits: Limits, at: Option<Span>) -> Option<(FileId, Arc<str>, Node)> {
        self.files.push(path.to_path_buf());
        let text = match read_text(path, limits.bytes) {
            Ok(text) => text,
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
                return None;
            }
        };
        let file = self.sources.add(&self.root, path.to_path_buf(), &text);
        match tree::parse(file, &text, limits) {
            Ok(node) => Some((file, text.into(), node)),
            Err(errors) => {
                self.found.extend(errors);
                None
            }
        }
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
        let (file, text, node) = self.tree(path, tree::MANIFEST, at)?;
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
                tree::Value::List(items) => items.iter().filter_map(Node::text).map(str::to_owned).collect(),
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
                tree::Value::List(items) => items.iter().filter_map(Node::text).map(str::to_owned).collect(),
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
        let api = doc
            .api
            .as_ref()
            .and_then(|api| self.contract(&join(folder, &api.value), api.at));
        read.services.push(Service {
            name,
            file,
            folder: folder.to_path_buf(),
            doc,
            api,
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

    /// A contract, read once however many name it.
    fn contract(&mut self, path: &Path, at: Span) -> Option<Arc<Contract>> {
        if let Some(known) = self.contracts.get(path) {
            return known.clone();
        }
        let read = self.tree(path, tree::CONTRACT, Some(at)).and_then(|(file, _, node)| {
            let made = Contract::new(path.to_path_buf(), file, node.json());
            made.map_err(|why| self.error(Code::Contract, Span { file, start: 0, end: 0 }, why))
                .ok()
        });
        let contract = read.map(Arc::new);
        self.contracts.insert(path.to_path_buf(), contract.clone());
        contract
    }

    /// The schema of a saga's input, standing alone and compiled once to see that it can be.
    fn input_schema(&mut self, saga: &Path, node: &Node) -> Option<serde_json::Value> {
        let json = node.json();
        let schema = match node
            .get("$ref")
            .and_then(Node::text)
            .and_then(|target| target.split_once('#'))
        {
            Some((file, pointer)) if !file.is_empty() => {
                let at = node.get("$ref").map_or(node.at, |target| target.at);
                let folder = saga.parent().unwrap_or(Path::new("/"));
                let contract = self.contract(&join(folder, file), at)?;
                contract.alone(pointer).map_err(|why| (at, why))
            }
            _ => crate::openapi::alone(&json, &json).map_err(|why| (node.at, why)),
        };
        let checked = schema.and_then(|schema| match jsonschema::validator_for(&schema) {
            Ok(_) => Ok(schema),
            Err(error) => Err((node.at, format!("not a JSON Schema: {error}"))),
        });
        checked.map_err(|(at, why)| self.error(Code::Contract, at, why)).ok()
    }

    fn finish(mut self, mut read: Parts) -> Result<Loaded, Diagnostics> {
        read.services.sort_by(|a, b| a.name.cmp(&b.name));
        read.sagas.sort_by(|a, b| a.doc.saga.value.cmp(&b.doc.saga.value));
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
        let found = Diagnostics::new(self.found, sources.clone());
        match (failed, read.system) {
            (false, Some(system)) => Ok(Loaded {
                root: self.root,
                system,
                services: read.services,
                sagas: read.sagas,
                warnings: found,
                files: self.files,
                sources,
            }),
            _ => Err(found),
        }
    }
}

/// `place-order.saga.yaml` most likely holds `place-order`.
fn saga_name_in(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.trim_end_matches(".yaml").trim_end_matches(".saga").to_owned()
}

/// Why a file cannot be read, in words without numbers.
pub(crate) fn why_unread(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::PermissionDenied => "this user may not read it".into(),
        std::io::ErrorKind::IsADirectory => "a folder, not a file".into(),
        _ => error.to_string(),
    }
}

fn read_text(path: &Path, limit: u64) -> Result<String, (Code, String)> {
    let size = std::fs::metadata(path)
        .map_err(|error| (Code::File, why_unread(&error)))?
        .len();
    if size > limit {
        return Err((Code::Limit, format!("larger than {} KiB", limit / 1024)));
    }
    let bytes = std::fs::read(path).map_err(|error| (Code::File, why_unread(&error)))?;
    String::from_utf8(bytes).map_err(|_| (Code::File, "not UTF-8 text".into()))
}

/// Folders that fit a pattern whose segments may hold `*`. Hidden ones only by name.
fn expand(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![if pattern.starts_with('/') {
        PathBuf::from("/")
    } else {
        root.to_path_buf()
    }];
    for segment in pattern.split('/').filter(|segment| !segment.is_empty()) {
        if !segment.contains('*') {
            found = found.iter().map(|folder| join(folder, segment)).collect();
            continue;
        }
        let mut next = Vec::new();
        for folder in &found {
            let Ok(entries) = std::fs::read_dir(folder) else {
                continue;
            };
            let names = entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned());
            let fitting = names.filter(|name| !name.starts_with('.') && wildcard(segment, name));
            next.extend(fitting.map(|name| folder.join(name)).filter(|path| path.is_dir()));
        }
        next.sort();
        next.truncate(MAX_SERVICES * 4);
        found = next;
    }
    found
}

/// Whether `name` fits `pattern`, where `*` stands for any text.
fn wildcard(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    let mut rest = rest;
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_any_text() {
        for (pattern, name, want) in [
            ("*", "orders", true),
            ("bank-*", "bank-north", true),
            ("bank-*", "orders", false),
            ("*-a-*", "x-a-y", true),
            ("a*a", "a", false),
            ("a*b*c", "a1b2c", true),
            ("orders", "orders", true),
            ("orders", "orders2", false),
        ] {
            assert_eq!(wildcard(pattern, name), want, "{pattern} {name}");
        }
    }
}
