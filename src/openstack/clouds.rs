//! Where the settings of clouds are found: in `clouds.yaml` and in `OS_*`, by the rules of OpenStack's own tools.

use super::settings::{Cloud, Form, SettingsError, Told};
use crate::words::listed;
use serde_norway::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Under this name the variables of the environment are a cloud, for OpenStack's tools too.
const VARIABLES: &str = "envvars";
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// What a program knows from where it runs.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The variables of the environment that matter.
    pub variables: BTreeMap<String, String>,
    /// The folders in which a `clouds.yaml` may lie; the first that has one counts.
    pub folders: Vec<PathBuf>,
    /// The home of whoever runs it.
    pub home: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn here() -> Surroundings {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("OS_"))?;
            Some((name, value.into_string().ok()?))
        });
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let own = std::env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let own = own.or_else(|| Some(home.as_ref()?.join(".config")));
        let mut folders = vec![PathBuf::from(".")];
        folders.extend(own.map(|folder| folder.join("openstack")));
        folders.push(PathBuf::from("/etc/openstack"));
        Surroundings { variables: variables.collect(), folders, home }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The cloud of this name; else the one that the environment names or describes; else the only one of `clouds.yaml`.
pub fn cloud(name: Option<&str>, around: &Surroundings) -> Result<Cloud, SettingsError> {
    let name = name.or_else(|| around.variable("OS_CLOUD"));
    match name {
        Some(VARIABLES) => of_variables(around).cloud(),
        None if around.variable("OS_AUTH_URL").is_some() => of_variables(around).cloud(),
        name => of_file(name, around)?.cloud(),
    }
}

fn of_variables(around: &Surroundings) -> Told {
    let values = around.variables.iter().filter_map(|(name, value)| {
        let key = name.strip_prefix("OS_")?.to_ascii_lowercase();
        Some((key, Some(value.clone())))
    });
    Told {
        name: VARIABLES.to_owned(),
        place: "the environment".to_owned(),
        form: Form::Variables,
        values: values.collect(),
        home: around.home.clone(),
    }
}

fn of_file(name: Option<&str>, around: &Surroundings) -> Result<Told, SettingsError> {
    let path = clouds_file(around)?;
    let file = Clouds::read(path)?;
    let name = file.pick(name)?;
    let mut values = BTreeMap::new();
    flatten(file.clouds.get(name.as_str()).unwrap_or(&Value::Null), &mut values);
    // The secrets may stand apart, in a file that fewer may read.
    if let Some(path) = secure_file(&file.path, around) {
        let secure = Clouds::read(path)?;
        flatten(secure.clouds.get(name.as_str()).unwrap_or(&Value::Null), &mut values);
    }
    let place = format!("{}: cloud \"{name}\"", file.path.display());
    Ok(Told { name, place, form: Form::File, values, home: around.home.clone() })
}

fn clouds_file(around: &Surroundings) -> Result<PathBuf, SettingsError> {
    if let Some(path) = around.variable("OS_CLIENT_CONFIG_FILE") {
        return Ok(PathBuf::from(path));
    }
    let places = around.folders.iter().flat_map(|folder| ENDINGS.map(|ending| folder.join(format!("clouds.{ending}"))));
    let found = places.into_iter().find(|path| path.exists());
    found.ok_or_else(|| {
        let folders: Vec<String> = around.folders.iter().map(|folder| folder.display().to_string()).collect();
        SettingsError {
            place: "no cloud is known".to_owned(),
            what: format!("there is no clouds.yaml in {}, and OS_AUTH_URL is not set", listed(&folders, "or")),
            hint: Some(
                "write a clouds.yaml, or name it with OS_CLIENT_CONFIG_FILE, or source the cloud's openrc".to_owned(),
            ),
        }
    })
}

fn secure_file(clouds: &Path, around: &Surroundings) -> Option<PathBuf> {
    if let Some(path) = around.variable("OS_CLIENT_SECURE_FILE") {
        return Some(PathBuf::from(path));
    }
    let folder = clouds.parent().unwrap_or(Path::new("."));
    ENDINGS.map(|ending| folder.join(format!("secure.{ending}"))).into_iter().find(|path| path.exists())
}

/// A file with clouds.
struct Clouds {
    path: PathBuf,
    clouds: Value,
}

