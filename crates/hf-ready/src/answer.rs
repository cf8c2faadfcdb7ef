//! What is answered.

use crate::request::{Head, Method, Request};
use crate::table::Table;

/// Longest answer: it always fits into an empty socket's buffer.
#[cfg(test)]
const ANSWER_MAX: usize = 512;
/// Other nodes' module checkers see by it that the application was started anew between two of their questions.
const RUN: &str = "Holdfast-Run";

/// The whole answer. `table`: none if the daemon has said nothing for too long. [`Head::Incomplete`] gets the answer to who was too slow.
pub(crate) fn to(head: &Head, table: Option<&Table>) -> Vec<u8> {
    match head {
        Head::Complete(request) => to_request(request, table),
        Head::Incomplete => plain("408 Request Timeout", "", "TOO SLOW\n", true),
        Head::TooLong => plain("431 Request Header Fields Too Large", "", "TOO LONG\n", true),
        Head::Bad => plain("400 Bad Request", "", "BAD REQUEST\n", true),
    }
}

fn to_request(request: &Request, table: Option<&Table>) -> Vec<u8> {
    let body = match request.method {
        Method::Get => true,
        Method::Head => false,
        Method::Other => return plain("405 Method Not Allowed", "Allow: GET, HEAD\r\n", "ONLY GET\n", true),
    };
    let module = request.path.strip_prefix("/var/modules/").and_then(|rest| rest.strip_suffix("/ready.txt"));
    match (module, table) {
        (None, Some(_)) if request.path == "/health" => plain("200 OK", "", "OK\n", body),
        (None, None) if request.path == "/health" => plain("503 Service Unavailable", "", "NO DAEMON\n", body),
        (None, _) => plain("404 Not Found", "", "NOT FOUND\n", body),
        // Nobody is called ready on old evidence.
        (Some(_), None) => plain("503 Service Unavailable", "", "NO DAEMON\n", body),
        (Some(module), Some(table)) => match table.run_of(module) {
            Some(run) => plain("200 OK", &format!("{RUN}: {run}\r\n"), "OK\n", body),
            None => plain("404 Not Found", "", "NOT FOUND\n", body),
        },
    }
}

fn plain(status: &str, more: &str, body: &str, with_body: bool) -> Vec<u8> {
    let length = body.len();
    let body = if with_body { body } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n{more}\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Head {
        Head::Complete(Request { method: Method::Get, path: path.to_owned() })
    }

    fn said(head: &Head, table: Option<&Table>) -> String {
        let bytes = to(head, table);
        assert!(bytes.len() <= ANSWER_MAX);
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn ready_or_not() {
        let mut table = Table::default();
        table.add("pg".parse().expect("a name"), "7e");
        let ok = said(&get("/var/modules/pg/ready.txt"), Some(&table));
        assert!(ok.starts_with("HTTP/1.1 200 OK\r\n") && ok.ends_with("\r\n\r\nOK\n"), "{ok}");
        assert!(ok.contains("Holdfast-Run: 7e\r\n") && ok.contains("Content-Length: 3\r\n"), "{ok}");
        for path in ["/var/modules/web/ready.txt", "/var/modules/pg/ready", "/", "/var/modules//ready.txt"] {
            let none = said(&get(path), Some(&table));
            assert!(none.starts_with("HTTP/1.1 404 ") && !none.contains("Holdfast-Run"), "{path}: {none}");
        }
        assert!(said(&get("/health"), Some(&table)).starts_with("HTTP/1.1 200 "));
        for path in ["/health", "/var/modules/pg/ready.txt"] {
            assert!(said(&get(path), None).starts_with("HTTP/1.1 503 "), "{path} without a daemon");
        }
    }

    #[test]
    fn other_questions() {
        let head = Head::Complete(Request { method: Method::Head, path: "/health".to_owned() });
        let only = said(&head, Some(&Table::default()));
        assert!(only.ends_with("\r\n\r\n") && only.contains("Content-Length: 3"), "{only}");
        let post = Head::Complete(Request { method: Method::Other, path: "/health".to_owned() });
        assert!(said(&post, Some(&Table::default())).contains("Allow: GET, HEAD"));
        for (head, status) in [(Head::Bad, "400"), (Head::TooLong, "431"), (Head::Incomplete, "408")] {
            assert!(said(&head, None).starts_with(&format!("HTTP/1.1 {status} ")));
        }
    }
}
