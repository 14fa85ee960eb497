//! `hooks`: what is executed, checked before anything is.

use std::time::Duration;

use ctr_sandbox::bundle::HookPlan;

use super::TranslateError;
use super::namespaces::Namespaces;
use super::path::c_string;
use crate::config::{Hook, Hooks};

/// All of them are looked at, those too that the bundle has no part in.
pub(super) fn check(hooks: &Hooks, namespaces: &Namespaces) -> Result<(), TranslateError> {
    // Their paths are the runtime's, and whoever has that mount namespace already could have put another program there.
    if !hooks.create_container.is_empty() && !namespaces.new.contains(&"mnt") {
        return Err(TranslateError::invalid(
            "hooks.createContainer",
            "the runtime's files are not to be seen in a mount namespace that is joined",
        )
        .hinted("use hooks.createRuntime, or leave the path out of the namespace of type mount"));
    }
    for (name, list) in [
        ("hooks.prestart", &hooks.prestart),
        ("hooks.createRuntime", &hooks.create_runtime),
        ("hooks.poststart", &hooks.poststart),
        ("hooks.poststop", &hooks.poststop),
    ] {
        plans(name, list)?;
    }
    Ok(())
}

/// One kind of hooks; `property` is its path.
pub fn plans(property: &str, hooks: &[Hook]) -> Result<Vec<HookPlan>, TranslateError> {
    hooks.iter().enumerate().map(|(index, hook)| plan(&format!("{property}[{index}]"), hook)).collect()
}

fn plan(property: &str, hook: &Hook) -> Result<HookPlan, TranslateError> {
    let at = format!("{property}.path");
    let path = hook.path.to_str().unwrap_or_default();
    if !hook.path.is_absolute() {
        return Err(TranslateError::invalid(at, format!("\"{}\" is not an absolute path", path.escape_debug())));
    }
    let path = c_string(&at, path)?;
    let strings = |name: &str, list: &[String]| {
        let text = |(index, text): (usize, &String)| c_string(&format!("{property}.{name}[{index}]"), text);
        list.iter().enumerate().map(text).collect::<Result<Vec<_>, _>>()
    };
    let timeout = match hook.timeout.map(u64::try_from) {
        None => None,
        Some(Ok(seconds @ 1..)) => Some(Duration::from_secs(seconds)),
        Some(_) => {
            return Err(TranslateError::invalid(
                format!("{property}.timeout"),
                "it is not a number of seconds above 0",
            ));
        }
    };
    let args = strings("args", &hook.args)?;
    let args = if args.is_empty() { vec![path.clone()] } else { args };
    Ok(HookPlan { args, env: strings("env", &hook.env)?, path, timeout })
}