impl Clouds {
    fn read(path: PathBuf) -> Result<Clouds, SettingsError> {
        let problem = |what: String| SettingsError { place: path.display().to_string(), what, hint: None };
        let text = crate::files::read_text(&path).map_err(|error| problem(format!("it cannot be read: {error}")))?;
        // What this says of an error has its place and no line of the file: there may be a password in it.
        let bad = |error: serde_norway::Error| problem(format!("it is no YAML: {error}"));
        let mut whole: Value = serde_norway::from_str(&text).map_err(bad)?;
        whole.apply_merge().map_err(bad)?;
        let clouds = whole.get("clouds").filter(|clouds| clouds.is_mapping()).cloned();
        let clouds = clouds.ok_or_else(|| problem("it has no `clouds`".to_owned()).hint("begin it with: clouds:"))?;
        Ok(Clouds { path, clouds })
    }

    /// The name of the one that is meant.
    fn pick(&self, name: Option<&str>) -> Result<String, SettingsError> {
        let names: Vec<String> = self
            .clouds
            .as_mapping()
            .into_iter()
            .flatten()
            .filter_map(|(name, _)| Some(name.as_str()?.to_owned()))
            .collect();
        let there = format!("there is {}", listed(&names, "and"));
        let problem =
            |what: String| SettingsError { place: self.path.display().to_string(), what, hint: Some(there.clone()) };
        match (name, names.as_slice()) {
            (Some(name), names) if names.iter().any(|known| known == name) => Ok(name.to_owned()),
            (Some(name), _) => Err(problem(format!("it has no cloud \"{name}\""))),
            (None, [only]) => Ok(only.clone()),
            (None, _) => {
                Err(problem("it is not said which of its clouds is meant: name it with --cloud or OS_CLOUD".to_owned()))
            }
        }
    }
}

