//! Small projects of each kind: what is proposed, and that it is taken by `load`.

use super::*;
use crate::Env;

/// A machine with every tool of the newest version.
struct Tools;

impl Env for Tools {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
    fn program(&self, name: &str) -> Option<PathBuf> {
        Some(Path::new("/usr/bin").join(name))
    }
    fn version(&self, _: &Path) -> Option<String> {
        Some("9999.0".into())
    }
}

/// A folder called `demo`, for as long as it is held.
struct Demo {
    _holder: tempfile::TempDir,
    path: PathBuf,
}

impl Demo {
    fn path(&self) -> &Path {
        &self.path
    }
}

fn folder(files: &[(&str, &str)]) -> Demo {
    let holder = tempfile::tempdir().expect("a folder");
    let root = Demo {
        path: holder.path().join("demo"),
        _holder: holder,
    };
    std::fs::create_dir(root.path()).expect("can be made");
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("can be made");
        std::fs::write(path, text).expect("can be written");
    }
    root
}

/// Proposes, writes, loads; gives what each service is: name, build, run.
fn check(files: &[(&str, &str)], want: &[(&str, &str, &str)]) -> (Demo, Proposal) {
    let root = folder(files);
    let proposal = init(root.path()).expect("something to start");
    assert_eq!(proposal.write().expect("writable").len(), want.len() + 1, "{proposal}");
    let loaded = crate::load(root.path(), &Tools).unwrap_or_else(|findings| panic!("{proposal}\n{findings}"));
    let services = loaded.services.iter().map(|service| {
        let words = |words: &crate::value::Words| words.words.join(" ");
        (
            service.name.to_string(),
            service.doc.build.as_ref().map(|build| words(build)).unwrap_or_default(),
            words(&service.doc.run),
        )
    });
    let want: Vec<_> = want
        .iter()
        .map(|(name, build, run)| (name.to_string(), build.to_string(), run.to_string()))
        .collect();
    assert_eq!(services.collect::<Vec<_>>(), want, "{proposal}");
    (root, proposal)
}

fn says(proposal: &Proposal, part: &str) {
    assert!(
        proposal.guesses.iter().any(|guess| guess.to_string().contains(part)),
        "`{part}` is not said in\n{proposal}"
    );
}

#[test]
fn a_cargo_package_is_built_and_its_main_program_run() {
    let toml = "[package]\nname = \"echo\"\n[[bin]]\nname = \"helper\"\npath = \"h.rs\"\nrequired-features = [\"x\"]\n";
    let main = "fn main() { std::env::var(\"PORT\"); }";
    let (_root, proposal) = check(
        &[("Cargo.toml", toml), ("src/main.rs", main)],
        &[(
            "echo",
            "cargo build --release --package echo --bin echo",
            "target/release/echo",
        )],
    );
    says(&proposal, "leaves out the programs helper");
    says(
        &proposal,
        "takes its port from the variable PORT (src/main.rs mentions it)",
    );
}

#[test]
fn a_cargo_workspace_gives_a_service_for_each_package_with_a_program() {
    let package = |name: &str| format!("[package]\nname = \"{name}\"\n");
    let (root, proposal) = check(
        &[
            ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\n"),
            ("crates/api/Cargo.toml", &package("api")),
            ("crates/api/src/main.rs", "fn main() {}"),
            ("crates/lib/Cargo.toml", &package("lib")),
            ("crates/lib/src/lib.rs", ""),
            ("crates/web/Cargo.toml", &package("web")),
            ("crates/web/src/bin/site.rs", "fn main() {}"),
        ],
        &[
            (
                "api",
                "cargo build --release --package api --bin api",
                "target/release/api",
            ),
            (
                "web",
                "cargo build --release --package web --bin site",
                "target/release/site",
            ),
        ],
    );
    says(&proposal, "`lib` is left out (it is a library");
    says(&proposal, "web: gets every request of the gateway (it is called `web`)");
    let text = std::fs::read_to_string(root.path().join("crates/api/service.yaml")).expect("written");
    assert!(text.contains("dir: ../..\n"), "{text}");
}

