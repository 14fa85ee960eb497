//! From a node to what it means: flags, forms and words are checked, variables put in.

mod csv;
pub(crate) mod forms;
mod mount;
mod options;
pub(crate) mod words;

use std::collections::BTreeMap;

use crate::ast::{Flag, Keyword, Node};
use crate::error::{Error, ErrorKind};
use crate::expand::{ExpandError, Expander, Scope};
use crate::instruction::{Add, Arg, Command, Copy, From, Healthcheck, Heredoc, Instruction, Network, Pair, Paths, Run};
use crate::lex::is_blank;
use options::Options;

/// What reads one node.
struct Reader<'a> {
    node: &'a Node,
    scope: &'a dyn Scope,
    escape: char,
    /// Variables and what comes of them do not count: words stay as they are written.
    form: bool,
}

/// Scope of a form: nothing is asked of it.
struct Nothing;

impl Scope for Nothing {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

impl Node {
    /// What the instruction means with the variables of `scope`. `escape` is the Dockerfile's.
    pub fn instruction(&self, scope: &dyn Scope, escape: char) -> Result<Instruction, Error> {
        Reader { node: self, scope, escape, form: false }.read()
    }

    /// Whether it is written as the instruction has to be, whatever its variables are: keyword, options, number of words.
    pub fn form(&self, escape: char) -> Result<(), Error> {
        Reader { node: self, scope: &Nothing, escape, form: true }.read().map(drop)
    }

    /// What `--from` of COPY and `from=` of RUN's mounts name. What is no form of it names nothing.
    pub fn sources(&self) -> Vec<String> {
        let of = |flag: &Flag| {
            let value = flag.value.as_deref()?;
            match (flag.name.as_str(), self.keyword) {
                ("from", Some(Keyword::Copy)) => Some(value.to_owned()),
                ("mount", Some(Keyword::Run)) => mount::from(value),
                _ => None,
            }
        };
        self.flags().iter().filter_map(of).filter(|name| !name.is_empty()).collect()
    }
}

impl<'a> Reader<'a> {
    fn read(&self) -> Result<Instruction, Error> {
        let (reader, node) = (self, self.node);
        let keyword = node.keyword()?;
        if !matches!(keyword, Keyword::Add | Keyword::Copy | Keyword::From | Keyword::Healthcheck | Keyword::Run) {
            Options::of(node, &[])?;
        }
        match keyword {
            Keyword::From => reader.from().map(Instruction::From),
            Keyword::Run => reader.run().map(Instruction::Run),
            Keyword::Cmd => reader.command(node.arguments()).map(Instruction::Cmd),
            Keyword::Entrypoint => reader.command(node.arguments()).map(Instruction::Entrypoint),
            Keyword::Label => reader.pairs().map(Instruction::Label),
            Keyword::Env => reader.pairs().map(Instruction::Env),
            Keyword::Maintainer => reader.text().map(Instruction::Maintainer),
            Keyword::Expose => reader.word_list().map(Instruction::Expose),
            Keyword::Add => reader.add().map(Instruction::Add),
            Keyword::Copy => reader.copy().map(Instruction::Copy),
            Keyword::Volume => reader.volumes().map(Instruction::Volume),
            Keyword::User => reader.single().map(Instruction::User),
            Keyword::Workdir => reader.single().map(Instruction::Workdir),
            Keyword::Arg => reader.args().map(Instruction::Arg),
            Keyword::Onbuild => reader.onbuild().map(Instruction::Onbuild),
            Keyword::Stopsignal => reader.single().map(Instruction::Stopsignal),
            Keyword::Healthcheck => reader.healthcheck().map(Instruction::Healthcheck),
            Keyword::Shell => reader.shell().map(Instruction::Shell),
        }
    }

    fn expander(&self) -> Expander<'a> {
        Expander::new(self.scope, self.escape)
    }