/// Takes the settings of a cloud together with those that stand under `auth`. Lists and tables are of no interest here.
fn flatten(cloud: &Value, values: &mut BTreeMap<String, Option<String>>) {
    for (key, value) in cloud.as_mapping().into_iter().flatten() {
        let Some(key) = key.as_str() else { continue };
        let text = match value {
            Value::Mapping(_) if key == "auth" => {
                flatten(value, values);
                continue;
            }
            Value::String(text) => Some(text.clone()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Number(_) => None,
            _ => continue,
        };
        values.insert(key.to_owned(), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openstack::{ApplicationCredential, Domain, Interface, Login, Named, Verify};
    use std::fs;
    use tempfile::TempDir;

    const TWO: &str = "\
clouds:
  lab:
    auth:
      auth_url: http://192.0.2.1:5000
      application_credential_id: '17'
      application_credential_secret: hidden
    region_name: north
    interface: internal
  other:
    auth: {auth_url: 'https://192.0.2.2/identity/v3/', username: ha, project_name: admin, user_domain_name: Default,
           project_domain_id: default}
    verify: false
";

    fn around(folder: &TempDir) -> Surroundings {
        Surroundings { folders: vec![folder.path().to_owned()], ..Surroundings::default() }
    }

    fn holding(files: &[(&str, &str)]) -> (TempDir, Surroundings) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let around = around(&folder);
        (folder, around)
    }

    fn variables(pairs: &[(&str, &str)]) -> Surroundings {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Surroundings { variables, ..Surroundings::default() }
    }

    #[test]
    fn a_cloud_is_found_by_its_name() {
        let (_folder, mut around) = holding(&[("clouds.yaml", TWO)]);
        let lab = cloud(Some("lab"), &around).unwrap();
        assert_eq!(lab.keystone.as_str(), "http://192.0.2.1:5000/v3");
        assert_eq!(
            (lab.region.as_deref(), lab.interface, lab.verify),
            (Some("north"), Interface::Internal, Verify::System)
        );
        let Login::Application { credential: ApplicationCredential::Id(id), secret } = lab.login else { panic!() };
        assert_eq!((id.as_str(), secret.expose()), ("17", "hidden"));
        around.variables.insert("OS_CLOUD".to_owned(), "lab".to_owned());
        assert_eq!(cloud(None, &around).unwrap().name, "lab");
        assert!(
            cloud(Some("bal"), &around)
                .unwrap_err()
                .to_string()
                .contains("no cloud \"bal\"\n  hint: there is lab and other")
        );
    }

    #[test]
    fn secrets_may_stand_apart() {
        let secure = "clouds: {other: {auth: {password: hidden}}}";
        let (_folder, around) = holding(&[("clouds.yml", TWO), ("secure.yaml", secure)]);
        let other = cloud(Some("other"), &around).unwrap();
        assert_eq!((other.keystone.as_str(), other.verify.clone()), ("https://192.0.2.2/identity/v3", Verify::Nothing));
        let shown = format!("{other:?}");
        assert!(!shown.contains("hidden"), "{shown}");
        let Login::Password { user, password, project } = other.login else { panic!() };
        assert_eq!(password.expose(), "hidden");
        assert!(
            matches!(user, Named::Name { name, domain: Domain::Name(domain) } if name == "ha" && domain == "Default")
        );
        assert!(
            matches!(project, Named::Name { name, domain: Domain::Id(domain) } if name == "admin" && domain == "default")
        );
    }

    #[test]
    fn the_environment_describes_one_too() {
        let told = [
            ("OS_AUTH_URL", "https://192.0.2.1:5000/v3"),
            ("OS_USERNAME", "ha"),
            ("OS_PASSWORD", "hidden"),
            ("OS_PROJECT_ID", "17"),
            ("OS_USER_DOMAIN_NAME", "Default"),
            ("OS_INTERFACE", "adminURL"),
        ];
        let found = cloud(None, &variables(&told)).unwrap();
        assert_eq!((found.name.as_str(), found.interface), ("envvars", Interface::Admin));
        assert!(matches!(found.login, Login::Password { project: Named::Id(id), .. } if id == "17"));
        let error = |missing: &str| {
            let left: Vec<_> = told.iter().copied().filter(|(name, _)| *name != missing).collect();
            cloud(Some("envvars"), &variables(&left)).unwrap_err().to_string()
        };
        for missing in ["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_USER_DOMAIN_NAME"] {
            assert!(
                error(missing).starts_with(&format!("the environment: {missing} is missing")),
                "{}",
                error(missing)
            );
        }
        assert_eq!(error("OS_PROJECT_ID"), "the environment: OS_PROJECT_NAME is missing");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_without_secrets() {
        let with = |from: &str, to: &str| TWO.replace(from, to);
        let samples = [
            (String::new(), "it has no `clouds`"),
            (
                with("'17'", "17"),
                "cloud \"lab\": `auth.application_credential_id` must be a text\n  hint: if it looks like",
            ),
            (with("auth_url: http://192.0.2.1:5000", "x: y"), "`auth.auth_url` is missing"),
            (with("http://192.0.2.1:5000", "ftp://x"), "`auth.auth_url` must begin with"),
            (with("http://192.0.2.1:5000", "http://u:hidden@x"), "`auth.auth_url` must be an address alone"),
            (with("http://192.0.2.1:5000", "http://x/v2.0"), "let it end with /v3"),
            (
                with("      application_credential_secret: hidden\n", ""),
                "`auth.application_credential_secret` is missing",
            ),
            (with("internal", "inside"), "`interface` cannot be inside"),
            (with("region_name: north", "cacert: /nowhere.pem"), "/nowhere.pem, which cannot be read"),
            (with("region_name: north", "cacert: /dev/null"), "/dev/null, which has no certificate"),
            (with("region_name: north", "verify: perhaps"), "`verify` must be true or false"),
            (with("region_name: north", "auth_type: v3token"), "`auth_type` is v3token, which is not spoken"),
            (with("    region_name: north", "    region_name: \"hidden"), "it is no YAML"),
            (with("      application_credential_id: '17'", "\tapplication_credential_id: hidden"), "it is no YAML"),
        ];
        for (text, expected) in samples {
            let (_folder, around) = holding(&[("clouds.yaml", &text)]);
            let error = cloud(Some("lab"), &around).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("clouds.yaml") && !error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn without_a_name_the_only_one_is_meant() {
        let (_folder, around) = holding(&[("clouds.yaml", TWO)]);
        assert!(cloud(None, &around).unwrap_err().to_string().contains("which of its clouds is meant"));
        let one = TWO.split("  other:").next().unwrap();
        let (_folder, around) = holding(&[("clouds.json", one)]);
        assert_eq!(cloud(None, &around).unwrap().name, "lab");
        let (folder, around) = holding(&[]);
        assert!(cloud(None, &around).unwrap_err().to_string().contains("OS_AUTH_URL is not set"));
        let missing = folder.path().join("missing.yaml");
        let around = variables(&[("OS_CLIENT_CONFIG_FILE", missing.to_str().unwrap())]);
        assert!(cloud(None, &around).unwrap_err().to_string().contains("missing.yaml: it cannot be read"));
    }
}
