//! Requests that nobody sends, decided by the gateway of these manifests: one at a time for `ondol test`, and those that services keep
//! beside their manifests, each time that the manifests are loaded.
//!
//! What becomes of a request is the proxy's word (`ondol_proxy::dry`); here it is only asked and compared.

use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::doc::examples::{ExampleDoc, ExamplesDoc, RequestLine};
use crate::explain::{HIDDEN, Line, explain_route};
use crate::load::Loaded;
use crate::source::{At, Span};
use ondol_core::id::ServiceName;
use ondol_proxy::dry::{Asked, BadGateway, Decision, End, Gateway};

/// A file of examples and whose it is.
#[derive(Clone, Debug)]
pub struct Examples {
    /// Whose.
    pub owner: ServiceName,
    /// What is written.
    pub doc: ExamplesDoc,
}

/// A gateway as clients see it.
pub struct Front {
    gateway: Gateway,
    /// Name, `http` or `https`, address.
    listeners: Vec<(String, String, String)>,
    /// Header fields and query parameters that routes write or ask for with a value of the environment or of a file.
    secrets: Vec<(String, String)>,
}

impl Front {
    /// The gateway of a system.
    ///
    /// # Errors
    /// What a proxy would refuse; the checks of [`crate::load`] leave nothing of that.
    pub fn new(loaded: &Loaded) -> Result<Self, BadGateway> {
        let plan = loaded.lower().plan;
        let listeners = plan.gateways.iter().map(|(name, bind)| {
            let scheme = if plan.tls.contains_key(name) { "https" } else { "http" };
            (name.clone(), scheme.to_owned(), bind.clone())
        });
        let listeners = listeners.collect();
        let routes = plan.services.iter().flat_map(|service| &service.routes);
        let lines = routes.filter_map(|route| explain_route(loaded, route.name.as_str()).ok());
        let secrets = lines
            .flat_map(|explanation| explanation.lines)
            .filter(|line| line.reference);
        let secrets = secrets.filter_map(secret).collect();
        let routes = plan.services.into_iter().flat_map(|service| service.routes);
        let gateway = Gateway::new(
            routes.collect(),
            &plan.trusted_proxies,
            plan.issuers.into_keys().collect(),
        )?;
        Ok(Self {
            gateway,
            listeners,
            secrets,
        })
    }

    /// The same for people: values that came from the environment or a file are not shown.
    pub fn without_secrets(&self, mut decision: Decision) -> Decision {
        for (name, value) in &self.secrets {
            let told = decision.steps.iter_mut().map(|step| &mut step.does);
            for words in told.chain(&mut decision.conditions) {
                *words = words.replace(&format!("{name}: {value}"), &format!("{name}: {HIDDEN}"));
            }
            let headers = match &mut decision.end {
                End::Answered { headers, .. } => headers,
                End::Forwarded { sent, .. } => &mut sent.headers,
                End::Started { .. } => continue,
            };
            for (known, shown) in headers {
                if known == name && shown == value {
                    *shown = HIDDEN.to_owned();
                }
            }
        }
        decision
    }

    /// Whether a field's value, of several fields perhaps, has in it what is not shown.
    fn hides(&self, name: &str, value: &str) -> bool {
        let mut named = self
            .secrets
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.any(|(_, secret)| value.contains(secret.as_str()))
    }

    /// What becomes of a request that comes to the listener of this name, or to the first one.
    ///
    /// # Errors
    /// There is no such listener; the names that there are.
    pub fn decide(
        &self,
        line: &RequestLine,
        listener: Option<&str>,
        fields: Vec<(String, String)>,
    ) -> Result<Decision, String> {
        let mut known = self.listeners.iter();
        let found = known.find(|(name, ..)| listener.is_none_or(|asked| asked == name));
        let Some((_, scheme, address)) = found else {
            let names: Vec<_> = self.listeners.iter().map(|(name, ..)| name.as_str()).collect();
            return Err(format!("there is no such listener; there is {}", names.join(", ")));
        };
        let (scheme, authority) = line.origin.clone().unwrap_or((scheme.clone(), address.clone()));
        Ok(self.gateway.decide(&Asked {
            method: line.method.clone(),
            scheme,
            authority,
            target: line.target.clone(),
            fields,
        }))
    }
}

/// The field or parameter that a line of an explanation sets or asks for, and its value as `ondol_proxy::dry` says it.
fn secret(line: Line) -> Option<(String, String)> {
    let name = line.names()?;
    let regex = name.strip_suffix(".regex").filter(|_| line.key.starts_with("match."));
    Some(match regex {
        Some(name) => (name.to_owned(), format!("regex {}", line.value)),
        None => (name.to_owned(), line.value.clone()),
    })
}

