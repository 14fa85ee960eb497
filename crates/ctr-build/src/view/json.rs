//! An object for each step and each line.

use std::time::Duration;

/// One line of JSON.
pub(super) fn object(label: &str, event: &str, text: &str, time: Option<Duration>) -> String {
    let mut object = serde_json::json!({"stage": label, "event": event, "text": text});
    if let (Some(time), Some(members)) = (time, object.as_object_mut()) {
        members.insert("seconds".to_owned(), serde_json::json!(time.as_secs_f64()));
    }
    // Strings and numbers always serialize.
    ctr_cli::to_json(&object, false).map(|text| text + "\n").unwrap_or_default()
}
