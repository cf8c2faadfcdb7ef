//! As much of HTTP/1 as a health check needs, read strictly (RFC 9112): a method, a path, header lines that are looked at for their
//! form only. A body is never read.

/// Longest request head in bytes, its empty line included.
pub(crate) const HEAD_MAX: usize = 4096;

/// What a client asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Begins with a slash; without what followed a question mark.
    pub(crate) path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Other,
}

/// How far the bytes go that have come so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// The empty line has not come yet.
    Incomplete,
    TooLong,
    Bad,
    Complete(Request),
}

/// Reads a request's head.
pub(crate) fn read(bytes: &[u8]) -> Head {
    let end = bytes.windows(4).take(HEAD_MAX - 3).position(|four| four == b"\r\n\r\n");
    let Some(end) = end else {
        return if bytes.len() >= HEAD_MAX { Head::TooLong } else { Head::Incomplete };
    };
    match std::str::from_utf8(&bytes[..end]).ok().and_then(parse) {
        Some(request) => Head::Complete(request),
        None => Head::Bad,
    }
}

fn parse(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version, rest) = (words.next()?, words.next()?, words.next()?, words.next());
    let known = matches!(version, "HTTP/1.1" | "HTTP/1.0");
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !known || rest.is_some() || !is_token(method) || !target.starts_with('/') || !visible(target) {
        return None;
    }
    let mut hosts = 0;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if !is_token(name) || value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return None;
        }
        hosts += usize::from(name.eq_ignore_ascii_case("host"));
    }
    if hosts > 1 || (hosts == 0 && version == "HTTP/1.1") {
        return None;
    }
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => Method::Other,
    };
    let path = target.split(['?', '#']).next().unwrap_or_default().to_owned();
    Some(Request { method, path })
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(method: Method, path: &str) -> Head {
        Head::Complete(Request { method, path: path.to_owned() })
    }

    #[test]
    fn what_health_checks_send() {
        let curl =
            b"GET /var/modules/pg/ready.txt HTTP/1.1\r\nHost: 10.0.0.1:9010\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n";
        assert_eq!(read(curl), of(Method::Get, "/var/modules/pg/ready.txt"));
        assert_eq!(read(b"HEAD /health?x=1 HTTP/1.0\r\n\r\n"), of(Method::Head, "/health"));
        assert_eq!(read(b"POST / HTTP/1.1\r\nhost:\r\nContent-Length: 3\r\n\r\nabc"), of(Method::Other, "/"));
        for cut in 0..curl.len() {
            assert_eq!(read(&curl[..cut]), Head::Incomplete, "{cut}");
        }
    }

    #[test]
    fn what_nobody_should_send() {
        for bad in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET  / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0 x\r\n\r\n",
            "GET http://a/ HTTP/1.0\r\n\r\n",
            "GET /\u{e9} HTTP/1.0\r\n\r\n",
            "G(T / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0\r\nA : b\r\n\r\n",
            "GET / HTTP/1.0\r\n folded: b\r\n\r\n",
            "GET / HTTP/1.0\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.0\r\nA: b\n\r\n\r\n",
            "GET / HTTP/1.0\r\nno colon\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(read(bad.as_bytes()), Head::Bad, "{bad:?}");
        }
        assert_eq!(read(b"GET / HTTP/1.0\r\nA: \xff\r\n\r\n"), Head::Bad);
        assert_eq!(read(&[b'a'; HEAD_MAX]), Head::TooLong);
        let mut late = vec![b'a'; HEAD_MAX];
        late.extend(b"\r\n\r\n");
        assert_eq!(read(&late), Head::TooLong, "the end lies behind the limit");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..HEAD_MAX + 10)) {
            if let Head::Complete(request) = read(&bytes) {
                prop_assert!(request.path.starts_with('/'));
            }
        }
    }
}