/// Runs all examples; what does not become of a request as expected.
pub(crate) fn run(loaded: &Loaded) -> Vec<Diagnostic> {
    if loaded.examples.is_empty() {
        return Vec::new();
    }
    let front = match Front::new(loaded) {
        Ok(front) => front,
        Err(error) => {
            let at = loaded.examples.first().map_or(Span::BUILT_IN, |file| file.doc.at);
            return vec![Diagnostic::error(Code::Example, at, error.to_string())];
        }
    };
    let examples = loaded.examples.iter().flat_map(|file| &file.doc.examples.value);
    examples.flat_map(|example| one(&front, loaded, example)).collect()
}

fn one(front: &Front, loaded: &Loaded, example: &ExampleDoc) -> Vec<Diagnostic> {
    let fields = example.headers.iter();
    let fields = fields
        .map(|(name, value)| (name.value.clone(), value.value.0.clone()))
        .collect();
    let line = &example.request.value;
    let decision = match front.decide(line, None, fields) {
        Ok(decision) => decision,
        Err(why) => return vec![Diagnostic::error(Code::Example, example.request.at, why)],
    };
    let mut found = Found {
        front,
        decision: &decision,
        hint: format!("`ondol test {} {}` tells each step", line.method, shown(line)),
        out: Vec::new(),
    };
    found.route(example, loaded);
    found.service(example);
    found.answer(example);
    found.sent(example);
    found.headers(example);
    found.out
}

fn shown(line: &RequestLine) -> String {
    let origin = line.origin.as_ref();
    let origin = origin
        .map(|(scheme, host)| format!("{scheme}://{host}"))
        .unwrap_or_default();
    format!("{origin}{}", line.target)
}

struct Found<'a> {
    front: &'a Front,
    decision: &'a Decision,
    hint: String,
    out: Vec<Diagnostic>,
}

impl Found<'_> {
    fn wrong(&mut self, at: Span, message: String) {
        let found = Diagnostic::error(Code::Example, at, message);
        self.out.push(found.hint(self.hint.clone()));
    }

    fn route(&mut self, example: &ExampleDoc, loaded: &Loaded) {
        let Some(want) = &example.expect.value.route else {
            return;
        };
        let taken = self.decision.route.as_ref().map(|(route, _)| route.to_string());
        match (taken.as_deref(), want.value.as_str()) {
            (None, "none") => {}
            (Some(taken), want) if taken == want => {}
            (None, _) => {
                let near = self.decision.near.first();
                let near = near.map(|near| format!("; route {} nearly does: {}", near.route, near.but));
                let message = format!("no route takes this request{}", near.unwrap_or_default());
                self.wrong(want.at, message);
            }
            (Some(taken), _) => {
                let message = format!("this request is taken by the route `{taken}`");
                self.wrong(want.at, message);
                let plan = loaded.lower().plan;
                let names = plan.services.iter().flat_map(|service| &service.routes);
                let names: Vec<_> = names.map(|route| route.name.as_str()).collect();
                if want.value != "none" && !names.contains(&want.value.as_str()) {
                    let near = nearest(&want.value, names).map(|near| format!("did you mean `{near}`?"));
                    if let Some(last) = self.out.last_mut() {
                        last.message = format!("{}; there is no route `{}`", last.message, want.value);
                        last.hint = near.or(last.hint.take());
                    }
                }
            }
        }
    }

    fn service(&mut self, example: &ExampleDoc) {
        let Some(want) = &example.expect.value.service else {
            return;
        };
        let End::Forwarded { backends, .. } = &self.decision.end else {
            let message = format!("no service gets this request: {}", self.end());
            return self.wrong(want.at, message);
        };
        let may: Vec<_> = backends.iter().filter(|backend| backend.weight > 0).collect();
        if !may.iter().any(|backend| backend.service == want.value) {
            let names: Vec<_> = may.iter().map(|backend| backend.service.as_str()).collect();
            let message = format!("this request goes to {}", names.join(", "));
            self.wrong(want.at, message);
        }
    }

    fn answer(&mut self, example: &ExampleDoc) {
        let expect = &example.expect.value;
        let answered = match &self.decision.end {
            End::Answered { status, headers, .. } => Some((*status, headers.clone())),
            _ => None,
        };
        if let Some(want) = &expect.status
            && answered.as_ref().map(|(status, _)| *status) != Some(want.value.0)
        {
            let message = match answered {
                Some(_) => self.end(),
                None => format!("the gateway does not answer this request itself: {}", self.end()),
            };
            self.wrong(want.at, message);
        }
        if let Some(want) = &expect.location {
            let location = answered.as_ref().and_then(|(_, headers)| field(headers, "location"));
            if location.as_deref() != Some(&want.value) {
                let message = location.map_or_else(
                    || format!("the client is sent nowhere: {}", self.end()),
                    |location| format!("the client is sent to {location}"),
                );
                self.wrong(want.at, message);
            }
        }
    }

    fn sent(&mut self, example: &ExampleDoc) {
        let Some(want) = &example.expect.value.path else { return };
        match &self.decision.end {
            End::Forwarded { sent, .. } if sent.target == want.value => {}
            End::Forwarded { sent, .. } => {
                let message = format!("the service gets {}", sent.target);
                self.wrong(want.at, message);
            }
            _ => {
                let message = format!("no service gets this request: {}", self.end());
                self.wrong(want.at, message);
            }
        }
    }

    fn headers(&mut self, example: &ExampleDoc) {
        let headers = match &self.decision.end {
            End::Answered { headers, .. } => headers.clone(),
            End::Forwarded { sent, .. } => sent.headers.clone(),
            End::Started { .. } => Vec::new(),
        };
        for (name, want) in example.expect.value.headers.iter() {
            let value = field(&headers, &name.value);
            let wanted: &At<_> = want;
            let absent = wanted.value.0 == "none";
            if value.as_deref() == Some(&wanted.value.0) || (absent && value.is_none()) {
                continue;
            }
            let message = match value {
                Some(value) if self.front.hides(&name.value, &value) => {
                    format!("the header `{}` has another value, which is not shown", name.value)
                }
                Some(value) => format!("the header `{}` is `{value}`", name.value),
                None => format!("there is no header `{}`", name.value),
            };
            self.wrong(wanted.at, message);
        }
    }

    /// How it ends, in words.
    fn end(&self) -> String {
        match &self.decision.end {
            End::Answered { status, detail, .. } => {
                let detail = detail.as_ref().map(|detail| format!(": {detail}"));
                format!("the gateway answers {status}{}", detail.unwrap_or_default())
            }
            End::Forwarded { backends, .. } => {
                let names: Vec<_> = backends.iter().map(|backend| backend.service.as_str()).collect();
                format!("it goes to {}", names.join(", "))
            }
            End::Started { saga, .. } => format!("it starts the saga {saga}"),
        }
    }
}

