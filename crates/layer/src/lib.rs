//! Layers to trees and back.
#![forbid(unsafe_code)]
