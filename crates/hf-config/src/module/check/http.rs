//! `<http>`.

use crate::check_model::{HttpBody, HttpCheck, HttpTls, Target};
use crate::diagnostic::Code;
use crate::element::{Element, Value};
use crate::module::check::Reader;
use crate::module::check::target::target;
use crate::module::exclusion::Pattern;
use crate::spec;

const MAX_PATH: usize = 2048;
const MAX_TEXT: usize = 1024;
const MAX_RANGES: usize = 16;
const STATUS_GOOD: (u16, u16) = (200, 299);

/// Where a service is.
struct Place {
    target: Target,
    port: u16,
    path: String,
    tls: bool,
}

impl Reader<'_, '_> {
    pub(super) fn http(&mut self, tag: &Element) -> Option<HttpCheck> {
        let (ident, when, action) = (self.ident(tag), self.when(tag), self.action(tag));
        let to = self.to(tag, &spec::HTTP_TO)?;
        let place = if to.get("url").is_some() { self.by_url(&to) } else { self.by_parts(&to) };
        let host = to.get("host").cloned().map(|value| self.target(&value));
        let (status, body) = (self.status(&to), self.body(&to));
        let (interval_ms, timeout_ms) = (self.interval(&to), self.timeout(&to));
        let tls = self.tls(&to, place.as_ref().is_none_or(|place| place.tls));
        let Place { target, port, path, tls: secure } = place?;
        let host = host.unwrap_or_else(|| Some(target.clone()))?;
        let (ident, tls) = (ident?, tls.filter(|_| secure));
        Some(HttpCheck {
            ident,
            when,
            action,
            target,
            port,
            path,
            tls,
            host,
            status: status?,
            body,
            interval_ms,
            timeout_ms,
        })
    }

    fn by_url(&mut self, to: &Element) -> Option<Place> {
        for other in ["addr", "port", "path", "secure"] {
            if let Some(value) = to.get(other) {
                let message = format!("{other} stands beside url, which says it already");
                let help = "either url, or addr with port, path and secure; host=\"...\" may stand beside both";
                self.context.sink.error(Code::Conflict, value.span.clone(), message, Some(help.to_owned()));
            }
        }
        let value = to.get("url")?.clone();
        match url(&value.text) {
            Ok(place) => Some(place),
            Err(why) => {
                let message = format!("url=\"{}\" can't be asked for: {why}", value.text);
                let help = "such as http://127.0.0.1:8080/health or https://shop.example/".to_owned();
                self.context.sink.error(Code::BadValue, value.span, message, Some(help));
                None
            }
        }
    }

    fn by_parts(&mut self, to: &Element) -> Option<Place> {
        let target = match to.get("addr").cloned() {
            Some(value) => self.target(&value),
            None => {
                let help = Some("url=\"http://127.0.0.1/\", or addr=\"127.0.0.1\" with port and path".to_owned());
                let message = "<to> of <http> needs url or addr".to_owned();
                self.context.sink.error(Code::MissingAttribute, to.span(), message, help);
                None
            }
        };
        let tls = to.switch("secure", self.context);
        let port = match to.get("port") {
            Some(_) => to.port("port", self.context),
            None => Some(usual_port(tls)),
        };
        let path = match to.get("path").cloned() {
            Some(value) if is_path(&value.text) => Some(value.text),
            Some(value) => {
                let message = format!("path=\"{}\" can't be asked for", value.text);
                let help = "a slash, then printable ASCII without blanks; write others as %20".to_owned();
                self.context.sink.error(Code::BadValue, value.span, message, Some(help));
                None
            }
            None => Some("/".to_owned()),
        };
        Some(Place { target: target?, port: port?, path: path?, tls })
    }

    /// Whose certificates are good; `asked`: whether the service is asked with TLS.
    fn tls(&mut self, to: &Element, asked: bool) -> Option<HttpTls> {
        let verify = to.switch("verify", self.context);
        let (ca, off) = (to.get("ca").cloned(), to.get("verify").filter(|_| !verify));
        if let Some(value) = ca.as_ref().or(off).filter(|_| !asked) {
            let message = format!("{} is about TLS, and the service is asked without", value.name);
            let help = Some("https:// in url, or secure=\"on\"".to_owned());
            self.context.sink.error(Code::Conflict, value.span.clone(), message, help);
        }
        if let (Some(value), false) = (&ca, verify) {
            let message = "ca says whose certificates are good, and verify=\"off\" that all are".to_owned();
            self.context.sink.error(Code::Conflict, value.span.clone(), message, Some("leave out one".to_owned()));
        }
        if let Some(value) = ca.as_ref().filter(|value| !is_file(value)) {
            let message = format!("ca=\"{}\" isn't the path of a file", value.text);
            let help = Some("an absolute path, such as /etc/ssl/shop-ca.pem".to_owned());
            self.context.sink.error(Code::BadValue, value.span.clone(), message, help);
            return None;
        }
        Some(HttpTls { ca: ca.map(|value| value.text), verify })
    }

