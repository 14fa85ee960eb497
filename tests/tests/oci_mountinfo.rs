//! What a container of a bundle sees of its mounts.

use ctr_tests::bundle::Bundle;
use ctr_tests::need;

/// Runtime-spec, config.md, mounts: "The runtime MUST mount entries in the listed order." mountinfo shows mounts by age since Linux 6.8,
/// and what tells is in that file: a `/dev` that was prepared before `/proc` was mounted must not stand before it.
#[test]
fn mounts_are_listed_in_the_order_of_the_config() {
    need!(root);
    let bundle = Bundle::new("cat /proc/self/mountinfo");
    let config = bundle.config();
    let wanted: Vec<&str> = config["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|mount| mount["type"] != "cgroup" && mount["type"] != "bind")
        .map(|mount| mount["destination"].as_str().unwrap())
        .collect();
    assert!(wanted.len() > 4 && wanted.contains(&"/dev"));
    let listed = bundle.oci().args(["run", "order"]).ok();
    let found: Vec<&str> =
        listed.lines().filter_map(|line| line.split(' ').nth(4)).filter(|target| wanted.contains(target)).collect();
    assert_eq!(found, wanted, "{listed}");
}
