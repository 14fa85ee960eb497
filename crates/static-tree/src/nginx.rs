//! The configuration of nginx that serves a tree to every client.

use std::fmt::Write as _;
use std::path::Path;

use ctr_core::spec::oci::MediaType;

use crate::error::TreeError;
use crate::kind::Kind;

/// A file for the `http` block of nginx (`/etc/nginx/conf.d/NAME.conf`) that serves the tree in `root`. `listen` and `server_name` are the
/// values of nginx's directives of these names.
///
/// It names no repository: nothing in it changes with what is pushed.
pub fn nginx(root: &Path, listen: &str, server_name: &str) -> Result<String, TreeError> {
    let root = quoted(root)?;
    for word in [listen, server_name] {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_*[] ".contains(&byte);
        if word.is_empty() || !word.bytes().all(fine) {
            return Err(TreeError::Name {
                text: word.to_owned(),
                why: "nginx would read it as something else".to_owned(),
            });
        }
    }
    let mut text = HEAD.replace("@ROOT@", &root).replace("@LISTEN@", listen).replace("@NAME@", server_name);
    text.push_str(&documents());
    text.push_str(&REST.replace("@INDEX@", MediaType::INDEX));
    Ok(text)
}

/// A chain of locations: the directory of each kind is tried, `manifests` last.
fn documents() -> String {
    let mut text = String::new();
    for (position, kind) in Kind::ALL.iter().enumerate() {
        let place = match position {
            0 => "~ \"^(?<ctr_repository>/v2/.+)/manifests/(?<ctr_reference>[^/]+)$\"".to_owned(),
            _ => format!("@ctr_{}", kind.view().unwrap_or("manifests").replace('-', "_")),
        };
        let next = match Kind::ALL.get(position + 1) {
            Some(next) => format!("@ctr_{}", next.view().unwrap_or("manifests").replace('-', "_")),
            None => "=404".to_owned(),
        };
        let (directory, media_type) = (kind.view().unwrap_or("manifests"), kind.media_type());
        let _ = write!(
            text,
            "    location {place} {{\n        types {{}}\n        default_type {media_type};\n        try_files \
             $ctr_repository/{directory}/$ctr_reference {next};\n        error_page 404 @ctr_no_manifest;\n    }}\n"
        );
    }
    text
}

/// A string of nginx's configuration. There is no way to write a dollar sign.
fn quoted(path: &Path) -> Result<String, TreeError> {
    let bad = |why: &str| TreeError::Name { text: path.display().to_string(), why: why.to_owned() };
    let text = path.to_str().ok_or_else(|| bad("it is not UTF-8"))?;
    if text.contains('$') || text.chars().any(char::is_control) {
        return Err(bad("nginx cannot be told a path with \"$\" or control characters"));
    }
    if !path.is_absolute() {
        return Err(bad("nginx needs an absolute path"));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

const HEAD: &str = r#"# A static registry, served to docker, podman, skopeo, containerd and ctr. Written by `ctr-push static --nginx`.
# It belongs into the http block of nginx, as /etc/nginx/conf.d/registry.conf for example.

# What a digest names never changes; a tag may at any time.
map $uri $ctr_digest {
    "~^/v2/.+/(?:manifests|indexes|docker-manifests|docker-lists|blobs)/(?<found>sha256:[0-9a-f]{64})$" $found;
    default "";
}
map $uri $ctr_cache {
    "~^/v2/.+/(?:manifests|indexes|docker-manifests|docker-lists|blobs)/sha256:[0-9a-f]{64}$" "public, max-age=31536000, immutable";
    default "no-cache";
}

server {
    listen @LISTEN@;
    server_name @NAME@;
    # Clients want TLS from every host but their own:
    # listen 443 ssl;
    # ssl_certificate     /etc/ssl/certs/registry.pem;
    # ssl_certificate_key /etc/ssl/private/registry.key;

    root @ROOT@;
    sendfile on;
    tcp_nopush on;
    # Bytes go out as they lie on the disk: their digest was told.
    gzip off;
    charset off;
    etag on;
    server_tokens off;
    add_header Docker-Content-Digest $ctr_digest;
    add_header Docker-Distribution-API-Version "registry/2.0" always;
    add_header Cache-Control $ctr_cache;
    add_header X-Content-Type-Options nosniff always;
    error_page 403 404 @ctr_unknown;
    error_page 405 @ctr_read_only;
    if ($request_method !~ "^(?:GET|HEAD)$") {
        return 405;
    }

    location / {
        return 404;
    }
    location = /v2 {
        return 301 /v2/;
    }
    location = /v2/ {
        types {}
        default_type application/json;
        try_files /v2/index.json =404;
    }
"#;

const REST: &str = r#"    location ~ "^/v2/.+/blobs/sha256:[0-9a-f]{64}$" {
        types {}
        default_type application/octet-stream;
        error_page 404 @ctr_no_blob;
    }
    location ~ "^/v2/.+/tags/list$" {
        types {}
        default_type application/json;
    }
    # What has no list has no referrers.
    location ~ "^/v2/.+/referrers/sha256:[0-9a-f]{64}$" {
        types {}
        default_type @INDEX@;
        try_files $uri @ctr_no_referrers;
    }
    location @ctr_no_referrers {
        types {}
        default_type @INDEX@;
        return 200 '{"schemaVersion":2,"mediaType":"@INDEX@","manifests":[]}';
    }

    location @ctr_no_manifest {
        types {}
        default_type application/json;
        return 404 '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"there is no such manifest"}]}';
    }
    location @ctr_no_blob {
        types {}
        default_type application/json;
        return 404 '{"errors":[{"code":"BLOB_UNKNOWN","message":"there is no such blob"}]}';
    }
    location @ctr_unknown {
        types {}
        default_type application/json;
        return 404 '{"errors":[{"code":"NAME_UNKNOWN","message":"there is nothing of this name"}]}';
    }
    location @ctr_read_only {
        types {}
        default_type application/json;
        return 405 '{"errors":[{"code":"UNSUPPORTED","message":"this registry is files: ctr-push writes them where they lie"}]}';
    }
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_location() {
        let text = nginx(Path::new("/srv/o ci\""), "127.0.0.1:5000", "_").unwrap();
        for kind in Kind::ALL {
            assert!(text.contains(&format!("default_type {};", kind.media_type())), "{kind:?}");
            if let Some(view) = kind.view() {
                assert_eq!(text.matches(&format!("|{view}")).count(), 2, "the maps know {view}");
            }
        }
        assert!(text.contains(r#"root "/srv/o ci\"";"#));
        assert!(!text.contains('@') || !text.contains("@ROOT@") && !text.contains("@INDEX@"));
    }

    #[test]
    fn what_nginx_cannot_be_told_is_refused() {
        for root in ["/srv/$uri", "relative", "/a\nb"] {
            assert!(nginx(Path::new(root), "80", "_").is_err(), "{root}");
        }
        assert!(nginx(Path::new("/srv"), "80; evil", "_").is_err());
        assert!(nginx(Path::new("/srv"), "80", "").is_err());
    }
}
