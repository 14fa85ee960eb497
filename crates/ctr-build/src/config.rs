//! The image config that a stage builds up: what the base says, unknown members included, and what instructions change.

use std::time::Duration;

use ctr_core::digest::Digest;
use ctr_core::platform::Platform;
use ctr_dockerfile::instruction::{Command, HealthTimes, Healthcheck};
use serde_json::{Map, Value, json};

/// `PATH` of images that set none, as Docker has it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image config in the making.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The document. Its members are written sorted, so equal configs are equal bytes.
    document: Map<String, Value>,
    /// The last CMD was of this Dockerfile: a new ENTRYPOINT does not clear it.
    own_cmd: bool,
}

impl Config {
    /// Of `FROM scratch`.
    pub(crate) fn scratch(platform: &Platform) -> Self {
        let mut document = Map::new();
        document.insert("os".into(), json!(platform.os));
        document.insert("architecture".into(), json!(platform.architecture));
        if !platform.variant.is_empty() {
            document.insert("variant".into(), json!(platform.variant));
        }
        document.insert("rootfs".into(), json!({"type": "layers", "diff_ids": []}));
        document.insert("config".into(), json!({"Env": [format!("PATH={DEFAULT_PATH}")], "WorkingDir": "/"}));
        Self { document, own_cmd: false }
    }

    /// Of a base image.
    pub(crate) fn of_base(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut document: Map<String, Value> = serde_json::from_slice(bytes)?;
        // What Docker's old builder left of the container that the base was made with.
        for gone in ["container", "container_config", "docker_version", "id", "parent"] {
            document.remove(gone);
        }
        Ok(Self { document, own_cmd: false })
    }

    /// As a base of another stage: its CMD is inherited from there on.
    pub(crate) fn become_base(&mut self) {
        self.own_cmd = false;
    }

    /// What it was made for.
    pub(crate) fn platform(&self) -> Platform {
        let text = |key: &str| self.document.get(key).and_then(Value::as_str).unwrap_or_default();
        Platform::new(text("os"), text("architecture"), text("variant"))
    }

    fn config(&self) -> Option<&Map<String, Value>> {
        self.document.get("config").and_then(Value::as_object)
    }

    fn config_mut(&mut self) -> &mut Map<String, Value> {
        let config = self.document.entry("config").or_insert(Value::Null);
        if !config.is_object() {
            *config = Value::Object(Map::new());
        }
        match config {
            Value::Object(config) => config,
            // Made an object just above.
            _ => unreachable!(),
        }
    }

    fn strings(&self, key: &str) -> Vec<String> {
        let list = self.config().and_then(|config| config.get(key)).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    fn text(&self, key: &str) -> &str {
        self.config().and_then(|config| config.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    fn set(&mut self, key: &str, value: Value) {
        let empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        if empty {
            self.config_mut().remove(key);
        } else {
            self.config_mut().insert(key.to_owned(), value);
        }
    }

    /// The variables, in their order.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let pair = |text: String| match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (text, String::new()),
        };
        self.strings("Env").into_iter().map(pair).collect()
    }

    /// ENV: a variable that is there keeps its place.
    pub(crate) fn set_env(&mut self, key: &str, value: &str) {
        let mut env = self.env();
        match env.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => value.clone_into(old),
            None => env.push((key.to_owned(), value.to_owned())),
        }
        self.set("Env", env.into_iter().map(|(key, value)| Value::String(format!("{key}={value}"))).collect());
    }

    /// Each image that is built has a `PATH`.
    pub(crate) fn ensure_path(&mut self) {
        if !self.env().iter().any(|(key, _)| key == "PATH") {
            self.set_env("PATH", DEFAULT_PATH);
        }
    }

    /// `WorkingDir`, `/` if there is none.
    pub(crate) fn workdir(&self) -> &str {
        match self.text("WorkingDir") {
            "" => "/",
            dir => dir,
        }
    }

    pub(crate) fn set_workdir(&mut self, dir: &str) {
        self.set("WorkingDir", json!(dir));
    }

    /// `User`, empty if there is none.
    pub(crate) fn user(&self) -> &str {
        self.text("User")
    }

    pub(crate) fn set_user(&mut self, user: &str) {
        self.set("User", json!(user));
    }

    /// The program and first arguments of shell forms.
    pub(crate) fn shell(&self) -> Vec<String> {
        let shell = self.strings("Shell");
        if shell.is_empty() { vec!["/bin/sh".to_owned(), "-c".to_owned()] } else { shell }
    }

    pub(crate) fn set_shell(&mut self, shell: &[String]) {
        self.set("Shell", json!(shell));
    }

