//! The image's own `passwd` and `group`.

use ctr_sandbox::user::resolve;

use crate::Target;

/// Four parts, separated by NUL: who is asked for, an additional group, `passwd`, `group`.
pub(crate) const PASSWD_GROUP: Target = Target {
    name: "passwd_group",
    run,
    vectors: &[],
    data: None,
    seeds: &[
        b"app:web\0audio\0root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n\0root:x:0:\naudio:x:29:app\nweb:x:80:\n",
        b"app\0\0app:x:1000:1000::/home/app:/bin/sh\n\0web:x:80:a,app,b\napp:x:1000:\n",
        b"0:0\0 1\0::::::\n:x:4294967295:4294967294::\n+::::::\n\0:::\n",
        b"4294967294\0\0\0",
    ],
};

fn run(bytes: &[u8]) {
    let mut parts = bytes.splitn(4, |&byte| byte == 0);
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (who, more) = (text(), text());
    let more: Vec<String> = if more.is_empty() { Vec::new() } else { vec![more] };
    let (passwd, group) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if let Ok(identity) = resolve(&who, &more, passwd, group) {
        // -1 means "leave it" to setresuid(2), setresgid(2) and setgroups(2).
        let ids = [&[identity.uid, identity.gid], identity.groups.as_slice()].concat();
        assert!(!ids.contains(&u32::MAX), "an id that is none: {identity:?}");
        // What is asked for as a number is that number, whatever the files say.
        if let Ok(number) = who.parse::<u32>() {
            assert_eq!(identity.uid, number);
        }
        assert!(!identity.home.contains('\0'), "a home directory that no environment can hold");
    }
}
