//! The Dockerfile language, as its reference describes it and as builders read it. Pure: no files, no network, no processes.
//!
//! ```text
//! text --lex--> lines, heredocs --parse--> Dockerfile of Nodes --instruction(scope)--> typed, expanded Instruction
//! ```
//! A `Node` knows where it stands, so that every error and every finding of the lint can show the line.
#![forbid(unsafe_code)]

pub mod ast;
pub mod directive;
pub mod error;
pub mod expand;
mod glob;
pub mod heredoc;
pub mod ignore;
pub mod instruction;
pub mod lex;
pub mod lint;
pub mod span;
mod typed;

pub use ast::{Dockerfile, Keyword, Node, parse, parse_trigger};
pub use error::Error;
pub use expand::{Expander, Scope};
