//! Maven projects that make a jar.

use super::project::port_hint;
use super::{Draft, Notes, read};
use std::path::Path;

pub(super) fn draft(folder: &Path, notes: &mut Notes) -> Option<Draft> {
    let pom = read(&folder.join("pom.xml"))?;
    // What belongs to the project itself is what stands outside these.
    let own = [
        "parent",
        "dependencies",
        "dependencyManagement",
        "build",
        "profiles",
        "reporting",
    ]
    .iter()
    .fold(pom.clone(), |text, tag| without(&text, tag));
    let artifact = element(&own, "artifactId")?;
    if element(&own, "packaging").is_some_and(|packaging| packaging != "jar") {
        notes.add(
            "",
            format!("the Maven project `{artifact}` is left out"),
            "its packaging is not jar",
        );
        return None;
    }
    let version = element(&own, "version")
        .or_else(|| element(&inside(&pom, "parent")?, "version"))
        .unwrap_or_else(|| "1.0-SNAPSHOT".into());
    let jar = element(&inside(&pom, "build").unwrap_or_default(), "finalName").filter(|name| !name.contains("${"));
    let jar = jar.unwrap_or_else(|| format!("{artifact}-{version}"));
    let spring = pom.contains("spring-boot");
    let port = if spring { " --server.port=${PORT}" } else { "" };
    let mut draft = Draft::new(&artifact, folder, format!("java -jar target/{jar}.jar{port}"));
    draft.needs = vec!["java".into(), "mvn".into()];
    draft.build = Some("mvn -q -B package -DskipTests".into());
    notes.add(
        &draft.name,
        format!("is run as `{}`", draft.run),
        format!("pom.xml makes {jar}.jar"),
    );
    if spring {
        notes.add(
            &draft.name,
            "gets its port as --server.port",
            "pom.xml names spring-boot",
        );
    }
    port_hint(&mut draft, folder, &["java", "properties", "yml"], notes);
    Some(draft)
}

/// The text of the first element of this name.
fn element(text: &str, tag: &str) -> Option<String> {
    inside(text, tag)
        .map(|inner| inner.trim().to_owned())
        .filter(|inner| !inner.is_empty())
}

fn inside(text: &str, tag: &str) -> Option<String> {
    let start = text.find(&format!("<{tag}>"))? + tag.len() + 2;
    let end = text[start..].find(&format!("</{tag}>"))?;
    Some(text[start..start + end].to_owned())
}

fn without(text: &str, tag: &str) -> String {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once(&open) {
        out.push_str(before);
        rest = after.split_once(&close).map_or("", |(_, after)| after);
    }
    out + rest
}