    fn wrong(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.node.span_of_line())
    }

    fn count(&self, needs: &'static str) -> Error {
        self.wrong(ErrorKind::Arguments { keyword: self.node.keyword_text().to_ascii_uppercase(), needs })
    }

    /// Expands one word of the instruction.
    fn expand(&self, text: &str) -> Result<String, Error> {
        self.expand_with(self.expander(), text)
    }

    fn expand_with(&self, expander: Expander<'_>, text: &str) -> Result<String, Error> {
        if self.form {
            return Ok(text.to_owned());
        }
        expander.word(text).map_err(|error| self.expand_error(text, error))
    }

    fn expand_error(&self, text: &str, error: ExpandError) -> Error {
        let at = self.node.arguments().find(text);
        let span = at.map_or_else(|| self.node.span_of_line(), |at| self.node.place(at, at + text.len()));
        Error::new(ErrorKind::Expand(error), span)
    }

    /// A list in JSON, if the arguments are one.
    fn list(&self) -> Result<Option<Vec<String>>, Error> {
        forms::json(self.node.arguments()).map_err(|kind| self.wrong(kind))
    }

    fn command(&self, text: &str) -> Result<Command, Error> {
        forms::command(text).map_err(|kind| self.wrong(kind))
    }

    fn plain_words(&self) -> Vec<&'a str> {
        words::plain(self.node.arguments())
    }

    fn quoted_words(&self) -> Vec<&'a str> {
        words::quoted(self.node.arguments(), self.escape)
    }

    fn options(&self, known: &'static [&'static str]) -> Result<Options<'a>, Error> {
        Options::of(self.node, known)
    }

    /// The option's value with variables put in.
    fn option(&self, options: &Options<'a>, name: &str) -> Result<Option<String>, Error> {
        let Some((value, span)) = options.value(name)? else { return Ok(None) };
        if self.form {
            return Ok(Some(value.to_owned()));
        }
        self.expander().word(value).map(Some).map_err(|error| Error::new(ErrorKind::Expand(error), span))
    }

    fn from(&self) -> Result<From, Error> {
        let options = self.options(&["platform"])?;
        let words = self.plain_words();
        let (image, name) = match words[..] {
            [image] => (image, None),
            [image, r#as, name] if r#as.eq_ignore_ascii_case("as") => (image, Some(name.to_ascii_lowercase())),
            _ => return Err(self.count("IMAGE or IMAGE AS NAME")),
        };
        if let Some(name) = name.as_ref().filter(|name| !is_stage_name(name)) {
            return Err(self.wrong(ErrorKind::StageName(name.clone())));
        }
        let image = self.expand(image)?;
        if image.is_empty() {
            return Err(self.wrong(ErrorKind::EmptyBase));
        }
        // `--platform=` says nothing; a variable that is empty is another matter.
        let said = options.value("platform")?.is_some_and(|(platform, _)| !platform.is_empty());
        let platform = if said { self.option(&options, "platform")? } else { None };
        Ok(From { image, platform, name })
    }

    fn run(&self) -> Result<Run, Error> {
        let options = self.options(&["mount", "network", "security"])?;
        if self.node.arguments().is_empty() {
            return Err(self.count("a command"));
        }
        let mut mounts = Vec::new();
        for (text, span) in options.all("mount")? {
            if self.form {
                mount::form(text, span)?;
            } else {
                mounts.push(mount::read(text, span, self.expander())?);
            }
        }
        let network = match options.value("network")? {
            None => None,
            Some(("default", _)) => Some(Network::Default),
            Some(("none", _)) => Some(Network::None),
            Some(("host", _)) => Some(Network::Host),
            Some((other, span)) => return Err(options::value("--network", other, "default, none or host", span)),
        };
        let insecure = match options.value("security")? {
            None | Some(("sandbox", _)) => false,
            Some(("insecure", _)) => true,
            Some((other, span)) => return Err(options::value("--security", other, "sandbox or insecure", span)),
        };
        let heredocs = self.heredocs(false)?;
        let command = self.command(self.node.arguments())?;
        Ok(Run { command, heredocs, mounts, network, insecure })
    }

    /// `KEY=value ...`, or `KEY value with blanks` in the old way.
    fn pairs(&self) -> Result<Vec<Pair>, Error> {
        let arguments = self.node.arguments();
        let words = self.quoted_words();
        let first = *words.first().ok_or_else(|| self.count("KEY=VALUE"))?;
        if !first.contains('=') {
            // Quotes mean nothing to where the key ends.
            let (first, rest) = arguments.split_once(is_blank).unwrap_or((arguments, ""));
            let rest = rest.trim_start_matches(is_blank);
            if rest.is_empty() {
                return Err(self.count("KEY=VALUE"));
            }
            return Ok(vec![self.pair(first, rest)?]);
        }
        let pair = |word: &&str| {
            let (key, value) = word.split_once('=').ok_or_else(|| self.wrong(ErrorKind::Pair((*word).to_owned())))?;
            self.pair(key, value)
        };
        words.iter().map(pair).collect()
    }

    fn pair(&self, key: &str, value: &str) -> Result<Pair, Error> {
        let key = self.expand(key)?;
        if key.is_empty() {
            return Err(self.wrong(ErrorKind::EmptyKey));
        }
        Ok(Pair { key, value: self.expand(value)? })
    }

    fn text(&self) -> Result<String, Error> {
        let text = self.node.arguments();
        if text.is_empty() { Err(self.count("a name")) } else { Ok(text.to_owned()) }
    }

    /// All of the arguments as one value, which may come out empty.
    fn single(&self) -> Result<String, Error> {
        let text = self.node.arguments();
        if text.is_empty() { Err(self.count("one value")) } else { self.expand(text) }
    }

    fn word_list(&self) -> Result<Vec<String>, Error> {
        let mut words = Vec::new();
        let plain = self.plain_words();
        for word in &plain {
            if !self.form {
                words.extend(self.expander().words(word).map_err(|error| self.expand_error(word, error))?);
            }
        }
        if plain.is_empty() { Err(self.count("at least one value")) } else { Ok(words) }
    }

    fn volumes(&self) -> Result<Vec<String>, Error> {
        let words = match self.list()? {
            Some(words) => words.iter().map(|word| self.expand(word.trim())).collect::<Result<Vec<_>, _>>()?,
            None => self.plain_words().into_iter().map(|word| self.expand(word)).collect::<Result<Vec<_>, _>>()?,
        };
        if words.is_empty() || words.iter().any(|path| path.trim().is_empty()) {
            return Err(self.count("at least one path that is not empty"));
        }
        Ok(words)
    }

    fn args(&self) -> Result<Vec<Arg>, Error> {
        let words = self.quoted_words();
        if words.is_empty() {
            return Err(self.count("at least one name"));
        }
        let mut line = Line { scope: self.scope, own: BTreeMap::new() };
        let mut args = Vec::with_capacity(words.len());
        for word in words {
            let (name, default) = word.split_once('=').map_or((word, None), |(name, default)| (name, Some(default)));
            if name.is_empty() {
                return Err(self.wrong(ErrorKind::EmptyKey));
            }
            // A default that does not count is not looked at, be it as wrong as it may.
            let value = match (self.scope.argument(name, default.is_some()), default) {
                (None, Some(default)) => Some(self.expand_with(Expander::new(&line, self.escape), default)?),
                (given, _) => given,
            };
            if let Some(value) = &value {
                line.own.insert(name.to_owned(), value.clone());
            }
            // The name is what stands there: no variables, no quotes.
            args.push(Arg { name: name.to_owned(), value });
        }
        Ok(args)
    }

    fn onbuild(&self) -> Result<String, Error> {
        let text = self.node.arguments();
        let keyword = text.split(is_blank).next().unwrap_or_default();
        match Keyword::of(keyword) {
            _ if keyword.is_empty() => Err(self.count("an instruction")),
            None => Err(self.wrong(ErrorKind::Unknown(keyword.to_owned()))),
            Some(Keyword::Onbuild | Keyword::From | Keyword::Maintainer) => {
                Err(self.wrong(ErrorKind::Trigger(keyword.to_ascii_uppercase())))
            }
            Some(_) => {
                let mut whole = text.to_owned();
                for body in self.node.heredocs() {
                    whole = format!("{whole}\n{}{}", body.content, body.opened.name);
                }
                Ok(whole)
            }
        }
    }

    fn copy(&self) -> Result<Copy, Error> {
        let options = self.options(&["from", "chown", "chmod", "link", "parents", "exclude"])?;
        let paths = self.paths(&options)?;
        let from = match options.value("from")? {
            Some((from, span)) if from.contains('$') => {
                return Err(options::value(
                    "--from",
                    from,
                    "a name without variables (a stage's name can stand for one)",
                    span,
                ));
            }
            from => from.map(|(from, _)| from.to_owned()),
        };
        if from.is_some() && !paths.heredocs.is_empty() {
            return Err(self.wrong(ErrorKind::HeredocFrom));
        }
        Ok(Copy { paths, from, link: options.flag("link")?, parents: options.flag("parents")? })
    }

    fn add(&self) -> Result<Add, Error> {
        let known = &["checksum", "chown", "chmod", "link", "keep-git-dir", "unpack", "exclude"];
        let options = self.options(known)?;
        Ok(Add {
            paths: self.paths(&options)?,
            checksum: self.option(&options, "checksum")?,
            keep_git_dir: options.flag("keep-git-dir")?,
            link: options.flag("link")?,
            unpack: if options.has("unpack") { Some(options.flag("unpack")?) } else { None },
        })
    }

    fn paths(&self, options: &Options<'a>) -> Result<Paths, Error> {
        let list = self.list()?;
        let is_list = list.is_some();
        let words = list.unwrap_or_else(|| self.plain_words().into_iter().map(str::to_owned).collect());
        let Some((destination, sources)) = words.split_last().filter(|(_, sources)| !sources.is_empty()) else {
            return Err(self.count("at least one source and the destination"));
        };
        let mut sources = sources.to_vec();
        let heredocs = self.heredocs(true)?;
        if !is_list {
            if crate::heredoc::is_opening(destination) {
                return Err(self.wrong(ErrorKind::HeredocDestination));
            }
            sources.retain(|source| !crate::heredoc::is_opening(source));
        }
        let expand = |text: &String| self.expand(text);
        // Patterns have no variables: `\\` and `$` are theirs.
        let exclude = options.all("exclude")?.into_iter().map(|(text, _)| text.to_owned()).collect();
        Ok(Paths {
            sources: sources.iter().map(expand).collect::<Result<_, _>>()?,
            heredocs,
            destination: self.expand(destination)?,
            chown: self.option(options, "chown")?,
            chmod: self.option(options, "chmod")?,
            exclude,
        })
    }

    fn heredocs(&self, expand: bool) -> Result<Vec<Heredoc>, Error> {
        let heredoc = |body: &crate::lex::Body| {
            let content = if expand && !body.opened.quoted && !self.form {
                let expanded = self.expander().of_heredoc().word(&body.content);
                expanded.map_err(|error| Error::new(ErrorKind::Expand(error), body.span))?
            } else {
                body.content.clone()
            };
            let crate::heredoc::Opened { name, descriptor, chomp, quoted } = body.opened.clone();
            Ok(Heredoc { name, descriptor, content, chomp, quoted })
        };
        self.node.heredocs().iter().map(heredoc).collect()
    }

    fn shell(&self) -> Result<Vec<String>, Error> {
        match self.list()? {
            Some(words) if !words.is_empty() => Ok(words),
            _ => Err(self.wrong(ErrorKind::ShellForm)),
        }
    }

    fn healthcheck(&self) -> Result<Healthcheck, Error> {
        let options = self.options(&["interval", "timeout", "start-period", "start-interval", "retries"])?;
        let text = self.node.arguments();
        let word = text.split(char::is_whitespace).next().unwrap_or_default();
        let rest = text.get(word.len()..).unwrap_or_default().trim_start();
        match word.to_ascii_uppercase().as_str() {
            "NONE" if rest.is_empty() => Ok(Healthcheck::None),
            "CMD" if !rest.is_empty() => match self.command(rest)? {
                Command::Exec(words) if words.is_empty() => Err(self.count("NONE or CMD with a command")),
                command => Ok(Healthcheck::Check { command, times: options.health_times()? }),
            },
            _ => Err(self.count("NONE or CMD with a command")),
        }
    }
}

/// What an ARG sees: those before it in its own line, too.
struct Line<'a> {
    scope: &'a dyn Scope,
    own: BTreeMap<String, String>,
}

impl Scope for Line<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.own.get(name).cloned().or_else(|| self.scope.get(name))
    }
}

/// `^[a-z][a-z0-9-_.]*$`
fn is_stage_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
}

#[cfg(test)]
mod tests;
