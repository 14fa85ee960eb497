//! What a token is for: `repository:NAME:pull,push` (distribution-spec token scope documentation).

use std::collections::{BTreeMap, BTreeSet};

/// Most scopes that a registry's challenge may add.
const MAX_ADDED: usize = 8;
/// Most bytes of one of them.
const MAX_SCOPE: usize = 1024;

/// The rights that a request needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Scopes {
    /// The repository whose credential is used; empty for the registry as a whole.
    repository: String,
    /// `repository:NAME`, with its actions.
    rights: BTreeMap<String, BTreeSet<String>>,
    writes: bool,
}

impl Scopes {
    /// None: whether a credential is good (`/v2/`).
    pub fn registry() -> Self {
        Self::default()
    }

    /// To read a repository.
    pub fn pull(repository: &str) -> Self {
        Self { repository: repository.to_owned(), ..Self::default() }.and(repository, &["pull"])
    }

    /// To read and write it.
    pub fn push(repository: &str) -> Self {
        Self { repository: repository.to_owned(), writes: true, ..Self::default() }.and(repository, &["pull", "push"])
    }

    /// To delete in it, too.
    #[must_use]
    pub fn and_delete(mut self) -> Self {
        self.writes = true;
        let repository = self.repository.clone();
        self.and(&repository, &["delete"])
    }

    /// To read another repository as well: the source of a mount.
    #[must_use]
    pub fn and_pull_from(self, repository: &str) -> Self {
        self.and(repository, &["pull"])
    }

    fn and(mut self, repository: &str, actions: &[&str]) -> Self {
        let rights = self.rights.entry(format!("repository:{repository}")).or_default();
        rights.extend(actions.iter().map(|action| (*action).to_owned()));
        self
    }

    /// The repository that it is about first of all.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Whether a stranger may have these rights: only reading is asked for, of a repository.
    pub fn is_read_only(&self) -> bool {
        !self.writes && !self.rights.is_empty()
    }

    /// Adds what a challenge asks for; says whether that is more than was there. What is no scope is left out.
    pub(super) fn widen(&mut self, scope: &str) -> bool {
        let mut is_wider = false;
        for text in scope.split_ascii_whitespace().take(MAX_ADDED) {
            let Some((resource, actions)) = text.rsplit_once(':') else { continue };
            let is_sane =
                text.len() <= MAX_SCOPE && resource.contains(':') && text.bytes().all(|b| b.is_ascii_graphic());
            if !is_sane || (self.rights.len() >= MAX_ADDED + 2 && !self.rights.contains_key(resource)) {
                continue;
            }
            let rights = self.rights.entry(resource.to_owned()).or_default();
            for action in actions.split(',').filter(|action| !action.is_empty()).take(MAX_ADDED) {
                is_wider |= rights.insert(action.to_owned());
            }
        }
        is_wider
    }

    /// Each as its text.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        self.rights.iter().map(|(resource, actions)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scopes: &Scopes) -> Vec<String> {
        scopes.texts().collect()
    }

    #[test]
    fn scopes_have_the_form_that_servers_know() {
        assert_eq!(texts(&Scopes::pull("a/b")), ["repository:a/b:pull"]);
        assert_eq!(
            texts(&Scopes::push("z").and_pull_from("a")),
            ["repository:a:pull", "repository:z:pull,push"],
            "a mount needs both"
        );
        assert!(texts(&Scopes::registry()).is_empty());
        assert!(Scopes::pull("a").is_read_only());
        assert!(!Scopes::push("a").is_read_only() && !Scopes::registry().is_read_only());
        assert!(!Scopes::pull("a").and_delete().is_read_only());
    }

    #[test]
    fn a_challenge_widens_once() {
        let mut scopes = Scopes::pull("a");
        assert!(!scopes.widen("repository:a:pull"));
        assert!(scopes.widen("repository:a:pull,push registry:catalog:*"));
        assert_eq!(texts(&scopes), ["registry:catalog:*", "repository:a:pull,push"]);
        assert!(!scopes.widen("repository:a:push"));
        for bad in ["", "x", "x:y", "\u{1}:a:b", &format!("repository:{}:pull", "x".repeat(2000))] {
            assert!(!scopes.widen(bad), "{bad}");
        }
        let many: Vec<String> = (0..100).map(|n| format!("repository:r{n}:pull")).collect();
        let many = many.join(" ");
        scopes.widen(&many);
        scopes.widen(&many.replace('r', "s"));
        assert!(texts(&scopes).len() <= MAX_ADDED + 2);
    }
}