    /// A command as the config has it: shell forms with their shell.
    pub(crate) fn words(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(text) => self.shell().into_iter().chain([text.clone()]).collect(),
        }
    }

    pub(crate) fn set_cmd(&mut self, command: &Command) {
        let words = self.words(command);
        // An empty list says that there is none, also where the base has one.
        self.config_mut().insert("Cmd".into(), json!(words));
        self.own_cmd = true;
    }

    /// ENTRYPOINT takes away a CMD that is the base's.
    pub(crate) fn set_entrypoint(&mut self, command: &Command) {
        let words = self.words(command);
        self.config_mut().insert("Entrypoint".into(), json!(words));
        if !self.own_cmd {
            self.config_mut().remove("Cmd");
        }
    }

    fn add_to_set(&mut self, key: &str, name: &str) {
        let config = self.config_mut();
        let set = config.entry(key).or_insert(Value::Null);
        if !set.is_object() {
            *set = Value::Object(Map::new());
        }
        if let Some(set) = set.as_object_mut() {
            set.insert(name.to_owned(), json!({}));
        }
    }

    /// A port with its protocol.
    pub(crate) fn expose(&mut self, port: &str) {
        self.add_to_set("ExposedPorts", port);
    }

    pub(crate) fn add_volume(&mut self, path: &str) {
        self.add_to_set("Volumes", path);
    }

    pub(crate) fn set_label(&mut self, key: &str, value: &str) {
        let config = self.config_mut();
        let labels = config.entry("Labels").or_insert(Value::Null);
        if !labels.is_object() {
            *labels = Value::Object(Map::new());
        }
        if let Some(labels) = labels.as_object_mut() {
            labels.insert(key.to_owned(), json!(value));
        }
    }

    pub(crate) fn set_stop_signal(&mut self, signal: &str) {
        self.set("StopSignal", json!(signal));
    }

    pub(crate) fn set_author(&mut self, author: &str) {
        self.document.insert("author".into(), json!(author));
    }

    pub(crate) fn set_healthcheck(&mut self, check: &Healthcheck) {
        let value = match check {
            Healthcheck::None => json!({"Test": ["NONE"]}),
            Healthcheck::Check { command, times } => {
                let test = match command {
                    Command::Exec(words) => ["CMD".to_owned()].into_iter().chain(words.iter().cloned()).collect(),
                    Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
                };
                let mut value = Map::new();
                value.insert("Test".into(), json!(test));
                health_times(&mut value, times);
                Value::Object(value)
            }
        };
        self.set("Healthcheck", value);
    }

    /// Triggers for builds on top of this image.
    pub(crate) fn add_onbuild(&mut self, trigger: &str) {
        let mut triggers = self.strings("OnBuild");
        triggers.push(trigger.to_owned());
        self.set("OnBuild", json!(triggers));
    }

    /// The base's triggers; they fire once.
    pub(crate) fn take_onbuild(&mut self) -> Vec<String> {
        let triggers = self.strings("OnBuild");
        if !triggers.is_empty() {
            self.set("OnBuild", Value::Null);
        }
        triggers
    }

    /// Adds a line of the history; `layer` if the step made one.
    pub(crate) fn add_history(&mut self, created: &str, created_by: &str, layer: bool) {
        let mut line = Map::new();
        line.insert("created".into(), json!(created));
        line.insert("created_by".into(), json!(created_by));
        line.insert("comment".into(), json!("ctr-build"));
        if !layer {
            line.insert("empty_layer".into(), json!(true));
        }
        let history = self.document.entry("history").or_insert(Value::Null);
        if !history.is_array() {
            *history = Value::Array(Vec::new());
        }
        if let Some(history) = history.as_array_mut() {
            history.push(Value::Object(line));
        }
    }

    /// The document, with the layers that the image has in the end.
    pub(crate) fn bytes(&self, created: &str, diff_ids: &[Digest]) -> Vec<u8> {
        let mut document = self.document.clone();
        document.insert("created".into(), json!(created));
        document.insert("rootfs".into(), json!({"type": "layers", "diff_ids": diff_ids}));
        // A map with string keys: it cannot fail.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

fn health_times(value: &mut Map<String, Value>, times: &HealthTimes) {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    for (key, time) in [
        ("Interval", times.interval),
        ("Timeout", times.timeout),
        ("StartPeriod", times.start_period),
        ("StartInterval", times.start_interval),
    ] {
        if let Some(time) = time.filter(|time| !time.is_zero()) {
            value.insert(key.into(), json!(nanoseconds(time)));
        }
    }
    if let Some(retries) = times.retries.filter(|retries| *retries > 0) {
        value.insert("Retries".into(), json!(retries));
    }
}