#[test]
fn an_npm_package_is_started_straight_where_its_script_is_plain_node() {
    let package = r#"{ "name": "@team/shop-web", "scripts": { "start": "node server.js" }, "engines": { "node": ">=18" }, "dependencies": { "x": "1" } }"#;
    let (root, _) = check(
        &[
            ("package.json", package),
            ("package-lock.json", "{}"),
            ("server.js", "listen(process.env.PORT)"),
        ],
        &[("shop-web", "npm ci", "node server.js")],
    );
    let text = std::fs::read_to_string(root.path().join("service.yaml")).expect("written");
    assert!(
        text.contains("needs: [\"node>=18\", npm]\n") && text.contains("prefix: /"),
        "{text}"
    );
    let scripted =
        r#"{ "name": "x", "scripts": { "start": "tsx a.ts && b", "build": "tsc" }, "devDependencies": { "t": "1" } }"#;
    check(
        &[("package.json", scripted)],
        &[("x", "sh -c npm install && npm run build", "npm start")],
    );
}

#[test]
fn python_projects_get_a_virtual_environment_and_the_server_that_they_use() {
    let venv = "sh -c python3 -m venv .venv && .venv/bin/pip install ";
    check(
        &[
            ("requirements.txt", "flask\n"),
            ("app.py", "from flask import Flask\napp = Flask(__name__)\n"),
        ],
        &[(
            "demo",
            &format!("{venv}-r requirements.txt"),
            ".venv/bin/flask --app app run --port ${PORT}",
        )],
    );
}

#[test]
fn a_python_package_is_run_by_the_program_that_it_installs() {
    let project =
        "[project]\nname = \"mailer\"\nrequires-python = \">=3.9\"\n[project.scripts]\nmailer = \"mailer:main\"\n";
    let (root, proposal) = check(
        &[("pyproject.toml", project)],
        &[(
            "mailer",
            "sh -c python3 -m venv .venv && .venv/bin/pip install .",
            ".venv/bin/mailer",
        )],
    );
    says(&proposal, "must be told its port");
    let text = std::fs::read_to_string(root.path().join("service.yaml")).expect("written");
    assert!(
        text.contains("needs: [\"python3>=3.9\"]") && text.contains("# how does it learn its port?"),
        "{text}"
    );
}

#[test]
fn a_go_module_gives_a_service_for_each_command() {
    let main = "package main\n\nfunc main() {}\n";
    check(
        &[("go.mod", "module example.com/echo/v2\n\ngo 1.21\n"), ("main.go", main)],
        &[("echo", "go build -o bin/echo .", "bin/echo")],
    );
    check(
        &[
            ("go.mod", "module example.com/x\n"),
            ("cmd/a/main.go", main),
            ("cmd/b/main.go", main),
            ("lib.go", "package x\n"),
        ],
        &[
            ("a", "go build -o bin/a ./cmd/a", "bin/a"),
            ("b", "go build -o bin/b ./cmd/b", "bin/b"),
        ],
    );
}

#[test]
fn a_maven_project_runs_its_jar_whatever_its_parent_says() {
    let pom = "<project><parent><artifactId>spring-boot-parent</artifactId><version>3.0</version></parent>\
               <artifactId>bills</artifactId><version>1.2</version></project>";
    check(
        &[("pom.xml", pom)],
        &[(
            "bills",
            "mvn -q -B package -DskipTests",
            "java -jar target/bills-1.2.jar --server.port=${PORT}",
        )],
    );
}