/// The values of a field, joined as RFC 9110 section 5.3 has it.
fn field(headers: &[(String, String)], name: &str) -> Option<String> {
    let all = headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let all: Vec<_> = all.map(|(_, value)| value.as_str()).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FixedEnv;

    /// What `service.yaml` of `a` says of its routes, with the file `key` beside it, whose text is `hush`.
    fn load(routes: &str, examples: &str) -> Result<Loaded, String> {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(root.path().join("a")).expect("a folder");
        let service = format!("service: a\nrun: sh -c true\nexamples: [a.examples.yaml]\nroutes:\n{routes}");
        for (path, text) in [
            ("ondol.yaml", "system: demo\nservices: [a]\n"),
            ("a/key", "hush"),
            ("a/service.yaml", &service),
            ("a/a.examples.yaml", examples),
        ] {
            std::fs::write(root.path().join(path), text).expect("written");
        }
        let env = FixedEnv::default().programs(&[("sh", "1")]);
        crate::load(root.path(), &env).map_err(|found| found.render(false))
    }

    const SECRETS: &str = "  - name: a\n    match: { prefix: /a, headers: { x.in: \"${file:key}\" }, \
                           query: { q: { regex: \"${file:key}\" } } }\n    \
                           request_headers: { set: { x.api.key: \"${file:key}\" }, add: { x-k: \"${file:key}\" } }\n    \
                           response_headers: { set: { x-out: \"${file:key}\" } }\n";

    #[test]
    fn what_came_from_a_file_is_not_shown_whatever_a_field_is_called() {
        let loaded = load(SECRETS, "examples: []\n").expect("good");
        let front = Front::new(&loaded).expect("a gateway");
        let line = RequestLine::parse("GET", "/a?q=hush").expect("good");
        let fields = vec![("x.in".to_owned(), "hush".to_owned())];
        let decision = front.decide(&line, None, fields).expect("a listener");
        assert!(matches!(decision.end, End::Forwarded { .. }), "{decision:?}");
        let mut shown = front.without_secrets(decision);
        let End::Forwarded { sent, .. } = &mut shown.end else {
            panic!("{shown:?}")
        };
        assert_eq!(sent.target, "/a?q=hush", "what the client sent");
        sent.target.clear();
        assert!(!format!("{shown:?}").contains("hush"), "{shown:?}");
    }

    #[test]
    fn an_example_that_fails_does_not_tell_what_came_from_a_file() {
        let example = "examples:\n  - request: GET /a?q=hush\n    headers: { x.in: hush }\n    \
                       expect: { headers: { x.api.key: other, x-in: none } }\n";
        let told = load(SECRETS, example).expect_err("an example fails");
        let why = "the header `x.api.key` has another value, which is not shown";
        assert!(told.contains("MF-027") && told.contains(why), "{told}");
        assert!(!told.lines().any(|line| line.contains("is `hush`")), "{told}");
    }
}