    fn status(&mut self, to: &Element) -> Option<Vec<(u16, u16)>> {
        let Some(value) = to.get("status").cloned() else {
            return Some(vec![STATUS_GOOD]);
        };
        let ranges: Option<Vec<_>> = value.text.split(',').map(|part| range(part.trim())).collect();
        let good = ranges.filter(|ranges| ranges.len() <= MAX_RANGES);
        if good.is_none() {
            let message = format!("status=\"{}\" is no list of HTTP statuses", value.text);
            let help = format!("100 to 599, at most {MAX_RANGES} of them: 200 or 200,204 or 200-399");
            self.context.sink.error(Code::BadValue, value.span, message, Some(help));
        }
        good
    }

    fn body(&mut self, to: &Element) -> Option<HttpBody> {
        let (text, pattern) = (to.get("body").cloned(), to.get("bodyregex").cloned());
        if let (Some(_), Some(value)) = (&text, &pattern) {
            let message = "body and bodyregex can't both be looked for".to_owned();
            let help = Some("leave out one; an expression can have alternatives: first|second".to_owned());
            self.context.sink.error(Code::Conflict, value.span.clone(), message, help);
        }
        if let Some(value) = text {
            if value.text.is_empty() || value.text.len() > MAX_TEXT {
                let message = format!("body has {} bytes", value.text.len());
                let help = Some(format!("1 to {MAX_TEXT}"));
                self.context.sink.error(Code::BadValue, value.span, message, help);
            }
            return Some(HttpBody::Text(value.text));
        }
        let value = pattern?;
        if let Err(why) = Pattern::anywhere(&value.text) {
            let message = format!("bodyregex=\"{}\" isn't a regular expression: {why}", value.text);
            let help = Some("as in man 7 regex, found anywhere in the body, such as status: *(ok|fine)".to_owned());
            self.context.sink.error(Code::BadValue, value.span, message, help);
        }
        Some(HttpBody::Pattern(value.text))
    }
}

fn usual_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= MAX_PATH && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

fn is_file(value: &Value) -> bool {
    value.text.starts_with('/') && value.text.len() <= MAX_PATH && !value.text.contains(char::is_control)
}

/// `200` or `200-299`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let plain = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (first, last) = (plain(first).then(|| first.parse().ok())??, plain(last).then(|| last.parse().ok())??);
    ((100..=599).contains(&first) && (first..=599).contains(&last)).then_some((first, last))
}

fn url(text: &str) -> Result<Place, &'static str> {
    let (tls, rest) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        _ => return Err("it begins with neither http:// nor https://"),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(end);
    if place.contains('@') {
        return Err("names and passwords are not sent");
    }
    let (machine, port) = match place.strip_prefix('[').map(|inside| inside.split_once(']')) {
        Some(Some((machine, ""))) => (machine, None),
        // A port that isn't one is refused below.
        Some(Some((machine, port))) => (machine, Some(port.strip_prefix(':').unwrap_or(port))),
        Some(None) => return Err("a bracket is never closed"),
        None => place.split_once(':').map_or((place, None), |(machine, port)| (machine, Some(port))),
    };
    let port = match port.map(str::parse::<u16>) {
        None => usual_port(tls),
        Some(Ok(port)) if port > 0 => port,
        Some(_) => return Err("its port isn't one of 1 to 65535"),
    };
    let target = target(machine).ok_or("it names no machine")?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    if !is_path(&path) {
        return Err("its path has a blank, a # or something else that has to be written as %20");
    }
    Ok(Place { target, port, path, tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        url(text)
            .map_or_else(str::to_owned, |Place { target, port, path, tls }| format!("{tls} {target} {port} {path}"))
    }

    #[test]
    fn urls_say_where_and_how() {
        for (text, means) in [
            ("http://127.0.0.1", "false 127.0.0.1 80 /"),
            ("https://shop.example/", "true shop.example 443 /"),
            ("https://[fd00::1]:8443/a/b?c=d&e", "true fd00::1 8443 /a/b?c=d&e"),
            ("http://[fd00::1]", "false fd00::1 80 /"),
            ("http://h:8080?x", "false h 8080 /?x"),
        ] {
            assert_eq!(shown(text), means, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_asked_for() {
        for text in [
            "",
            "ftp://h/",
            "h/",
            "http://",
            "http:///x",
            "http://u:p@h/",
            "http://h:0/",
            "http://h:x/",
            "http://h:/",
            "http://h:70000/",
            "http://[fd00::1/",
            "http://[fd00::1]x/",
            "http://[fd00::1]80x/",
            "http://h/a b",
            "http://h/a#b",
            "http://h/\u{e9}",
            "http://h/\r\nX: y",
            "http://300.1.2.3/",
            "http://a b/",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_of_statuses() {
        assert_eq!((range("200"), range("200-399")), (Some((200, 200)), Some((200, 399))));
        for text in ["", "20", "99", "600", "300-200", "200-", "-200", "2xx", "+20", "0200", "200-299-300"] {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