#[test]
fn a_procfile_is_believed_before_the_project() {
    let files = [
        (
            "Procfile",
            "web: gunicorn app:app --bind 127.0.0.1:$PORT\nworker: python worker.py\nrelease: migrate\n",
        ),
        ("requirements.txt", "gunicorn\n"),
        ("app.py", "app = Flask(__name__)\n"),
    ];
    let build = "sh -c python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";
    let (root, proposal) = check(
        &files,
        &[
            (
                "web",
                build,
                "sh -c PATH=.venv/bin:$PATH exec gunicorn app:app --bind 127.0.0.1:${PORT}",
            ),
            ("worker", build, "sh -c PATH=.venv/bin:$PATH exec python worker.py"),
        ],
    );
    says(&proposal, "`release` is left out");
    says(&proposal, "worker: is not asked whether it is ready");
    assert!(root.path().join("services/web/service.yaml").is_file());
}

#[test]
fn compose_services_are_the_projects_they_are_built_from_and_images_are_named() {
    let compose = "services:\n  front:\n    build: ./web\n    depends_on: [api, db]\n    environment: [\"TOKEN=${TOKEN:-x}\", PORT=3000]\n\
                   \x20 api:\n    build: { context: ./api }\n    command: [\"node\", \"other.js\"]\n  db: { image: postgres:16 }\n";
    let package = |name: &str| format!(r#"{{ "name": "{name}", "scripts": {{ "start": "node index.js" }} }}"#);
    let (root, proposal) = check(
        &[
            ("compose.yaml", compose),
            ("web/package.json", &package("ignored")),
            ("api/package.json", &package("api")),
        ],
        &[("api", "", "node other.js"), ("front", "", "node index.js")],
    );
    says(&proposal, "`db` is left out (it is the image postgres:16");
    let text = std::fs::read_to_string(root.path().join("web/service.yaml")).expect("written");
    assert!(
        text.contains("TOKEN: \"${env:TOKEN:-x}\"") && !text.contains("PORT: 3000"),
        "{text}"
    );
    assert!(
        text.contains("depends_on:\n  api: required\n") && !text.contains("db: required"),
        "{text}"
    );
}

#[test]
fn what_is_there_is_never_overwritten() {
    let root = folder(&[
        (
            "package.json",
            r#"{ "name": "x", "scripts": { "start": "node x.js" } }"#,
        ),
        ("service.yaml", "mine\n"),
    ]);
    let proposal = init(root.path()).expect("something to start");
    assert!(
        proposal
            .files
            .iter()
            .any(|file| file.exists && file.path.ends_with("service.yaml"))
    );
    let written = proposal.write().expect("writable");
    assert_eq!(written.len(), 1);
    assert_eq!(
        std::fs::read_to_string(root.path().join("service.yaml")).expect("there"),
        "mine\n"
    );
    assert!(proposal.write().is_err(), "ondol.yaml came into being since");
}

#[test]
fn where_nothing_can_be_started_it_says_what_it_saw() {
    let root = folder(&[("Cargo.toml", "[package]\nname = \"only-lib\"\n"), ("src/lib.rs", "")]);
    match init(root.path()) {
        Err(InitError::Nothing { guesses, .. }) => assert!(guesses[0].what.contains("only-lib"), "{guesses:?}"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        init(Path::new("/no/such/folder")),
        Err(InitError::Folder { .. })
    ));
}

#[test]
fn names_become_labels_and_scalars_are_quoted_where_they_must_be() {
    for (text, want) in [
        ("@team/Shop_Web", "shop-web"),
        ("9lives", "s-9lives"),
        ("--", "service"),
        ("a.b", "a-b"),
    ] {
        assert_eq!(dns_label(text), want, "{text}");
    }
    for (text, want) in [
        ("node x.js", "node x.js"),
        ("true", "\"true\""),
        ("a: b", "\"a: b\""),
        ("8080", "\"8080\""),
        ("sh -c 'x'", "\"sh -c 'x'\""),
    ] {
        assert_eq!(quote(text), want, "{text}");
    }
}
