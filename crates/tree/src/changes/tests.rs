//! Changes found as an overlay would have them.
