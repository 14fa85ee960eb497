//! Rules of FROM.

use std::collections::BTreeSet;

use super::rules::Checks;
use super::stage::Stage;
use super::vars::{self, Asked};
use super::{Rule, names};
use crate::ast::Node;
use crate::expand::Expander;
use crate::typed::words;

impl Checks<'_> {
    pub(super) fn from(&mut self, node: &Node) {
        let words = words::plain(node.arguments());
        let (image, name) = match words[..] {
            [image] => (image, None),
            [image, r#as, name] => {
                self.as_casing(node, r#as);
                self.stage_name(node, name);
                (image, Some(name.to_lowercase()))
            }
            _ => return,
        };
        if let Some(name) = &name {
            self.description(node, "FROM", std::slice::from_ref(name));
        }
        self.default_base(node, image);
        let asked = Asked::of(&self.given);
        let base = Expander::new(&asked, self.escape).word(image);
        let unknown = asked.unknown();
        self.undeclared(node, &unknown);
        let platform = node.flags().iter().find(|flag| flag.name == "platform").and_then(|flag| flag.value.as_deref());
        if let Some(platform) = platform.filter(|platform| !platform.is_empty()) {
            self.platform(node, platform, name.as_deref().unwrap_or_default());
        }
        let mut room = self.room;
        let stage = if let Some(parent) = base.ok().and_then(|base| self.stage(&base)) {
            parent.child(name, &mut room)
        } else {
            let of_base = self.context.base_env.iter().cloned().chain(["PATH".to_owned()]);
            Stage { name, values: of_base.map(|name| (name, None)).collect(), ..Stage::default() }
        };
        self.room = room;
        self.stages.push(stage);
    }

    fn stage(&self, name: &str) -> Option<&Stage> {
        let name = name.to_lowercase();
        self.stages.iter().rev().find(|stage| stage.name.as_ref() == Some(&name))
    }

    fn as_casing(&mut self, node: &Node, r#as: &str) {
        let keyword = node.keyword_text();
        let is_upper = |word: &str| word == word.to_ascii_uppercase();
        let is_lower = |word: &str| word == word.to_ascii_lowercase();
        // A keyword in mixed case is told of elsewhere.
        if (is_upper(keyword) && !is_upper(r#as)) || (is_lower(keyword) && !is_lower(r#as)) {
            self.add(Rule::FromAsCasing, node, format!("'{as}' and '{keyword}' keywords' casing do not match"));
        }
    }

    fn stage_name(&mut self, node: &Node, name: &str) {
        let lower = name.to_lowercase();
        if lower != name {
            self.add(Rule::StageNameCasing, node, format!("Stage name '{name}' should be lowercase"));
        }
        if matches!(lower.as_str(), "scratch" | "context") {
            let detail = format!("Stage name should not use the same name as reserved stage {lower:?}");
            self.add_of_file(Rule::ReservedStageName, node, detail);
        }
        if self.stage(&lower).is_some() {
            let detail = format!("Duplicate stage name {lower:?}, stage names should be unique");
            self.add_of_file(Rule::DuplicateStageName, node, detail);
        }
    }

    /// What the base is when nothing is given to the build.
    fn default_base(&mut self, node: &Node, image: &str) {
        let asked = Asked::of(&self.defaults);
        let is_file = |base: &str| ["oci:", "oci-archive:", "/"].iter().any(|prefix| base.starts_with(prefix));
        if Expander::new(&asked, self.escape).word(image).is_ok_and(|base| !names::is_image(&base) && !is_file(&base)) {
            let detail = format!("Default value for ARG {image} results in empty or invalid base image name");
            self.add_of_file(Rule::InvalidDefaultArgInFrom, node, detail);
        }
    }

    fn undeclared(&mut self, node: &Node, unknown: &BTreeSet<String>) {
        let declared: BTreeSet<String> = self.declared.iter().chain(self.given.keys()).cloned().collect();
        for name in unknown.difference(&declared) {
            let hint = vars::hint(name, &declared, "");
            self.add(Rule::UndefinedArgInFrom, node, format!("FROM argument '{name}' is not declared{hint}"));
        }
    }

    fn platform(&mut self, node: &Node, written: &str, stage: &str) {
        let asked = Asked::of(&self.given);
        let platform = Expander::new(&asked, self.escape).word(written);
        let (known, unknown) = (asked.known(), asked.unknown());
        self.undeclared(node, &unknown);
        let target = self.given.get("TARGETPLATFORM").cloned().flatten();
        let only_target = unknown.is_empty() && known.iter().eq(["TARGETPLATFORM"]);
        if only_target && platform.as_ref().ok() == target.as_ref() {
            let detail = format!(
                "Setting platform to predefined {written} in FROM is redundant as this is the default behavior"
            );
            self.add(Rule::RedundantTargetPlatform, node, detail);
        }
        let Some(platform) = platform.ok().filter(|_| known.is_empty() && unknown.is_empty()) else { return };
        let Some((os, arch)) = names::platform(&platform) else { return };
        // A stage that is named after its platform means it.
        if ![os, arch].into_iter().flatten().any(|part| stage.contains(&part)) {
            let detail = format!("FROM --platform flag should not use constant value {platform:?}");
            self.add(Rule::FromPlatformFlagConstDisallowed, node, detail);
        }
    }
}
